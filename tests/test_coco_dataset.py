import functools
import http.server
import os
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from coco_folder import (
    ANNOTATIONS,
    CAR,
    PERSON,
    annotation,
    truth,
    write_annotations,
    write_coco,
    write_images,
)
from pycocotools import mask as mask_utils

from mrcnn.config import Config
from mrcnn.data.fitting import check_outlines
from mrcnn.data.formats.coco import CocoDataset
from mrcnn.data.formats.coco import download as coco_files
from mrcnn.files import download
from mrcnn.settings import Settings

DATA = os.environ.get("MRCNN_DATA")
PERSON_MASK = [[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]
CAR_MASK = [[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]


def load(folder, subset="val", year=2017, **arguments):
    dataset = CocoDataset()
    dataset.load_coco(folder, subset, year, **arguments)
    dataset.prepare()
    return dataset


def ids(dataset):
    return [info["id"] for info in dataset.image_info]


# Classes and images.


def test_classes_are_contiguous_and_images_without_objects_stay(tmp_path):
    dataset = load(write_coco(tmp_path))
    assert dataset.class_names == ["BG", "person", "car", "toothbrush"]
    assert [dataset.get_source_class_id(i, "coco") for i in (1, 2, 3)] == [1, 3, 90]
    assert ids(dataset) == [3, 5, 7]
    assert dataset.load_image(0)[0, 0].tolist() == [3, 3, 3]
    info = dataset.image_info[2]
    assert (info["height"], info["width"], len(info["annotations"])) == (4, 3, 2)


def test_chosen_classes_keep_their_order_and_images_with_them(tmp_path):
    folder = write_coco(tmp_path)
    dataset = load(folder, class_ids=np.array([90, 1]))
    assert dataset.class_names == ["BG", "toothbrush", "person"]
    assert ids(dataset) == [3, 7]
    assert [dataset.load_mask(i)[1].tolist() for i in (0, 1)] == [[1], [2]]
    assert ids(load(folder, class_ids=[1])) == [7]
    assert ids(load(folder, class_ids=[])) == [3, 5, 7]  # as matterport: all
    with pytest.raises(ValueError, match=r"\[1, 3, 90\], received \[2\]"):
        load(folder, class_ids=[1, 2])


def test_subsets_add_up(tmp_path):
    write_coco(tmp_path, "train2014", truth([7]))
    write_annotations(tmp_path, "valminusminival2014", truth([3]))
    write_images(tmp_path, "val2014")
    dataset = CocoDataset()
    assert dataset.load_coco(tmp_path, "train") is None  # of 2014
    coco = dataset.load_coco(tmp_path, "valminusminival", year="2014", return_coco=True)
    dataset.prepare()
    assert list(coco.imgs) == [3]
    assert ids(dataset) == [7, 3]
    assert dataset.num_classes == 4
    assert Path(dataset.source_image_link(1)) == tmp_path / "val2014" / "3.png"


# Masks.


def test_masks_by_hand(tmp_path):
    dataset = load(write_coco(tmp_path))
    masks, class_ids = dataset.load_mask(2)
    assert masks.dtype == bool
    assert class_ids.dtype == np.int32
    assert class_ids.tolist() == [1, 2]
    np.testing.assert_array_equal(masks[:, :, 0], PERSON_MASK)
    np.testing.assert_array_equal(masks[:, :, 1], CAR_MASK)
    masks, class_ids = dataset.load_mask(1)
    assert masks.shape == (4, 3, 0)
    assert class_ids.shape == (0,)


def test_a_crowd_of_another_size_covers_the_image(tmp_path):
    masks, class_ids = load(write_coco(tmp_path)).load_mask(0)
    assert class_ids.tolist() == [-2, 3]
    assert masks[:, :, 0].all()
    np.testing.assert_array_equal(masks[:, :, 1], CAR_MASK)


def test_a_crowd_of_the_right_size_keeps_its_mask(tmp_path):
    crowd = annotation(0, 7, 1, PERSON, [0, 1, 1, 2], iscrowd=1)
    masks, class_ids = load(write_coco(tmp_path, content=truth([7], [crowd]))).load_mask(0)
    assert class_ids.tolist() == [-1]
    np.testing.assert_array_equal(masks[:, :, 0], PERSON_MASK)


def test_an_object_of_another_size_names_its_annotation(tmp_path):
    wrong = annotation(8, 7, 1, {"size": [2, 2], "counts": [0, 4]}, [0, 0, 2, 2])
    dataset = load(write_coco(tmp_path, content=truth([7], [wrong])))
    with pytest.raises(ValueError, match=r"image 7, annotation 8: .*\[4, 3\], received \[2, 2\]"):
        dataset.load_mask(0)


def test_objects_without_a_pixel_are_left_out(tmp_path):
    none = {"size": [4, 3], "counts": [12]}
    # Two points are no polygon, though pycocotools would take them for the box [0, 0, 3, 4].
    line = [[0, 0, 3, 4]]
    annotations = [
        annotation(0, 7, 1, none, [0, 0, 0, 0]),
        annotation(1, 7, 3, line, [0, 0, 3, 4]),
        annotation(2, 7, 90, [*line, *CAR], [0, 0, 3, 4]),
    ]
    with pytest.warns(UserWarning, match="fewer than three points .*: 1, 2$"):
        dataset = load(write_coco(tmp_path, content=truth([7], annotations)))
    with pytest.warns(UserWarning, match="image 7, annotation 0: .* no pixel") as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            masks, class_ids = dataset.load_mask(0)
    assert sum("no pixel" in str(warning.message) for warning in caught) == 1
    assert class_ids.tolist() == [3]
    np.testing.assert_array_equal(masks[:, :, 0], CAR_MASK)


@pytest.mark.parametrize("segmentation", [None, []])
def test_an_annotation_without_an_outline_is_an_error(tmp_path, segmentation):
    nothing = annotation(8, 7, 1, segmentation, [0, 0, 2, 2]) | {"bbox": None}
    with pytest.raises(ValueError, match="Annotation 8 of image 7: expected polygons"):
        load(write_coco(tmp_path, content=truth([7], [nothing])))


@pytest.mark.parametrize("segmentation", [None, []])
def test_a_box_alone_trains_no_masks_unless_asked(tmp_path, segmentation):
    box = annotation(8, 7, 1, segmentation, [1, 0, 2, 3])
    dataset = load(write_coco(tmp_path, content=truth([7], [box])))
    # Columns 1 and 2, rows 0 to 2 of 4 x 3 pixels.
    assert dataset.load_mask(0)[0][:, :, 0].astype(int).tolist() == [[0, 1, 1]] * 3 + [[0, 0, 0]]
    settings = Settings.from_config(type("C", (Config,), {"NAME": "c", "NUM_CLASSES": 4})())
    with pytest.raises(ValueError, match=r"png, annotation 8 has a box alone.*USE_MASK = False"):
        check_outlines(dataset, settings)
    dataset.box_masks = True
    check_outlines(dataset, settings)
    dataset.box_masks, boxes = False, type("C", (Config,), {"NAME": "c", "USE_MASK": False})()
    check_outlines(dataset, Settings.from_config(boxes))


def test_all_three_kinds_of_outline():
    dataset = CocoDataset()
    compressed = mask_utils.frPyObjects(PERSON, 4, 3)
    for outline in (PERSON, compressed):
        mask = dataset.annToMask({"segmentation": outline}, 4, 3)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, PERSON_MASK)
    # Two parts of one object: the car, and the pixel of row 3, column 0.
    parts = [*CAR, [0, 3, 1, 3, 1, 4, 0, 4]]
    code = dataset.annToRLE({"segmentation": parts}, 4, 3)
    assert mask_utils.area(code) == 5
    assert mask_utils.decode(code)[3].tolist() == [1, 0, 0]


def test_images_of_other_sources_are_the_base_class(tmp_path):
    dataset = load(write_coco(tmp_path))
    assert dataset.image_reference(2) == "http://cocodataset.org/#explore?id=7"
    dataset.add_image("pets", 1, "felix.png")
    assert dataset.image_reference(3) == ""
    assert dataset.load_mask(3)[1].size == 0


# What is missing.


def test_missing_files_say_where_and_how(tmp_path):
    path = tmp_path / "annotations" / "instances_val2017.json"
    with pytest.raises(ValueError, match=rf"annotations in the file {path}.*--download"):
        load(tmp_path)
    write_annotations(tmp_path, "val2017", truth())
    folder = tmp_path / "val2017"
    with pytest.raises(ValueError, match=rf"pictures in the folder {folder},.*--download"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"instances_test2016.json.*has train, val, minival"):
        load(tmp_path, "test", 2016)


def test_broken_annotations_are_named(tmp_path):
    write_coco(tmp_path)
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=rf"{path}: expected JSON, but it is none"):
        load(tmp_path)


