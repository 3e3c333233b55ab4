"""Workers that are processes, here and by Ray, and what becomes of those that die."""

import io
import os
import signal
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from white_model import DeadlyModel, WhiteModel

from mrcnn.distribute import detect_dataset
from mrcnn.distribute.packages import import_pyarrow, import_ray
from mrcnn.distribute.ray_engine import _needs
from mrcnn.distribute.results import iterate_rows


def refuse():
    raise ValueError("mine.h5: weights of another model")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def pictures(tmp_path):
    """Ten black pictures with a white pixel; the sixth is all white, and kills `DeadlyModel`."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(10):
        pixels = np.full((4, 4, 3), 255 * (i == 5), np.uint8)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def detect(build, pictures, out, engine):
    console = Console(file=io.StringIO())
    return detect_dataset(build, pictures, out, engine, 2, block_size=2, console=console)


def check_deadly(pictures, out, engine):
    """Four workers die of one picture; all others are there once, and as without it."""
    summary = detect(DeadlyModel, pictures, out, engine)
    assert (summary.done, summary.failed, summary.instances) == (10, 1, 9)
    rows = list(iterate_rows(out))
    assert [row["path"] for row in rows] == [str(pictures / f"{i}.png") for i in range(10)]
    assert "was killed 4 times" in rows[5]["error"]
    assert [row["boxes"] for i, row in enumerate(rows) if i != 5] == [[[0, 0, 1, 1]]] * 9


@pytest.mark.slow
@pytest.mark.thorough
def test_workers_that_are_killed_are_replaced(pictures, tmp_path):
    check_deadly(pictures, tmp_path / "out", "local")


@pytest.mark.slow
def test_what_a_worker_cannot_do_is_raised(pictures, tmp_path):
    with pytest.raises(ValueError, match=r"mine.h5: weights of another model") as raised:
        detect(refuse, pictures, tmp_path / "out", "local")
    assert "in refuse" in "".join(raised.value.__notes__)  # where in the worker


@pytest.mark.slow
@pytest.mark.thorough
def test_workers_that_die_at_once_end_the_run(pictures, tmp_path):
    with pytest.raises(ChildProcessError, match=r"end before their model is built \(by SIGKILL\)"):
        detect(die, pictures, tmp_path / "out", "local")


@pytest.fixture
def ray(tmp_path, monkeypatch):
    """Ray on this machine, as long as the test."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else whatever runs beside it comes first
    yield
    import_ray().shutdown()


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_ray_does_the_same(ray, pictures, tmp_path):
    check_deadly(pictures, tmp_path / "deadly", "ray")
    # White pictures are found by a model that survives them, and what is done stays done.
    assert detect(WhiteModel, pictures, tmp_path / "out", "ray").instances == 10
    assert detect(WhiteModel, pictures, tmp_path / "out", "ray").earlier == 10
    with pytest.raises(ValueError, match=r"mine.h5: weights of another model"):
        detect(refuse, pictures, tmp_path / "refused", "ray")


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers", "actor", "task"),
    [
        (2, 0, 2, (0.75, 0), 0.5),  # 2 - 2 * 0.75 are left
        (1, 0, 1, (0.75, 0), 0.25),
        (16, 0, 1, (1, 0), 0.5),
        (64, 8, 8, (1, 1), 0.5),
        (8, 1, 2, (1, 0.5), 0.5),
        (8, 2, 3, (1, 0.5), 0.5),  # two actors on one GPU, none on two
        (1, 1, 1, (0.75, 1), 0.25),
    ],
)
def test_actors_leave_processors_for_decoding(cpus, gpus, workers, actor, task):
    needs = _needs({"CPU": float(cpus), "GPU": float(gpus)}, workers)
    assert tuple(needs["actor"].values()) == pytest.approx(actor)
    assert needs["task"]["num_cpus"] == pytest.approx(task)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"need pyarrow.*'mrcnn\[parquet\]'"):
        import_pyarrow()
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ImportError, match=r"needs Ray.*'mrcnn\[ray\]'"):
        import_ray()
