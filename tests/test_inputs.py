"""What is detected in: folders, patterns, lists, pages, frames, videos."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.image.video import write_video
from mrcnn.inference.inputs import find_sources, iterate_inputs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*paths, value=0):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (value, 0, 0)).save(path)


def names(inputs, **options):
    return [picture.name for picture in iterate_inputs(inputs, **options)]


def paths(inputs, **options):
    return [source.path for source in find_sources(inputs, **options)]


def test_a_folder_and_what_is_below_it_sorted(folder):
    write("pics/b.png", "pics/a.JPG", "pics/sub/c.tif", "pics/.hidden.png", "pics/.cache/d.png")
    (folder / "pics" / "notes.json").write_text("{}")
    assert paths("pics") == ["pics/a.JPG", "pics/b.png", "pics/sub/c.tif"]
    assert names(folder / "pics") == ["a", "b", "sub/c"]
    assert [source.file_name for source in find_sources("pics")] == ["a.JPG", "b.png", "sub/c.tif"]


def test_the_folder_to_write_into_is_left_out():
    write("pics/a.png", "pics/out/overlays/a.jpg", "pics/outside/b.png")
    assert names("pics", avoid="pics/out") == ["a", "outside/b"]
    assert paths("pics/**/*", avoid="pics/out") == ["pics/a.png", "pics/outside/b.png"]
    assert paths("pics/out/overlays/a.jpg", avoid="pics/out") == ["pics/out/overlays/a.jpg"]
    with pytest.raises(ValueError, match=r"inputs\[0\] is 'pics', the folder to write into"):
        find_sources("pics", avoid="./pics")


def test_patterns():
    write("pics/b.png", "pics/a.png", "pics/sub/c.png", "pics/d.jpg")
    assert paths("pics/*.png") == ["pics/a.png", "pics/b.png"]
    assert paths("pics/**/*.png") == ["pics/a.png", "pics/b.png", "pics/sub/c.png"]
    write("pics/[1].png")  # a file that has the name of a pattern is itself
    assert paths("pics/[1].png") == ["pics/[1].png"]


def test_a_text_lists_paths_from_its_own_folder_on(folder):
    write("data/a.png", "b.png")
    text = f"\ufeffa.png\r\n\n  ../b.png \n{folder}/data/a.png\nmissing.png\n"
    (folder / "data" / "list.txt").write_text(text, "utf-8")
    assert paths("data/list.txt") == ["data/a.png", "data/../b.png", "data/missing.png"]
    assert names("data/list.txt") == ["data/a", "b", "data/missing"]
    (folder / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"inputs\[0\] is 'list.txt'; expected a text in UTF-8"):
        find_sources(["list.txt"])


def test_equal_stems_keep_what_tells_them_apart():
    write("train/x.png", "val/x.png", "val/y.png", "val/y.jpg")
    assert names(["train", "val"]) == ["train/x", "val/x", "val/y.jpg", "val/y.png"]
    assert names(["val/x.png", "train/x.png"]) == ["val/x", "train/x"]
    write("val/y.jpg.png")  # its stem is what y.jpg is called above
    assert names("val") == ["x.png", "y.jpg", "y.jpg.png", "y.png"]


def test_a_file_that_is_named_twice_is_taken_once(folder):
    write("pics/a.png", "pics/b.png")
    assert names(["pics/b.png", "pics", folder / "pics" / "a.png"]) == ["b", "a"]


def test_names_never_lead_outside():
    write("here/a.png", "b.png")
    found = names(["here/../b.png", "here/a.png"])
    assert found == ["b", "here/a"]


def test_what_names_nothing_says_so(folder):
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_text("\n")
    for item, words in {
        "missing": r"there is no such file",
        "empty": r"expected a folder of pictures, found none \(\.jpg",
        "*.png": r"expected a pattern that pictures match, found none",
        "empty.txt": r"expected a text with a path a line, found none",
    }.items():
        write("a.jpg")
        with pytest.raises(ValueError, match=rf"^inputs\[1\] is '{re.escape(item)}'; .*{words}"):
            find_sources(["a.jpg", item])
    with pytest.raises(ValueError, match="received none"):
        find_sources([])
    with pytest.raises(ValueError, match="frames is 'each'; expected one of"):
        iterate_inputs("a.jpg", frames="each")


def test_pages_of_a_tiff_are_pictures():
    stack = np.stack([np.full((4, 6), value, np.uint8) for value in (10, 20, 30)])
    tifffile.imwrite("stack.tif", stack, photometric="minisblack")
    write("stack_p0002.png", value=99)
    found = [(p.name, p.page, p.count, p.load().flat[0]) for p in iterate_inputs(".")]
    assert found == [
        ("stack_p0001", 1, 3, 10),
        ("stack.tif_p0002", 2, 3, 20),  # not the name of the other file
        ("stack_p0003", 3, 3, 30),
        ("stack_p0002", None, 1, 99),
    ]
    assert names("stack.tif", frames="first") == ["stack"]


def test_frames_of_an_animation_are_pictures():
    colors = [(250, 0, 0), (0, 250, 0)]
    first, second = (Image.new("RGB", (6, 4), color) for color in colors)
    first.save("a.gif", save_all=True, append_images=[second])
    found = [(p.name, tuple(p.load()[0, 0, :3].tolist())) for p in iterate_inputs("a.gif")]
    assert found == [("a_f0001", colors[0]), ("a_f0002", colors[1])]


def test_frames_of_a_video_are_pictures(folder):
    pytest.importorskip("av")
    frames = [np.full((32, 48, 3), value, np.uint8) for value in (40, 120, 200)]
    write_video("a.avi", frames, 10)
    found = [(p.name, p.page, p.count, round(p.load().mean(), -1)) for p in iterate_inputs(".")]
    assert found == [
        ("a_f000001", 1, 3, 40),
        ("a_f000002", 2, 3, 120),
        ("a_f000003", 3, 3, 200),
    ]
    data = (folder / "a.avi").read_bytes()
    parts = data.split(b"00dc")  # in the header once, then before each frame
    parts[3] = parts[3][:4] + bytes(len(parts[3]) - 4)
    (folder / "a.avi").write_bytes(b"00dc".join(parts))
    good, damaged = iterate_inputs("a.avi")
    good.load()
    assert damaged.name == "a_f000002"
    with pytest.raises(ValueError, match=r"a\.avi: frame 1 cannot be decoded"):
        damaged.load()


def test_a_file_that_cannot_be_read_is_a_picture_that_says_so(folder):
    (folder / "list.txt").write_text("missing.jpg\nfake.jpg\nfake.mp4\n")
    (folder / "fake.jpg").write_text("no picture")
    (folder / "fake.mp4").write_text("no video")
    found = list(iterate_inputs("list.txt"))
    assert [picture.name for picture in found] == ["missing", "fake.jpg", "fake.mp4"]
    for picture in found:
        with pytest.raises(ValueError, match=picture.source.path):
            picture.load()


def test_videos_without_pyav_are_told_before_anything_is_done(folder, monkeypatch):
    (folder / "a.mp4").write_bytes(b"")
    write("a.png")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"mrcnn\[video\]"):
        iterate_inputs(".")
    assert names("a.png") == ["a"]


def test_folders_of_annotations_and_of_detection_have_the_same_pictures(tmp_path):
    from mrcnn.data.annotations.files import pictures_in

    for name in ("a.tga", "b.avif", "c.JPG", "d.txt"):
        (tmp_path / name).write_bytes(b"")
    found = [Path(source.path).name for source in find_sources(tmp_path)]
    assert found == [path.name for path in pictures_in(tmp_path)] == ["a.tga", "b.avif", "c.JPG"]