# Downloads: a server on this machine with archives of the size of a few hundred bytes.


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves a folder `published` in place of COCO's server; returns the requested paths."""
    root, requests = tmp_path / "published", []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            super().do_GET()

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=root)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,)).start()
    monkeypatch.setattr(coco_files, "URL", f"http://127.0.0.1:{httpd.server_port}")
    yield requests
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Archives as COCO's: val2014 has all three pictures, val2017 lists two of them."""
    files, root = tmp_path / "files", tmp_path / "published"
    files.mkdir()
    write_coco(files, "val2014")
    write_coco(files, "val2017", truth([3, 5]))
    expected = {}
    for name in ("zips/val2014", "zips/val2017", *(f"annotations/{n}" for n in ANNOTATION_ZIPS)):
        inside = "annotations" if name.startswith("annotations") else Path(name).name
        shutil.make_archive(str(root / name), "zip", files, inside)
        measured = download.measure(root / f"{name}.zip")
        expected[f"{name}.zip"] = download.Expected(measured["size"], measured["sha256"])
    monkeypatch.setattr(coco_files, "ARCHIVES", expected)
    return root


ANNOTATION_ZIPS = ("annotations_trainval2014", "annotations_trainval2017")


def test_download_brings_what_is_missing_once(tmp_path, server, published, capsys):
    folder = tmp_path / "new" / "coco"
    dataset = load(folder, auto_download=True)
    assert ids(dataset) == [3, 5]
    assert dataset.load_image(1)[0, 0].tolist() == [5, 5, 5]
    wanted = ["/zips/val2017.zip", "/annotations/annotations_trainval2017.zip"]
    assert server == wanted
    assert "Fetching http://127.0.0.1" in capsys.readouterr().out
    # Archives that were deleted once unpacked are not fetched again.
    for archive in folder.glob("*.zip"):
        archive.unlink()
    load(folder, auto_download=True)
    assert server == wanted
    # Pictures that are there are not fetched again, and nothing temporary is left.
    shutil.rmtree(folder / "annotations")
    load(folder, auto_download=True)
    assert server == [*wanted, wanted[1]]
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"val2017", "annotations"}


