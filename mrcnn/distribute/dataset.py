"""`detect_dataset`: any number of pictures, by any number of workers, into Parquet."""

import dataclasses
import itertools
import os
import pickle
import uuid
from time import monotonic

from mrcnn.distribute.jobs import Job
from mrcnn.distribute.listing import COLUMN, list_pictures
from mrcnn.distribute.local import run_local
from mrcnn.distribute.packages import import_pyarrow, import_ray
from mrcnn.distribute.parts import Parts, remove_results
from mrcnn.distribute.plan import SETTINGS, open_plan
from mrcnn.distribute.ray_engine import run_ray
from mrcnn.files.folders import open_folder
from mrcnn.files.remote import is_remote, without_file_scheme
from mrcnn.progress import Progress

BLOCK_SIZE = 16


@dataclasses.dataclass
class DatasetSummary:
    """What `detect_dataset` did.

    Attributes:
        done: int, pictures in which this run detected, or tried to.
        earlier: int, files of pictures that earlier runs had done.
        failed: int, those of `done` that have an error in their row.
        instances: int, what was found in the pictures of this run.
        seconds: float.
    """

    done: int = 0
    earlier: int = 0
    failed: int = 0
    instances: int = 0
    seconds: float = 0.0


def detect_dataset(
    build,
    inputs,
    out,
    engine="local",
    workers=None,
    score=None,
    resume=True,
    column=COLUMN,
    block_size=BLOCK_SIZE,
    about=None,
    console=None,
):
    """Detects in all pictures that the inputs name, and writes a row for each, in Parquet.

    What is done is never done again: a run that was stopped, or whose workers were killed, goes on
    where it was, and every picture is in the result once. `mrcnn.distribute.rows` says what a row
    has; one that cannot be read has its error.

    Args:
        build: function without arguments that returns a `DetectionModel` with its weights and its
            `class_names`; called once in each worker. For the local engine it must be one that
            `pickle` takes: of a module, not a lambda.
        inputs: path or list of paths, here or remote, see `mrcnn.distribute.list_pictures`.
        out: folder to write into, here or remote, made if there is none.
        engine: "local" for processes of this machine, or "ray".
        workers: int, models that work side by side; None: one process, or with Ray one for each
            GPU, else one for each machine.
        score: float, the least score of what is kept, or None for what the config says.
        resume: bool, whether to go on where an earlier run into this folder stopped. False begins
            anew: what earlier runs wrote is removed.
        column: str, of the paths in a list.
        block_size: int, pictures that a worker does at a time, of which with Ray all are decoded in
            memory; of a folder that is gone on with, what it was.
        about: dict, ready for JSON, of what the results depend on, such as the weights: a folder of
            other settings is not gone on with.
        console: `rich.console.Console` for the progress, or None for the standard error.

    Returns:
        `DatasetSummary`.

    Raises:
        ValueError: inputs that name nothing, a folder of other settings, or a function that
            `pickle` does not take.
        OSError: what is remote cannot be reached, or workers die before they can begin. What is
            done stays done.
        ImportError: a package is missing.

    Example:

    >>> def build():  # doctest: +SKIP
    ...     model = MaskRCNN("inference", MyConfig(), "logs")
    ...     model.load_weights("mine.h5")
    ...     model.class_names = ["BG", "cat"]
    ...     return model
    >>> detect_dataset(build, "s3://bucket/pictures", "found", "ray", workers=8)  # doctest: +SKIP
    """
    started, summary = monotonic(), DatasetSummary()
    check_dataset(out, engine, score, about, resume)
    if engine == "local":
        _check_portable(build)
    avoid = None if is_remote(out) else without_file_scheme(out)
    paths = list_pictures(inputs, avoid, column)
    paths = itertools.chain([next(paths)], paths)  # inputs that name nothing are told first
    folder = open_folder(out)
    if not resume:
        remove_results(folder)
    plan = open_plan(folder, _settings(score, about), block_size).extend(paths)
    parts = Parts(plan)
    with Progress("detect", plan.num_pictures, console) as progress:
        to_do = sum(map(plan.count, parts.missing))
        summary.earlier = plan.num_pictures - to_do
        progress.advance(summary.earlier, passed_over=True)
        job = Job(build, plan, uuid.uuid4().hex[:8], score)
        begun = monotonic()
        run = _ENGINES[engine](job, parts.missing, workers) if parts.missing else ()
        for done in run:
            parts.add(done.block)
            summary.done += done.pictures
            summary.failed += done.failed
            summary.instances += done.instances
            progress.title = f"detect ({summary.done / (monotonic() - begun):.1f} a second)"
            progress.advance(plan.count(done.block))
    summary.seconds = monotonic() - started
    return summary


_ENGINES = {"local": run_local, "ray": run_ray}


def check_dataset(out, engine="local", score=None, about=None, resume=True):
    """Raises where `detect_dataset` would, before there is a model.

    Args:
        out, engine, score, about, resume: as of `detect_dataset`.
    """
    if engine not in _ENGINES:
        raise ValueError(f"engine is {engine!r}; expected one of {list(_ENGINES)}")
    import_pyarrow()
    if engine == "ray":
        import_ray()
    if not is_remote(out) and os.path.isfile(without_file_scheme(out)):
        raise ValueError(f"{out}: expected a folder to write into, received a file")
    folder = open_folder(out)
    if resume and folder.has(SETTINGS):
        open_plan(folder, _settings(score, about), BLOCK_SIZE)


def _check_portable(build):
    """Raises ValueError for a function that no process of this machine can be given."""
    try:
        pickle.dumps(build)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"build is {build!r}; expected a function of a module, which each worker imports: "
            f"{error}"
        ) from None


def _settings(score, about):
    """What the results in a folder depend on."""
    return {"score": score, "about": about}
