"""What is made of detections by tiles: pictures, files, tables."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as mask_utils
from rich.console import Console
from skimage.io import imread
from test_detections import example
from test_tiling import seen
from tiny import TinyConfig, shapes

from mrcnn import settings
from mrcnn.image import CroppedMasks, TiffRegions
from mrcnn.inference import Detections, writers
from mrcnn.inference.streams import check_folder, detect_to_folder
from mrcnn.inference.unmold import unmold_detections
from mrcnn.model import MaskRCNN


def cropped_example():
    """`example` of the tests of `Detections`, with the same masks inside their boxes."""
    found = example()
    planes = np.moveaxis(found["masks"], -1, 0)
    found["masks"] = CroppedMasks.of(planes, *found.image.shape[:2])
    return found


# ---- `Detections`


def test_all_that_detections_do_is_the_same():
    found, same = example(), cropped_example()
    np.testing.assert_array_equal(found.label_image(), same.label_image())
    np.testing.assert_array_equal(found.plot(), same.plot())
    assert found.to_coco(3) == same.to_coco(3)
    assert found.rows() == same.rows()
    np.testing.assert_array_equal(found.rotated_boxes(), same.rotated_boxes())
    for rings, others in zip(found.polygons(), same.polygons(), strict=True):
        np.testing.assert_array_equal(rings, others)
    np.testing.assert_array_equal(found.to_supervision().mask, same.to_supervision().mask)
    part = same[same["scores"] > 0.6]
    assert isinstance(part["masks"], CroppedMasks) and part["masks"].shape == (6, 8, 1)
    np.testing.assert_array_equal(same.label_image((2, 3, 5, 7)), found.label_image()[2:5, 3:7])
    assert same.filter([]).plot().shape == (6, 8, 3)


def test_reduced_for_looking_at():
    found = cropped_example()
    assert found.reduced(8) is found
    assert example().reduced(4) is not None and example().reduced(4).image.shape == (6, 8, 3)
    small = found.reduced(4)  # by 2: each pixel the mean of 2 x 2
    assert small.image.shape == (3, 4, 3) and small["masks"].shape == (3, 4, 2)
    # Pixels 0 1 8 9 of 8 a row: 4.5, to the even of both.
    assert small.image[0, 0, 0] == 4
    assert small["boxes"].tolist() == [[0.625, 1, 1.5, 2.5], [1, 2, 2.75, 3.5]]
    np.testing.assert_array_equal(np.asarray(small["masks"]), example()["masks"][1::2, 1::2])


@pytest.mark.parametrize("paste", ["resize", "padded", "sampled"])
def test_masks_are_pasted_alike(paste):
    rng = np.random.default_rng(0)
    detections = np.array([[0.1, 0.2, 0.5, 0.9, 1, 0.9], [0.3, -0.1, 1.2, 0.4, 2, 0.8]])
    args = detections, rng.random((2, 7, 7)), (20, 30), (20, 30), (0, 0, 20, 30), paste, 0
    whole, cropped = unmold_detections(*args), unmold_detections(*args, cropped=True)
    assert isinstance(cropped["masks"], CroppedMasks) and whole["masks"].any()
    np.testing.assert_array_equal(np.asarray(cropped["masks"]), whole["masks"])


# ---- into a folder


class FakeModel:
    """Finds every grey value above 0; with tiles as a model would, without merging."""

    class_names = ("BG", "cell")

    def __init__(self, size, channels=3):
        self.settings = SimpleNamespace(
            runtime=SimpleNamespace(batch_size=2),
            image=settings.Image(num_classes=2, channels=channels),
            mask_head=SimpleNamespace(enabled=True),
            ground_truth=SimpleNamespace(use_rpn_rois=True),
            tiles=SimpleNamespace(size=size),
        )
        self.batches = []

    def detect(self, images, progress=None):
        self.batches.append([type(image).__name__ for image in images])
        progress(3, 4)
        found = [seen(np.asarray(image)[:, :, 0]) for image in images]
        return [Detections(*x, self.class_names) for x in zip(found, images, strict=True)]


@pytest.fixture
def slides(tmp_path, monkeypatch):
    """A TIFF of 60 x 100 with two objects, and two small pictures of one of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writers, "OVERLAY_SIDE", 50)
    monkeypatch.setattr(writers, "LABEL_TILE", 32)
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[10:20, 30:37], pixels[40:60, 90:100] = 200, 100
    Path("in").mkdir()
    for name in ("a", "z"):
        Image.fromarray(pixels[:20, 20:40]).save(f"in/{name}.png")
    tifffile.imwrite("in/slide.tif", pixels, tile=(16, 16), photometric="rgb")
    return pixels


