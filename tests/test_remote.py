"""Paths beyond this machine: a file system in memory, and a bucket that a server here offers."""

import http.client
import io
import os
import pathlib
import shutil
import sys

import fsspec
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from white_model import WhiteModel

from mrcnn import cli
from mrcnn.cli.resuming import expand_resume
from mrcnn.distribute import dataset, detect_dataset, list_pictures
from mrcnn.distribute.blocks import BlockDetector
from mrcnn.distribute.results import class_names_of, is_results, iterate_rows
from mrcnn.files.folders import RemoteFolder, open_folder, uploaded, uploaded_folder
from mrcnn.files.remote import fetched, file_system, is_remote
from mrcnn.files.replacing import replaced
from mrcnn.inference.streams import detect_to_folder
from mrcnn.training.checkpoints import Checkpoint
from mrcnn.training.remote_runs import runs_at
from mrcnn.training.resuming import find_state
from mrcnn.training.runs import best_checkpoint, last_checkpoint, newest_checkpoint, run_folders
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


def write(path, text, seconds):
    """Writes a file of a run, at so many seconds."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pathlib.Path(path).write_text(text, encoding="utf-8")
    os.utime(path, (seconds, seconds))


class Failing(RemoteFolder):
    """A folder that cannot be written once so many files have been."""

    left = 0

    def put(self, name, path):
        if not self.left:
            raise OSError("no connection")
        self.left -= 1
        super().put(name, path)


def check_runs(place, monkeypatch):
    """Two trainings of one minute, of two machines; the second goes on elsewhere."""
    first, second = runs_at(f"{place}/logs"), runs_at(f"{place}/logs/")
    name, state = "tiny20261130T2044", "training_state.hdf5"
    run = os.path.join(first.path, name)
    first.make(run)
    for file in (state, "mask_rcnn_tiny_0001.h5", "results.csv", "a.unfinished", "train/events"):
        write(os.path.join(run, file), f"{file} 1", 1)
    first.upload(run)
    there = open_folder(f"{place}/logs/{name}")
    assert there.names() == {state, "mask_rcnn_tiny_0001.h5", "results.csv"}
    assert there.names("train") == {"events"} and there.path == first.there(run)
    assert first.here(there.path) == run and first.here("s3://other/run") == "s3://other/run"
    # The name is taken, though the folder is not on the second machine.
    with pytest.raises(FileExistsError, match=f"logs/{name}: a run has this folder"):
        second.make(os.path.join(second.path, name))
    assert run_folders(f"{place}/logs", "tiny") == [there.path]
    assert last_checkpoint(f"{place}/logs", "tiny") == f"{there.path}/mask_rcnn_tiny_0001.h5"
    assert newest_checkpoint(f"{place}/logs") == newest_checkpoint(there.path)
    assert best_checkpoint(there.path) is None
    assert find_state(f"{place}/logs/none", f"{place}/logs", "tiny") == there.path

    # The second goes on: of weights it needs the state alone. Two epochs on, it keeps one file.
    run = second.fetch_state(there.path)
    assert sorted(os.listdir(run)) == ["results.csv", state] and run.startswith(second.path)
    for epoch in (1, 2):
        path = os.path.join(run, "mask_rcnn_tiny_{epoch:04d}.h5")
        Checkpoint(lambda path: write(path, "2", 2), path, 1, second).on_epoch_end(epoch)
    for file in (state, "a.csv", "z.jpg"):
        write(os.path.join(run, file), f"{file} 3", 3)
    assert there.names() == {state, "mask_rcnn_tiny_0001.h5", "results.csv"}
    # The connection breaks before the state: what is there can be gone on with.
    written = second._remote
    second._remote, second._reached = Failing(second.root), True
    second._remote.left = 3
    with pytest.warns(UserWarning, match=f"logs/{name} is not up to date: no connection. The tra"):
        second.upload(run)
    others = {"results.csv", "a.csv", "z.jpg"}
    assert there.names() == {state, *others} | {f"mask_rcnn_tiny_000{i}.h5" for i in (1, 3)}
    assert there.read(state) == b"training_state.hdf5 1"
    with pytest.raises(OSError, match=f"no connection; what was written lies in {run}"):
        second.finish(run)
    second._remote, puts = written, []
    monkeypatch.setattr(RemoteFolder, "put", count(RemoteFolder.put, puts))
    second.finish(run)
    assert there.names() == {state, *others, "mask_rcnn_tiny_0003.h5"}
    assert there.read(state) == b"training_state.hdf5 3" and puts == [f"{name}/{state}"]
    assert expand(there, name) == ["train", "DATA", "--out", f"{place}/logs", "--resume"]

    # Nothing could ever be written: that is not found out at the end.
    third = runs_at(f"{place}/logs")
    third._remote = Failing(third.root)
    write(os.path.join(third.path, "run", state), "", 1)
    with pytest.raises(OSError, match="no connection"):
        third.upload(os.path.join(third.path, "run"))
    shutil.rmtree(second.path)  # which was kept


def count(put, puts):
    def counted(folder, name, path):
        puts.append(name)
        put(folder, name, path)

    return counted


def expand(there, name):
    """The line that goes on with the newest run, begun with --out elsewhere, without its name."""
    there.write("command.txt", b"mrcnn train DATA")
    place = there.path.removesuffix(f"/{name}")
    found = expand_resume(["train", "--resume", "--out", place])
    assert found == ["train", "DATA", "--out", place, "--out", place, "--resume", there.path]
    assert expand_resume(["train", "--resume", there.path])[-1] == there.path
    return [*found[:4], found[-2]]


def test_a_file_or_folder_is_written_there_whole(memory, tmp_path):
    with uploaded(f"{memory}/w.h5") as path:
        write(path, "whole", 1)
    assert open_folder(memory).read("w.h5") == b"whole"
    with pytest.raises(ValueError, match="broken"), uploaded(f"{memory}/w.h5") as path:
        write(path, "half", 1)
        raise ValueError("broken")
    assert open_folder(memory).read("w.h5") == b"whole" and open_folder(memory).names() == {"w.h5"}
    with uploaded(f"file://{tmp_path}/w.h5") as path:
        assert path == f"{tmp_path}/w.h5"
    for place in (f"{memory}/scores", f"file://{tmp_path}/scores"):
        with uploaded_folder(place) as folder:
            write(os.path.join(folder, "a", "b.json"), "{}", 1)
        assert open_folder(place).names("a") == {"b.json"}


def test_paths_of_this_machine(tmp_path):
    check_folder(f"file://{tmp_path}")
    assert not is_remote(f"file://{tmp_path}") and is_remote("gs://bucket")
    with pytest.raises(FileNotFoundError), fetched("memory://none/a.png"):
        pass


def test_a_folder_in_memory(memory, monkeypatch):
    check_folder(memory)
    check_detection(memory, monkeypatch)
    check_runs(memory, monkeypatch)


@pytest.mark.slow
def test_a_bucket(bucket, monkeypatch, tmp_path):
    check_folder(bucket)
    check_detection(bucket, monkeypatch)
    check_runs(bucket, monkeypatch)
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


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["benchmark", "W", "--out", "s3://b/e"], "s3://b/e: expected a folder or file of this"),
        (
            ["export", "W", "--format", "onnx", "--out", "s3://b/m"],
            "s3://b/m: expected a folder or file of",
        ),
        (["detect", "W", "a.png", "--out", "s3://b/d"], "--out s3://b/d: expected a folder of th"),
        (
            ["export", "W", "--format", "onnx", "--out", "s3:/b/m"],
            "s3:/b/m: expected a path of this machine",
        ),
    ],
)
def test_what_a_command_cannot_write_there_is_refused(command, message, capsys):
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err


def test_what_would_be_written_into_a_folder_of_that_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = "expected a folder or file of this machine; write there, and copy it"
    with pytest.raises(ValueError, match=f"gs://b/w.h5: {message}"), replaced("gs://b/w.h5"):
        pass
    with pytest.raises(ValueError, match=f"memory://out: {message}"):
        detect_to_folder(None, [], "memory://out")
    assert os.listdir(tmp_path) == []
    with replaced(f"file://{tmp_path}/a") as unfinished:
        pathlib.Path(unfinished).touch()
    assert os.listdir(tmp_path) == ["a"]
