"""Paths beyond this machine: a file system in memory, and a bucket that a server here offers."""

import http.client
import io
import os
import sys

import fsspec
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from white_model import WhiteModel

from mrcnn.distribute import dataset, detect_dataset, list_pictures
from mrcnn.distribute.blocks import BlockDetector
from mrcnn.distribute.results import class_names_of, is_results, iterate_rows
from mrcnn.files.folders import open_folder
from mrcnn.files.remote import fetched, file_system, is_remote
from mrcnn.weights.remote import local_weights


@pytest.fixture
def memory():
    """A folder in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield "memory://data"
    system.store.clear()


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a server of this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # of another server
    file_system("s3://bucket")[0].mkdir("bucket")
    yield "s3://bucket/data"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/moto-api/reset")  # buckets outlive their server
    assert connection.getresponse().status == 200
    connection.close()
    server.stop()


def put(path, data):
    system, place = file_system(path)
    system.pipe_file(place, data)


def picture(white=4):
    """A PNG of 4 x 6 black pixels, of which the first of the top row are white."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, :white] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def check_folder(path):
    folder = open_folder(path)
    assert folder.names() == folder.names("a") == set() and not folder.has("a/b")
    folder.write("a/b", b"1")
    folder.write("c", b"2")
    folder.write("a/b", b"3")
    assert folder.names() == {"c"} and folder.names("a") == {"b"} and folder.has("a/b")
    assert folder.read("a/b") == b"3"
    with pytest.raises(FileNotFoundError):
        folder.read("a/none")
    folder.write("a/half.unfinished", b"")
    assert folder.names("a") == {"b"}
    folder.remove_unfinished("a")
    assert not folder.has("a/half.unfinished") and folder.has("a/b")
    folder.remove("a/b")
    folder.remove("a/b")
    assert folder.names("a") == set()


def check_detection(place, monkeypatch):
    """From remote pictures to remote rows, and on from there."""

    def here(job, blocks, workers=None):
        detector = BlockDetector(job)
        for block in blocks:
            yield detector.detect(block)

    monkeypatch.setitem(dataset._ENGINES, "local", here)
    put(f"{place}/in/a.png", picture(2))
    put(f"{place}/in/b/c.png", picture(3))
    put(f"{place}/in/b/broken.jpg", b"nothing")
    put(f"{place}/in/list.csv", b"path\na.png\nnone.png\n")
    options = {"console": Console(file=io.StringIO()), "block_size": 2}
    summary = detect_dataset(WhiteModel, f"{place}/in", f"{place}/out", **options)
    assert (summary.done, summary.failed, summary.instances) == (3, 1, 2)
    rows = {row["path"]: row for row in iterate_rows(f"{place}/out")}
    start = f"{place}/in/".replace("memory://", "memory:///")
    assert [x.removeprefix(start) for x in rows] == ["a.png", "b/broken.jpg", "b/c.png"]
    assert rows[f"{start}b/c.png"]["boxes"] == [[0, 0, 1, 3]]
    error = rows[f"{start}b/broken.jpg"]["error"]
    assert error.startswith(f"expected an image file at {start}b/broken.jpg, but it cannot be read")
    assert is_results(f"{place}/out") and not is_results(f"{place}/in")
    assert class_names_of(f"{place}/out") == ["BG", "white"]
    # A list of one that is there already and one that is not there at all.
    again = detect_dataset(WhiteModel, [f"{place}/in", f"{place}/in/list.csv"], f"{place}/out")
    assert again.done == 1 + (place.startswith("memory")) and again.failed == 1
    found = list(list_pictures(f"{place}/in/*.png"))
    assert found == [f"{start}a.png"]


def test_paths_of_this_machine(tmp_path):
    check_folder(f"file://{tmp_path}")
    assert not is_remote(f"file://{tmp_path}") and is_remote("gs://bucket")
    with pytest.raises(FileNotFoundError), fetched("memory://none/a.png"):
        pass


def test_a_folder_in_memory(memory, monkeypatch):
    check_folder(memory)
    check_detection(memory, monkeypatch)


@pytest.mark.slow
def test_a_bucket(bucket, monkeypatch, tmp_path):
    check_folder(bucket)
    check_detection(bucket, monkeypatch)
    with pytest.raises(OSError, match="s3://elsewhere/data"):
        open_folder("s3://elsewhere/data").write("a", b"")


def test_remote_weights_are_copied_once(memory, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    put(f"{memory}/mine.h5", b"1")
    copy = local_weights(f"{memory}/mine.h5")
    assert copy.startswith(str(tmp_path)) and os.path.basename(copy) == "mine.h5"
    before = os.stat(copy).st_mtime_ns
    assert local_weights(f"{memory}/mine.h5") == copy and os.stat(copy).st_mtime_ns == before
    with open(copy, "rb") as file:
        assert file.read() == b"1"
    with pytest.raises(FileNotFoundError, match=r"memory://data/none.h5: there is no such file"):
        local_weights(f"{memory}/none.h5")
    with pytest.raises(ValueError, match="expected weights in one file"):
        local_weights(f"{memory}/model.ckpt.index")
    assert local_weights(f"file://{tmp_path}/a.h5") == f"{tmp_path}/a.h5"
    assert local_weights("coco") == "coco"


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"s3://bucket needs fsspec .*'mrcnn\[remote\]'"):
        file_system("s3://bucket")
