"""A cloud that refuses: what passes is waited for; a file's fault is a row, others end the run."""

import errno
import io

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from rich.console import Console
from white_model import WhiteModel

from mrcnn import cli
from mrcnn.distribute import dataset, detect_dataset
from mrcnn.distribute.blocks import BlockDetector
from mrcnn.distribute.remote_listing import is_of_one_file
from mrcnn.distribute.results import iterate_rows
from mrcnn.files.retrying import PAUSES

PLACE = "memory://data"


class Cloud:
    """Memory behind fsspec, of which calls fail.

    Attributes:
        errors: dict by the end of a path of list of what the next calls for it raise, None for what
            succeeds; the last one is for all that follow.
        waits: list of the seconds that were waited.
    """

    def __init__(self, monkeypatch):
        self.errors, self.waits = {}, []
        self.system = fsspec.filesystem("memory")
        self.system.store.clear()
        monkeypatch.setattr("mrcnn.files.retrying.time.sleep", self.waits.append)
        for name in ("get_file", "cat_file", "pipe_file", "ls"):
            monkeypatch.setattr(MemoryFileSystem, name, self._failing(name))

    def _failing(self, name):
        call = getattr(MemoryFileSystem, name)

        def failing(system, path, *args, **options):
            for errors in (x for end, x in self.errors.items() if path.endswith(end)):
                error = errors.pop(0) if len(errors) > 1 else errors[0]
                if error is not None:
                    raise error
            return call(system, path, *args, **options)

        return failing


@pytest.fixture
def cloud(monkeypatch):
    """A `Cloud` with the pictures a, b and c."""

    def here(job, blocks, workers=None):
        detector = BlockDetector(job)
        for block in blocks:
            yield detector.detect(block)

    monkeypatch.setitem(dataset._ENGINES, "local", here)
    cloud = Cloud(monkeypatch)
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(file, "png")
    for name in "abc":
        cloud.system.pipe_file(f"/data/in/{name}.png", file.getvalue())
    yield cloud
    cloud.system.store.clear()


def detect():
    console = Console(file=io.StringIO())
    return detect_dataset(WhiteModel, f"{PLACE}/in", f"{PLACE}/out", console=console)


def busy():
    return OSError(errno.EBUSY, "503 Slow Down")


def test_what_fails_for_a_moment_is_tried_again(cloud):
    cloud.errors["b.png"] = [busy(), busy(), busy(), None]
    assert detect().instances == 3
    assert tuple(cloud.waits) == PAUSES
    cloud.errors["settings.json"] = [busy(), None]
    assert detect().earlier == 3


def test_an_object_that_is_refused_is_a_row(cloud):
    cloud.errors["b.png"] = [PermissionError("Access Denied")]
    assert (detect().failed, cloud.waits) == (1, [])  # no waiting helps
    errors = [row["error"] for row in iterate_rows(f"{PLACE}/out")]
    assert errors[0] is errors[2] is None
    assert errors[1].startswith("memory:///data/in/b.png: PermissionError: Access Denied. Who may")


def test_an_object_that_stays_away_is_a_row(cloud):
    cloud.errors["b.png"] = [RuntimeError("broken")]  # an error of the cloud's own library
    summary = detect()
    assert (summary.done, summary.failed) == (3, 1) and tuple(cloud.waits) == PAUSES


def test_a_bucket_that_refuses_ends_the_run(cloud):
    """Its token expires after it was listed: nothing is known of the pictures, none is a row."""
    refused = PermissionError("the token has expired")
    cloud.errors |= {".png": [refused], "/in": [None, refused]}
    with pytest.raises(OSError, match=r"in/a.png: PermissionError: the token has expired"):
        detect()
    cloud.errors.clear()
    assert (detect().done, detect().earlier) == (3, 3)


def test_a_full_disk_ends_the_run(cloud):
    cloud.errors["b.png"] = [OSError(errno.ENOSPC, "No space left on device")]
    with pytest.raises(OSError, match=r"b.png: OSError: .*No space left on device"):
        detect()
    assert cloud.waits == []


@pytest.mark.parametrize(
    ("status", "alone"), [(403, True), (410, True), (429, False), (503, False)]
)
def test_of_an_address_the_server_tells(status, alone):
    error, answer = OSError("refused"), RuntimeError()
    answer.status, error.__cause__ = status, answer  # as aiohttp's
    assert is_of_one_file("https://host/a.png", error) is alone


def test_results_are_read_again_and_their_errors_told(cloud):
    detect()
    cloud.errors[".parquet"] = [busy(), None]
    assert len(list(iterate_rows(f"{PLACE}/out"))) == 3 and cloud.waits == [PAUSES[0]]
    cloud.errors[".parquet"] = [RuntimeError("broken")]
    with pytest.raises(OSError, match=r"memory://data/out/part-.*: RuntimeError: broken"):
        list(iterate_rows(f"{PLACE}/out"))


def test_exported_files_are_of_this_machine(capsys):
    assert cli.main(["detect", "s3://bucket/mine.onnx", "a.png", "--engine", "local"]) == 2
    said = capsys.readouterr().err
    assert "s3://bucket/mine.onnx: expected weights in one file" in said and "copy it here" in said