@pytest.mark.parametrize("subset, expected", [("minival", [3, 5]), ("valminusminival", [7])])
def test_parts_of_val_are_told_by_val2017(tmp_path, server, published, subset, expected):
    folder = tmp_path / "coco"
    dataset = load(folder, subset, "2014", auto_download=True)
    assert ids(dataset) == expected
    assert (folder / "annotations" / f"instances_{subset}2014.json").exists()
    kept = sorted(each["id"] for info in dataset.image_info for each in info["annotations"])
    assert kept == [each["id"] for each in ANNOTATIONS if each["image_id"] in expected]
    assert "/zips/val2017.zip" not in server
    assert dataset.load_image(0)[0, 0, 0] == expected[0]
    count = len(server)
    load(folder, subset, "2014", auto_download=True)
    assert len(server) == count


def test_an_empty_folder_is_no_data_set(tmp_path, server, published):
    (tmp_path / "coco" / "val2017").mkdir(parents=True)
    dataset = load(tmp_path / "coco", auto_download=True)
    assert dataset.load_image(0)[0, 0].tolist() == [3, 3, 3]


def test_a_damaged_archive_leaves_nothing(tmp_path, server, published):
    archive = published / "zips" / "val2017.zip"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-1] + b"x")
    path = tmp_path / "coco" / "val2017.zip"
    with pytest.raises(OSError, match=rf"By hand: download it and put it at {path} \(expected:"):
        load(tmp_path / "coco", auto_download=True)
    assert not path.exists()
    assert not (tmp_path / "coco" / "val2017").exists()
    archive.write_bytes(whole)
    assert ids(load(tmp_path / "coco", auto_download=True)) == [3, 5]


