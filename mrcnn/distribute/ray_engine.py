"""Workers that are actors of Ray, on one machine or a cluster; tasks decode ahead of them.

Ray schedules, and replaces what dies; what is done is decided by the files of `parts` and `plan`,
as with the local engine. So Ray may do a block twice: it writes the same file twice.
"""

import logging
import os
import pickle
import warnings

from mrcnn.distribute.decoding import decode
from mrcnn.distribute.jobs import portable
from mrcnn.distribute.packages import import_pyarrow, import_ray
from mrcnn.startup import quiet

BLOCKS = 64  # that one task decodes, one after another
# What matters is raised, too.
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
_ENVIRONMENT = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")  # of the driver, for all workers


def run_ray(job, blocks, workers=None):
    """Yields the `Done` of each block.

    Args:
        job: `mrcnn.distribute.jobs.Job`.
        blocks: list of int.
        workers: int, actors with a model each; None: one for each GPU, else one for each machine.

    Raises:
        ChildProcessError: Ray ends, or its workers die before they can begin.
        Exception: what a worker raised.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    ray = import_ray()
    _start(ray)
    needs = _needs(ray.cluster_resources(), workers or _default_workers(ray))
    context = ray.data.DataContext.get_current()
    before = context.target_max_block_size, context.enable_progress_bars
    context.target_max_block_size = 1  # a row is handed on when it is there
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield from _results(ray, job, blocks, needs)
    except ray.exceptions.RayError as error:
        raise ChildProcessError(f"Ray ended the run: {error}") from error
    finally:
        context.target_max_block_size, context.enable_progress_bars = before


def _start(ray):
    """Joins the cluster that RAY_ADDRESS names, or starts Ray on this machine."""
    if ray.is_initialized():
        return
    given = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own
        ray.init(
            runtime_env={"env_vars": given},
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def _default_workers(ray):
    gpus = int(ray.cluster_resources().get("GPU", 0))
    return gpus or sum(node["Alive"] for node in ray.nodes())


def _needs(resources, workers):
    """What actors and tasks are given of a cluster: dict of `workers`, `actor` and `task`.

    Decoding is left a quarter of the processors where all would be the actors', for tasks that wait
    for actors, which wait for them, would wait for ever. A task takes half a processor: it waits
    for the disk, too. Where both took the same, Ray would make them one.

    >>> _needs({"CPU": 2.0}, 2)
    {'workers': 2, 'actor': {'num_cpus': 0.75, 'num_gpus': 0.0}, 'task': {'num_cpus': 0.5}}
    """
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    each = 1 if cpus > workers else 0.75 * cpus / workers
    left = cpus - each * workers
    share = min(1, gpus / workers)
    share = share if share in (0, 1) else 1 / -(-workers // gpus)  # no actor on two GPUs
    actor = {"num_cpus": each, "num_gpus": share}
    return {"workers": workers, "actor": actor, "task": {"num_cpus": min(0.5, left)}}


def _results(ray, job, blocks, needs):
    pyarrow = import_pyarrow()
    starts = range(0, len(blocks), BLOCKS)
    tables = [pyarrow.table({"block": blocks[i : i + BLOCKS]}) for i in starts]
    actors = ray.data.ActorPoolStrategy(size=min(needs["workers"], len(blocks)))
    found = (
        ray.data.from_arrow(tables)
        .map_batches(_Decoder(job.plan), batch_size=1, batch_format="pyarrow", **needs["task"])
        .map_batches(
            _Actor,
            fn_constructor_args=(job,),
            compute=actors,
            batch_size=1,
            batch_format="pyarrow",
            **needs["actor"],
        )
    )
    for table in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for told in map(pickle.loads, table.column("told").to_pylist()):
            if isinstance(told, Exception):
                raise told
            yield told


class _Decoder:
    """A task: what it is given is the number of a block, what it returns its decoded pictures."""

    def __init__(self, plan):
        self.plan = plan

    def __call__(self, batch):
        pyarrow = import_pyarrow()
        (block,) = batch.column("block").to_pylist()
        # One value, which Ray never parts.
        pixels = pickle.dumps(decode(self.plan, block), protocol=5)
        pixels = pyarrow.array([pixels], pyarrow.large_binary())
        return pyarrow.table({"block": [block], "pixels": pixels})


class _Actor:
    """A worker. What it raises it returns, for Ray does not keep all that is raised."""

    def __init__(self, job):
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # several may share a device
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        quiet.install()
        from mrcnn.distribute.blocks import BlockDetector

        self._detector = self._error = None
        try:
            self._detector = BlockDetector(job)
        except Exception as error:
            self._error = portable(error)

    def __call__(self, batch):
        if self._error is not None:
            return _told(None, self._error)
        (block,) = batch.column("block").to_pylist()
        try:
            decoded = pickle.loads(batch.column("pixels")[0].as_buffer())
            return _told(self._detector.detect(block, decoded))
        except Exception as error:
            return _told(None, portable(error))


def _told(done, error=None):
    """A table of one value, for the driver."""
    pyarrow = import_pyarrow()
    return pyarrow.table({"told": pyarrow.array([pickle.dumps(error or done)], pyarrow.binary())})
