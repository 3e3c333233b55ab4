"""Data sets and pictures beyond this machine: in memory, and in a bucket that a server here has."""

import os
import shutil

import fsspec
import numpy as np
import pytest
import test_remote
from coco_folder import write_coco
from test_remote import picture, put

from mrcnn import cli
from mrcnn.data import Dataset, convert, load
from mrcnn.data import remote as remote_module
from mrcnn.data.loading import recognize, subsets
from mrcnn.data.remote import local_data
from mrcnn.files.remote import file_system
from mrcnn.image import image_size, read_image
from mrcnn.image.channels import Channels
from mrcnn.image.pages import PageReader

memory, bucket = test_remote.memory, test_remote.bucket


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of copies, which knows nothing of earlier tests."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    remote_module._copied.cache_clear()
    return tmp_path / "home" / "models" / "mrcnn" / "data"


def new(folder):
    folder.mkdir()
    return folder


def put_folder(folder, place):
    """Puts the files of a folder there; returns how many bytes they have."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                content = file.read()
            put(f"{place}/{os.path.relpath(path, folder)}", content)
            total += len(content)
    return total


def same(first, second):
    assert first.class_names == second.class_names and first.num_images == second.num_images
    for i in range(first.num_images):
        np.testing.assert_array_equal(first.load_image(i), second.load_image(i))
        for one, other in zip(first.load_mask(i), second.load_mask(i), strict=True):
            np.testing.assert_array_equal(one, other)


def check_data_set(place, tmp_path, cache, capsys):
    write_coco(new(tmp_path / "pets"))
    total = put_folder(tmp_path / "pets", f"{place}/pets")
    expected = load(tmp_path / "pets", verbose=0)
    found = load(f"{place}/pets", verbose=0)
    same(found, expected)
    out = capsys.readouterr().out
    assert f"{place}/pets: 4 files of {total / 1e6:.1f} MB come to {cache}" in out
    assert recognize(f"{place}/pets") == "coco" and subsets(f"{place}/pets") == ["val2017"]
    copy = local_data(f"{place}/pets")
    assert copy.startswith(str(cache)) and os.path.basename(copy) == "pets"
    assert not capsys.readouterr().out  # nothing came a second time
    return found


def test_a_data_set_in_memory(memory, tmp_path, cache, capsys):
    check_data_set(memory, tmp_path, cache, capsys)
    with pytest.raises(FileNotFoundError, match="memory://data/none: there is no such file or"):
        load(f"{memory}/none")
    file = f"{memory}/pets/annotations/instances_val2017.json"
    with pytest.raises(ValueError, match="expected the folder of a data set, received a file"):
        load(file)
    found = load(file, images=f"{memory}/pets/val2017", verbose=0)
    assert found.num_images == 3
    same(load(f"file://{tmp_path}/pets", verbose=0), found)


@pytest.mark.slow
def test_a_data_set_in_a_bucket(bucket, tmp_path, cache, capsys, monkeypatch):
    check_data_set(bucket, tmp_path, cache, capsys)
    dataset = Dataset()
    dataset.add_image("pets", 1, f"{bucket}/a.png")
    dataset.prepare()
    with pytest.raises(ValueError, match=r"Image 0 \(s3://bucket/data/a.png\).*no such file"):
        dataset.load_image(0)
    put(f"{bucket}/a.png", picture(2))
    assert dataset.load_image(0)[0].any(axis=1).tolist() == [True, True, *[False] * 4]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(OSError, match=r"Unable to locate credentials.*AWS_ACCESS_KEY_ID"):
        load(f"{bucket}/others")


def check_conversion(place, tmp_path, capsys):
    write_coco(new(tmp_path / "pets"))
    here = load(tmp_path / "pets", "val2017", verbose=0)
    for format in ("coco", "shards"):
        assert convert(here, f"{place}/{format}/", format) == f"{place}/{format}"
        same(load(f"{place}/{format}", verbose=0), here)
    words = ["convert", str(tmp_path / "pets"), f"{place}/command", "--to", "coco"]
    assert cli.main([*words, "--subset", "val2017"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{place}/command"
    same(load(f"{place}/command", verbose=0), here)
    with pytest.raises(ValueError, match="expected a new or empty folder to write to"):
        convert(here, f"{place}/coco", "coco")


def test_a_data_set_is_written_into_memory(memory, tmp_path, capsys):
    check_conversion(memory, tmp_path, capsys)


def test_a_data_set_is_written_into_a_bucket(bucket, tmp_path, capsys):
    check_conversion(bucket, tmp_path, capsys)


def test_of_a_data_set_that_cannot_be_copied_nothing_is_left(memory, tmp_path, monkeypatch):
    write_coco(new(tmp_path / "pets"))
    system, asked = file_system(memory)[0], []
    put_file = type(system).put_file

    def refuses(self, path, place, **options):
        asked.append(place)
        if len(asked) == 2:
            raise PermissionError("no more")
        return put_file(self, path, place, **options)

    monkeypatch.setattr(type(system), "put_file", refuses)
    with pytest.raises(OSError, match=r"no more.*what was written lies in /"):
        convert(load(tmp_path / "pets", "val2017", verbose=0), f"{memory}/pets", "coco")
    assert len(asked) == 2 and not system.find("/data/pets")


def test_what_changed_is_copied_again(memory, capsys):
    put(f"{memory}/pets/a.txt", b"1")
    first = local_data(f"{memory}/pets")
    put(f"{memory}/pets/a.txt", b"2")
    assert local_data(f"{memory}/pets") == first  # a process looks once
    remote_module._copied.cache_clear()
    second = local_data(f"{memory}/pets")
    assert second != first
    for copy, content in ((first, "1"), (second, "2")):
        with open(os.path.join(copy, "a.txt")) as file:
            assert file.read() == content


def test_a_copy_goes_on_where_it_stopped(memory, monkeypatch, cache):
    system = file_system(memory)[0]
    for name in "abc":
        put(f"{memory}/pets/{name}", name.encode() * 10)
    asked, get = [], type(system).get_file

    def dies(self, key, copy, **options):
        asked.append(key[-1])
        if key.endswith("c") and len(asked) < 4:
            with open(copy, "wb") as file:
                file.write(b"ccc")  # half of it has come
            raise ConnectionError("gone")
        return get(self, key, copy, **options)

    monkeypatch.setattr(type(system), "get_file", dies)
    monkeypatch.setattr("mrcnn.files.retrying.PAUSES", ())
    with pytest.raises(OSError, match=r"^memory://data/pets/c: ConnectionError: gone"):
        local_data(f"{memory}/pets")
    files = [name for _, _, names in os.walk(cache) for name in names]
    assert "complete" not in files and set(files) <= {"a", "b"}
    asked.clear()
    asked += "...."
    copy = local_data(f"{memory}/pets")
    assert "c" in asked and set(asked) & set(files) == set()
    for name in "abc":
        with open(os.path.join(copy, name)) as file:
            assert file.read() == name * 10


def test_what_fails_for_a_moment_comes_at_once(memory, monkeypatch):
    put(f"{memory}/pets/a", b"1")
    system, failures = file_system(memory)[0], [ConnectionError("gone"), TimeoutError("late")]
    get = type(system).get_file

    def fails_twice(self, key, copy, **options):
        if failures:
            raise failures.pop()
        return get(self, key, copy, **options)

    monkeypatch.setattr(type(system), "get_file", fails_twice)
    monkeypatch.setattr("mrcnn.files.retrying.PAUSES", (0, 0))
    with open(os.path.join(local_data(f"{memory}/pets"), "a")) as file:
        assert file.read() == "1"


def test_what_does_not_fit_the_disk_is_told_first(memory, monkeypatch):
    put(f"{memory}/pets/a", b"1" * 100)
    usage = shutil.disk_usage(".")._replace(free=99)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"0.0 GB do not fit .*KERAS_HOME"):
        local_data(f"{memory}/pets")


def test_names_that_lead_out_of_the_copy(memory, cache):
    system = file_system(memory)[0]
    system.store.clear()
    put(f"{memory}/pets/a", b"1")
    system.store["/data/pets/../../../b"] = system.store["/data/pets/a"]
    with pytest.raises(ValueError, match=r"pets: \.\./\.\./\.\./b would lie outside"):
        local_data(f"{memory}/pets")
    assert not cache.exists()


def test_pictures_are_read_from_where_they_are(memory, tmp_path):
    put(f"{memory}/a.png", picture(3))
    put(f"{memory}/broken.png", b"nothing")
    expected = tmp_path / "a.png"
    expected.write_bytes(picture(3))
    for path in (f"{memory}/a.png", f"file://{expected}"):
        np.testing.assert_array_equal(read_image(path), read_image(expected))
        assert image_size(path) == (4, 6)
        with PageReader(path) as pages:
            assert len(pages) == 1 and pages.read(0).shape == (4, 6, 3)
        assert Channels(3).read(path).shape == (4, 6, 3)
    dataset = Dataset()
    for name in ("a", "broken", "none"):
        dataset.add_image("pets", name, f"{memory}/{name}.png")
    dataset.prepare()
    np.testing.assert_array_equal(dataset.load_image(0), read_image(expected))
    with pytest.raises(ValueError, match=r"Image 1 .memory://data/broken.png.*UnidentifiedImage"):
        dataset.load_image(1)
    with pytest.raises(ValueError, match=r"Image 2 .memory://data/none.png.*there is no such file"):
        dataset.load_image(2)
    with pytest.raises(ValueError, match=r"ftp5://a.png.*expected a path such as s3://bucket"):
        read_image("ftp5://a.png")


def test_commands_take_remote_data(memory, tmp_path, capsys):
    write_coco(new(tmp_path / "pets"), "train2017")
    put_folder(tmp_path / "pets", f"{memory}/pets")
    assert cli.main(["check", f"{memory}/pets"]) == 0
    assert cli.main(["anchors", f"{memory}/pets"]) == 0
    assert cli.main(["stats", f"file://{tmp_path}/pets"]) == 0
    here, there = tmp_path / "here", tmp_path / "there"
    assert cli.main(["convert", f"{memory}/pets", str(there), "--to", "coco"]) == 0
    same(load(there, verbose=0), load(convert(load(tmp_path / "pets", verbose=0), here, "coco")))
    capsys.readouterr()
    assert cli.main(["check", f"{memory}/none"]) == 2
    assert "memory://data/none: there is no such file or folder" in capsys.readouterr().err
