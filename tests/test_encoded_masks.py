"""Masks that are not drawn: boxes alone where none are trained, codes until they are resized."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from skimage import io
from tiny import TinyConfig

from mrcnn.augment import ColorJitter, Compose, FlipLeftRight, Rotate90, ScaleJitter
from mrcnn.data import DataGenerator, Dataset, load, load_image_gt
from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.image.masks import extract_bboxes, fill_boxes, resize_boxes, resize_mask
from mrcnn.image.resizing import resize_image


class BoxConfig(TinyConfig):
    USE_MASK = False
    NUM_CLASSES = 2
    IMAGES_PER_GPU = 1
    STEPS_PER_EPOCH = None


class MaskConfig(BoxConfig):
    USE_MASK = True


@pytest.fixture
def coco(tmp_path):
    """One picture of 32 x 64: a triangle, a code, a crowd, and what covers no pixel."""
    io.imsave(tmp_path / "a.png", np.zeros((32, 64, 3), np.uint8), check_contrast=False)
    code = {"size": [32, 64], "counts": [32 * 10 + 4, 8, 24, 8, 32 * 64 - 32 * 10 - 4 - 8 - 24 - 8]}
    outlines = [
        ([[2, 3, 8, 3, 2, 9]], 0),
        (code, 0),  # rows 4 to 11 of columns 10 and 11
        ({"size": [32, 64], "counts": [0, 32 * 64]}, 1),
        ([[5.2, 5.2, 5.3, 5.2, 5.3, 5.3]], 0),
    ]
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": crowd, "segmentation": outline}
        | {"bbox": [0, 0, 1, 1], "area": 1}
        for i, (outline, crowd) in enumerate(outlines, 1)
    ]
    images = [{"id": 1, "file_name": "a.png", "height": 32, "width": 64}]
    categories = [{"id": 1, "name": "thing"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(data))
    return tmp_path / "instances.json"


@pytest.fixture
def no_masks(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a mask was drawn")

    monkeypatch.setattr("pycocotools.mask.decode", refuse)


@pytest.mark.filterwarnings("ignore:.*covers no pixel")
def test_boxes_of_annotations_are_those_of_their_masks(coco):
    dataset = load(coco)
    dataset.prepare()
    boxes, class_ids = dataset.load_boxes(0, (32, 64, 3))
    masks, expected_ids = dataset.load_mask(0)
    np.testing.assert_array_equal(boxes, extract_bboxes(masks))
    np.testing.assert_array_equal(class_ids, expected_ids)
    assert boxes.dtype == np.int32 and class_ids.tolist() == [1, 1, -1]
    assert boxes[1:].tolist() == [[4, 10, 12, 12], [0, 0, 32, 64]]
    with pytest.raises(ValueError, match=r"the image's size \[64, 32\], received \[32, 64\]"):
        dataset.load_boxes(0, (64, 32, 3))


def test_an_image_without_objects_has_no_boxes(coco):
    data = json.loads(coco.read_text())
    coco.write_text(json.dumps({**data, "annotations": []}))
    dataset = load(coco)
    dataset.prepare()
    boxes, class_ids = dataset.load_boxes(0, (32, 64))
    assert boxes.shape == (0, 4) and class_ids.shape == (0,)


@pytest.mark.filterwarnings("ignore:.*covers no pixel")
@pytest.mark.parametrize("augmentation", [None, FlipLeftRight(1.0)])
def test_no_mask_is_drawn_for_boxes(coco, no_masks, augmentation):
    dataset = load(coco)
    dataset.prepare()
    (batch,) = DataGenerator(dataset, BoxConfig(), False, augmentation)[0]
    # 32 x 64 to 64 x 64: scale 1, 16 rows of padding on top and bottom.
    left = [10, 12] if augmentation is None else [64 - 12, 64 - 10]
    assert batch["input_gt_boxes"][0, 1].tolist() == [20, left[0], 28, left[1]]
    assert batch["input_gt_class_ids"][0].tolist() == [1, 1, -1, 0, 0, 0]
    with pytest.raises((AssertionError, RuntimeError), match="a mask was drawn"):
        DataGenerator(dataset, MaskConfig(), False)._load_image(0, np.random.default_rng(0))


@pytest.mark.filterwarnings("ignore:.*covers no pixel")
@pytest.mark.parametrize("mini_masks", [True, False])
def test_batches_have_the_boxes_that_masks_gave(coco, mini_masks):
    dataset = load(coco)
    dataset.prepare()
    batches = []
    for config in (BoxConfig(), MaskConfig()):
        config.USE_MINI_MASK = mini_masks
        batches.append(DataGenerator(dataset, config, False)[0][0])
    for name in ("input_image", "input_image_meta", "input_gt_boxes", "input_gt_class_ids"):
        np.testing.assert_array_equal(batches[0][name], batches[1][name])
    assert batches[0]["input_gt_masks"].shape == batches[1]["input_gt_masks"].shape


@pytest.mark.filterwarnings("ignore:.*covers no pixel")
def test_an_augmentation_that_may_turn_is_given_the_masks(coco):
    given = []

    def turn(image, masks):
        given.append(masks[16:48].any(axis=(0, 1)).sum())
        assert masks[20:28, 10:12, 1].all() and masks[:, :, 0].sum() < 36  # a triangle, no box
        return image, masks

    dataset = load(coco)
    dataset.prepare()
    DataGenerator(dataset, BoxConfig(), False, turn)[0]
    assert given == [3]


def test_steps_that_keep_rectangles_say_so():
    kept = [FlipLeftRight(), Rotate90(), ScaleJitter(), ColorJitter()]
    assert Compose(kept).keeps_rectangles and Compose([Compose(kept)]).keeps_rectangles
    assert not Compose([*kept, lambda image, masks: (image, masks)]).keeps_rectangles


@pytest.mark.parametrize("side", [40, 64, 100, 333])
@pytest.mark.parametrize("mode", ["square", "crop"])
def test_resized_boxes_are_those_of_resized_masks_that_fill_them(side, mode):
    rng = np.random.default_rng(side)
    corners = np.sort(rng.integers(0, (side, side + 9), (2, 20, 2)), axis=0)
    boxes = np.concatenate([corners[0], corners[1] + 1], axis=1)
    image = np.zeros((side, side + 9, 3), np.uint8)
    _, window, scale, padding, crop = resize_image(image, 64, 64, mode=mode)
    size = None if crop else (window[2] - window[0], window[3] - window[1])
    masks = resize_mask(fill_boxes(boxes, image.shape), scale, padding, crop, size)
    resized = resize_boxes(boxes, image.shape, scale, padding, crop, size)
    np.testing.assert_array_equal(resized, extract_bboxes(masks))


def test_boxes_by_hand():
    # 4 x 4 to 2 x 2: rows 1 and 3 are kept, as are columns; one row and column of padding.
    boxes = [[0, 0, 4, 4], [1, 1, 2, 2], [2, 0, 3, 1], [2, 1, 4, 2]]
    resized = resize_boxes(boxes, (4, 4), 0.5, [(1, 0), (1, 0), (0, 0)])
    assert resized.tolist() == [[1, 1, 3, 3], [1, 1, 2, 2], [0, 0, 0, 0], [2, 1, 3, 2]]


class Own(Dataset):
    """Boxes that are given, in an image of 64 x 64."""

    def __init__(self, boxes, class_ids):
        super().__init__()
        self.add_class("own", 1, "thing")
        self.add_image("own", 0, None)
        self.prepare()
        self.given = boxes, class_ids

    def load_image(self, image_id):
        return np.zeros((64, 64, 3), np.uint8)

    def load_boxes(self, image_id, image_shape):
        return self.given


def test_boxes_of_ones_own():
    dataset = Own(np.array([[1, 2, 30, 40]]), np.ones(1))
    (batch,) = DataGenerator(dataset, BoxConfig(), False)[0]
    assert batch["input_gt_boxes"][0, 0].tolist() == [1, 2, 30, 40]


@pytest.mark.parametrize(
    ("boxes", "class_ids", "message"),
    [
        ([[0, 0, 65, 10]], [1], r"within the image \[64, 64, 3\], received \[0, 0, 65, 10\]"),
        ([[0, 0, 6, 10]], [1, 1], "one class id a box, received 1 boxes and 2 class ids"),
        ([[0, 0, 6, 10]], [2], r"class ids from 1 to 1 .* received \[2\]"),
    ],
)
def test_boxes_that_cannot_be(boxes, class_ids, message):
    generator = DataGenerator(Own(np.array(boxes), np.array(class_ids)), BoxConfig(), False)
    with pytest.raises(ValueError, match=message):
        generator._load_image(0, np.random.default_rng(0))


def test_masks_that_a_subclass_changes_give_the_boxes(coco):
    data = json.loads(coco.read_text())
    coco.write_text(json.dumps({**data, "annotations": data["annotations"][:2]}))

    class Second(type(load(coco))):
        def load_mask(self, image_id):
            masks, class_ids = super().load_mask(image_id)
            return masks[:, :, 1:], class_ids[1:]

    assert issubclass(Second, AnnotatedDataset)
    dataset = Second()
    dataset.load(coco)
    dataset.prepare()
    assert dataset.load_boxes(0, (32, 64))[0].tolist() == [[4, 10, 12, 12]]


# ---- Masks that are trained stay codes until they are resized.


@pytest.mark.filterwarnings("ignore:.*covers no pixel")
@pytest.mark.parametrize("mode", ["square", "crop"])
@pytest.mark.parametrize("mini_masks", [True, False])
def test_ground_truth_of_codes_is_that_of_arrays(coco, monkeypatch, mode, mini_masks):
    dataset, config = load(coco), MaskConfig()
    dataset.prepare()
    config.IMAGE_RESIZE_MODE = mode
    decoded, decode = [], mask_utils.decode
    monkeypatch.setattr(mask_utils, "decode", lambda code: decoded.append(code) or decode(code))
    results = []
    for encoded in (True, False):
        if not encoded:
            monkeypatch.setattr(AnnotatedDataset, "load_encoded", lambda *arguments: None)
        rng = np.random.default_rng(0)
        results.append(load_image_gt(dataset, config, 0, None, mini_masks, rng))
    # One by one, those alone that the crop shows, and then all at once.
    drawn = {"square": 3, "crop": 1}[mode]
    assert [isinstance(each, dict) for each in decoded] == [True] * drawn + [False]
    assert results[0][4].dtype == bool and results[0][4].any()
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:.*covers no pixel")
def test_codes_of_another_size_are_refused_as_masks_are(coco):
    dataset = load(coco)
    dataset.prepare()
    io.imsave(coco.parent / "a.png", np.zeros((64, 32, 3), np.uint8), check_contrast=False)
    with pytest.raises(ValueError, match="annotate them upright"):
        load_image_gt(dataset, MaskConfig(), 0)