def test_an_interrupted_unpacking_leaves_nothing(tmp_path, server, published, monkeypatch):
    def extractall(archive, folder, members):
        archive.extract(members[0], folder)
        raise KeyboardInterrupt

    folder = tmp_path / "coco"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(coco_files.zipfile.ZipFile, "extractall", extractall)
        load(folder, auto_download=True)
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["annotations"]
    assert ids(load(folder, auto_download=True)) == [3, 5]
    assert server.count("/zips/val2017.zip") == 1


def test_what_cannot_be_downloaded(tmp_path, server):
    dataset = CocoDataset()
    with pytest.raises(ValueError, match=r"a subset of train, val, minival.* received 'test'"):
        dataset.auto_download(tmp_path, "test", 2017)
    with pytest.raises(ValueError, match=r"a year of 2014, 2017.* '2015'"):
        dataset.auto_download(tmp_path, "val", 2015)
    with pytest.raises(ValueError, match=r"'minival' expects year 2014, received 2017.*'val'"):
        dataset.auto_download(tmp_path, "minival", 2017)
    with pytest.raises(ValueError, match=r"'valminusminival' expects .*'train'"):
        dataset.auto_download(tmp_path, "valminusminival", "2017")
    assert server == []
    assert list(tmp_path.iterdir()) == []


def test_published_archives():
    # COCO's own names; sizes as the download page rounds them: 13 + 6 + 18 + 1 GB of pictures in
    # units of 2**30 bytes, 241 MB of annotations of each year in units of 2**20 bytes.
    sizes = {name: expected.size for name, expected in coco_files.ARCHIVES.items()}
    gigabytes = {name: round(size / 2**30) for name, size in sizes.items() if "zips" in name}
    assert gigabytes == {
        "zips/train2014.zip": 13,
        "zips/val2014.zip": 6,
        "zips/train2017.zip": 18,
        "zips/val2017.zip": 1,
    }
    megabytes = {name: size // 2**20 for name, size in sizes.items() if "zips" not in name}
    assert megabytes == {f"annotations/{name}.zip": 241 for name in ANNOTATION_ZIPS}
    assert all(len(expected.sha256) == 64 for expected in coco_files.ARCHIVES.values())


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_real_coco():
    folder = Path(DATA) / "tiny_coco"
    training, validation = load(folder, "train"), load(folder)
    assert (training.num_images, validation.num_images) == (50, 50)
    assert training.num_classes == validation.num_classes == 81
    assert training.class_names[1] == "person"
    assert training.class_names[80] == "toothbrush"
    found = [training.load_mask(i) for i in training.image_ids]
    assert sum(len(class_ids) == 0 for _, class_ids in found) == 1
    assert sum((class_ids < 0).sum() for _, class_ids in found) == 5
    assert sum(len(class_ids) for _, class_ids in found) == 470
    for image_id, (masks, class_ids) in enumerate(found):
        assert masks.shape == (*training.load_image(image_id).shape[:2], len(class_ids))
        areas = [each["area"] for each in training.image_info[image_id]["annotations"]]
        # COCO's area of a polygon is exact, that of its mask counts pixels.
        np.testing.assert_allclose(masks.sum(axis=(0, 1)), areas, rtol=0.15, atol=40)