def test_a_slide_into_a_folder(slides):
    model, console = FakeModel(32), Console(file=io.StringIO(), width=80)
    assert detect_to_folder(model, "in", "out", console=console).instances == 4
    # The slide by itself, not yet decoded; the small ones on both sides of it.
    assert model.batches == [["ndarray"], ["ModelRegions"], ["ndarray"]]
    assert not Path("out/masks").exists()
    content = json.loads(Path("out/detections.json").read_text())
    slide = next(x for x in content["images"] if x["file_name"] == "slide.tif")
    assert (slide["height"], slide["width"]) == (60, 100)
    codes = [x for x in content["annotations"] if x["image_id"] == slide["id"]]
    assert sorted(x["area"] for x in codes) == [70, 200]
    mask = mask_utils.decode(codes[0]["segmentation"])
    np.testing.assert_array_equal(mask.astype(bool), slides[:, :, 0] == 100)
    # Labels as TIFF in tiles: the masks again; the small picture's as PNG.
    labels = imread("out/labels/slide.tif")
    assert labels.dtype == np.uint16 and labels.shape == (60, 100)
    np.testing.assert_array_equal(labels > 0, slides[:, :, 0] > 0)
    assert labels[15, 33] != labels[50, 95] and Path("out/labels/a.png").exists()
    assert imread("out/overlays/slide.jpg").shape == (30, 50, 3)
    assert imread("out/overlays/a.jpg").shape == (20, 20, 3)
    crops = sorted(x.name for x in Path("out/crops/cell").iterdir())
    assert crops == ["a_0001.png", "slide_0001.png", "slide_0002.png", "z_0001.png"]
    assert (imread("out/crops/cell/slide_0001.png") == slides[40:60, 90:100]).all()


@pytest.mark.parametrize("kind", ["planes", "pages"])
def test_a_slide_of_five_bands(kind, slides, monkeypatch):
    bands = np.stack([slides[:, :, 0] // (i + 1) for i in range(5)])
    options = {"tile": (16, 16), "photometric": "minisblack"}
    if kind == "planes":
        tifffile.imwrite("bands.tif", bands, planarconfig="separate", **options)
    else:
        with tifffile.TiffWriter("bands.tif") as file:
            for band in bands:
                file.write(band, contiguous=False, **options)
    model, console = FakeModel(32, channels=5), Console(file=io.StringIO())
    assert detect_to_folder(model, "bands.tif", "out", console=console).instances == 2
    assert model.batches == [["ModelRegions"]]
    assert imread("out/overlays/bands.jpg").shape == (30, 50, 3)
    # The first three of 100, 50, 33, 25, 20.
    assert imread("out/crops/cell/bands_0001.png")[0, 0].tolist() == [100, 50, 33]


def test_full_masks_of_a_slide_if_asked_for(slides):
    detect_to_folder(FakeModel(32), "in", "out", save="masks", console=Console(file=io.StringIO()))
    mask = imread("out/masks/slide/0001.png")
    np.testing.assert_array_equal(mask > 0, slides[:, :, 0] == 100)
    assert set(np.unique(mask)) == {0, 255}


def test_the_folder_of_a_run_without_masks_is_checked_as_it_is_made(slides, tmp_path):
    detect_to_folder(FakeModel(32), "in", "out", console=Console(file=io.StringIO()))
    check_folder("out", True, FakeModel.class_names, tile_size=32)
    with pytest.raises(ValueError, match="holds results of other settings"):
        check_folder("out", True, FakeModel.class_names)


# ---- a model


class SlideConfig(TinyConfig):
    TILE_SIZE, TILE_OVERLAP = 64, 16
    MASK_PASTE = "resize"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(as many detections as it may|larger than what tiles share)")
def test_a_model_detects_in_a_file_by_regions(tmp_path, monkeypatch):
    model = MaskRCNN("inference", SlideConfig(), tmp_path)
    image = np.concatenate([shapes().load_image(i) for i in range(2)], axis=1)  # 64 x 128
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(16, 16), photometric="rgb")
    told = []
    array, file = model.detect([image, str(tmp_path / "a.tif")], progress=lambda *x: told.append(x))
    assert told == [(1, 3), (2, 3), (3, 3)] * 2 and isinstance(file.image, TiffRegions)
    assert list(array) == ["rois", "boxes", "class_ids", "scores", "masks"]
    for name in list(array)[:4]:
        np.testing.assert_array_equal(array[name], file[name])
    assert file["masks"].shape == (64, 128, file.count)
    assert (np.diff(file["scores"]) <= 0).all() and file.count
    # A picture that is one tile is what it was without tiles.
    plain = MaskRCNN("inference", TinyConfig(), tmp_path)
    plain.keras_model.set_weights(model.keras_model.get_weights())
    one, other = model.detect([image[:, :64]])[0], plain.detect([image[:, :64]])[0]
    for name in other:
        np.testing.assert_allclose(np.asarray(one[name]), other[name], atol=1e-4)
    stream = list(model.detect([image], stream=True))
    np.testing.assert_array_equal(stream[0]["rois"], array["rois"])
