"""What holds for every annotation format: `format_examples` has one data set of each."""

import json
import shutil

import numpy as np
import pytest
from format_examples import HEIGHT, PICTURES, WIDTH, write_example
from PIL import Image

from mrcnn.data import Dataset
from mrcnn.data.checking import check_path
from mrcnn.data.converting import convert
from mrcnn.data.formats import WRITERS
from mrcnn.data.loading import load

FORMATS = pytest.mark.parametrize("format", PICTURES)


NAMING = pytest.mark.parametrize("format", sorted(PICTURES.keys() - {"masks", "labels", "yolo"}))


def paths(folder):
    return sorted(x for x in folder.rglob("*") if x.is_file())


@FORMATS
def test_hidden_files_beside_all_others_do_not_matter(tmp_path, format):
    """As macOS leaves them in archives: `._a.png`, of its own format."""
    mask = write_example(format, tmp_path)
    for path in paths(tmp_path):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7" + bytes(80))
    dataset = load(tmp_path, verbose=0)
    assert dataset.source == format and dataset.num_images == 1
    np.testing.assert_array_equal(dataset.load_mask(0)[0], mask[:, :, None])


@NAMING
def test_pictures_that_no_annotation_names_are_told(tmp_path, format):
    write_example(format, tmp_path)
    picture = tmp_path / PICTURES[format]
    shutil.copy(picture, picture.with_name("b.png"))
    shutil.copy(picture, picture.with_name("a.jpg"))  # the name of another, but for the suffix
    (picture.parent / "deep").mkdir()
    shutil.copy(picture, picture.parent / "deep")
    with pytest.warns(UserWarning, match=r"names are left out: .*a.jpg, .*b.png, .*deep/a.png$"):
        assert load(tmp_path, verbose=0).num_images == 1


def twice_in_json(key):
    def change(path):
        content = json.loads(path.read_text())
        entries = content[key] if key else content
        entries.append(entries[0] | {"id": 2})
        path.write_text(json.dumps(content))

    return change


def twice_in_xml(path):
    start, image = path.read_text().split(">", 1)[0] + ">", path.read_text().split(">", 1)[1]
    image = image.replace("</annotations>", "")
    path.write_text(start + 2 * image + "</annotations>")


def another_file(path):
    shutil.copy(path, path.with_name(f"z{path.suffix}"))


@pytest.mark.parametrize(
    ("format", "file", "change"),
    [
        ("coco", "annotations/instances_train.json", twice_in_json("images")),
        ("labelme", "a.json", another_file),
        ("via", "via_region_data.json", another_file),
        ("voc", "Annotations/a.xml", another_file),
        ("cvat", "annotations.xml", twice_in_xml),
        ("label_studio", "export.json", twice_in_json(None)),
    ],
)
def test_a_picture_of_two_entries_is_refused(tmp_path, format, file, change):
    """Half of its objects would be background in each; a project beside its export is the same."""
    write_example(format, tmp_path)
    change(tmp_path / file)
    picture = tmp_path / PICTURES[format]
    with pytest.raises(ValueError, match=rf"expected one entry .* {picture} too; join"):
        load(tmp_path)
    assert check_path(tmp_path)[0].num_images == 1


class Named(Dataset):
    """Pictures of files and subsets with odd names; each has the object of the examples."""

    def __init__(self, mask, *entries):
        super().__init__()
        self.mask = mask
        self.add_class("own", 1, "cat")
        for i, (path, subset) in enumerate(entries):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((HEIGHT, WIDTH, 3), i, np.uint8)).save(path, "PNG")
            self.add_image("own", i, str(path), subset=subset)
        self.prepare()

    def load_mask(self, image_id):
        return self.mask[:, :, None], np.ones(1, int)


@pytest.mark.parametrize("format", WRITERS)
def test_odd_names_are_written_so_that_they_are_read(tmp_path, format):
    mask = write_example("masks", tmp_path / "example")
    names = ["pic", ".hidden.png", "x.photo", "ünï 漢字.png", "a:b.png", "pic.png"]
    paths = [tmp_path / f"in{i}" / name for i, name in enumerate(names)]
    dataset = Named(mask, *((path, "") for path in paths))
    back = load(convert(dataset, tmp_path / "out", format), verbose=0)
    assert back.num_images == len(names)
    assert {back.load_image(i)[0, 0, 0] for i in range(len(names))} == set(range(len(names)))
    for i in range(len(names)):
        np.testing.assert_array_equal(back.load_mask(i)[0][:, :, 0], mask)


@pytest.mark.parametrize("format", WRITERS)
def test_classes_of_one_name_are_written_as_one(tmp_path, format):
    mask = write_example("masks", tmp_path / "example")
    dataset = Named(mask, (tmp_path / "in" / "a.png", ""))
    dataset.add_class("other", 1, "cat")
    dataset.prepare()
    back = load(convert(dataset, tmp_path / "out", format), verbose=0)
    assert back.class_names == ["BG", "cat"]


@pytest.mark.parametrize("format", WRITERS)
def test_subsets_of_any_name_are_written_inside_and_read(tmp_path, format):
    mask = write_example("masks", tmp_path / "example")
    subsets = ["../../evil", "batch 1", "Training"]
    entries = [(tmp_path / "in" / f"{i}.png", subset) for i, subset in enumerate(subsets)]
    dataset = Named(mask, *entries)
    before = sorted(tmp_path.iterdir())
    back = load(convert(dataset, tmp_path / "deep" / "out", format), verbose=0)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "deep"])
    assert back.num_images == 3
    assert len({info["subset"] for info in back.image_info}) == 3


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("yolo", "labels/train/a.txt: expected the objects of one picture, but a.jpg and a.png"),
        ("labels", "masks/a.png: expected one picture and one label image .*/a.jpg, .*/a.png"),
    ],
)
def test_two_pictures_of_one_name_and_other_suffixes_are_refused(tmp_path, format, message):
    """Whose objects are these?"""
    write_example(format, tmp_path)
    picture = tmp_path / PICTURES[format]
    shutil.copy(picture, picture.with_suffix(".jpg"))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
