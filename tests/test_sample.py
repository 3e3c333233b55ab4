"""What moves together: image, masks, window, points; and what each kind of augmentation does."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for a newer version otherwise

import albumentations
import keras
import numpy as np
import pytest

from mrcnn import augment
from mrcnn.augment import Sample
from mrcnn.config import Config
from mrcnn.data import Dataset, load_image_gt
from mrcnn.data.augmentation import as_callable
from mrcnn.data.ground_truth import _another
from mrcnn.data.sample import apply_augmentation, augment_sample
from mrcnn.image.meta import parse_image_meta
from mrcnn.settings import Settings

iaa = augment.load_imgaug().augmenters


def upper_half(points=None):
    """An 8 x 8 canvas of which the picture is the upper half, with one object, row 1, column 2."""
    image, masks = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 1), bool)
    image[:4] = 50
    image[1, 2], masks[1, 2] = 200, True
    return Sample(image, masks, window=(0, 0, 4, 8), points=points)


def apply(augmentation, sample, seed=0):
    return apply_augmentation(as_callable(augmentation), sample, np.random.default_rng(seed))


def test_a_sample_alone_has_the_whole_window_and_class_1():
    sample = Sample(np.zeros((2, 3, 1), np.uint8), np.zeros((2, 3, 4), bool))
    assert sample.window == (0, 0, 2, 3) and sample.class_ids.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "flip",
    [
        augment.FlipUpDown(1),
        iaa.Flipud(1.0),
        albumentations.VerticalFlip(p=1),
        augment.Compose([iaa.Flipud(1.0), augment.ColorJitter()]),
    ],
    ids=["built-in", "imgaug", "albumentations", "composed"],
)
def test_the_window_moves_with_the_picture(flip):
    flipped = apply(flip, upper_half())
    assert flipped.window == (4, 0, 8, 8)  # rows 0 to 4 of 8
    assert np.argwhere(flipped.masks[:, :, 0]).tolist() == [[8 - 1 - 1, 2]]
    assert flipped.image[:4].max() == 0 and flipped.image[4:].min() > 30
    assert flipped.masks.shape[2] == 1


def test_the_window_moves_with_keras_layers():
    windows = set()
    for seed in range(8):
        flipped = apply(keras.layers.RandomFlip("vertical"), upper_half(), seed)
        assert flipped.window[0] == (0 if flipped.masks[1, 2, 0] else 4)
        windows.add(flipped.window)
    assert windows == {(0, 0, 4, 8), (4, 0, 8, 8)}


def test_a_picture_that_is_moved_away_leaves_the_whole_window():
    gone = apply(iaa.Affine(translate_px={"y": -8}), upper_half())
    assert gone.window == (0, 0, 8, 8) and not gone.masks.any()


def test_a_function_sees_the_objects_alone_and_the_window_holds_them():
    def down(image, masks):
        assert masks.shape[2] == 1
        return np.roll(image, 4, axis=0), np.roll(masks, 4, axis=0)

    # The object went from row 1 to row 5: the window of rows 0 to 4 grows to row 6.
    assert apply(down, upper_half()).window == (0, 0, 6, 8)
    assert apply(lambda image, masks: (image // 2, masks), upper_half()).window == (0, 0, 4, 8)
    assert apply(lambda image, masks: (image, masks & False), upper_half()).window == (0, 0, 4, 8)


POINTS = np.array([[[1.25, 2.5], [np.nan, np.nan]]])


@pytest.mark.parametrize(
    "flip",
    [augment.FlipLeftRight(1), iaa.Fliplr(1.0), albumentations.HorizontalFlip(p=1)],
    ids=["built-in", "imgaug", "albumentations"],
)
def test_points_move_with_the_picture(flip):
    # 8 wide: x 2.5, the centre of pixel 2, goes to 8 - 2.5, that of pixel 5.
    found = apply(flip, upper_half(POINTS[:, :1])).points
    np.testing.assert_allclose(found, [[[1.25, 5.5]]], atol=1e-6)


def test_a_point_that_is_not_there_stays_so():
    assert np.isnan(apply(augment.FlipLeftRight(1), upper_half(POINTS)).points[0, 1]).all()


@pytest.mark.parametrize(
    "augmentation", [lambda image, masks: (image, masks), keras.layers.RandomFlip()]
)
def test_what_cannot_move_points_says_so(augmentation):
    with pytest.raises(ValueError, match=r"expected an augmentation that moves points, received"):
        apply(augmentation, upper_half(POINTS))


def test_a_picture_alone_keeps_its_padding_where_it_is():
    # The picture is rows 2 to 6 of 8; its object in row 1 of it comes to row 4 - 1 - 1 of it.
    image, masks = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 1), bool)
    image[2:6], masks[3, 2] = 50, True
    points = np.array([[[3.5, 2.5]]])
    sample = Sample(image, masks, window=(2, 0, 6, 8), points=points)
    rng = np.random.default_rng(0)
    flipped = augment_sample(augment.FlipUpDown(1), sample, rng, picture_alone=True)
    assert np.argwhere(flipped.masks[:, :, 0]).tolist() == [[4, 2]]
    assert flipped.window == (2, 0, 6, 8) and flipped.points.tolist() == [[[4.5, 2.5]]]
    # Half as large: 2 x 4 of the picture's 4 x 8, somewhere in it.
    small = augment_sample(augment.ScaleJitter(0.5), sample, rng, picture_alone=True)
    y1, x1, y2, x2 = small.window
    assert (y2 - y1, x2 - x1) == (2, 4) and y1 >= 2 and y2 <= 6
    assert small.image[y1:y2, x1:x2].min() == 50 and small.image.astype(int).sum() == 2 * 4 * 150


def test_one_mask_a_class_id():
    class Doubles(augment.Step):
        def apply(self, sample, rng):
            return sample.replace(masks=np.repeat(sample.masks, 2, axis=2))

    with pytest.raises(ValueError, match=r"\(8, 8, 1\), received .*\(8, 8, 2\)"):
        augment_sample(Doubles(), upper_half(), None)


# ---- through the data


class Wide(Dataset):
    """Two wide pictures of one source and one of another."""

    def __init__(self):
        super().__init__()
        for source in ("a", "b"):
            self.add_class(source, 1, "object")
        for i, source in enumerate("aab"):
            self.add_image(source, i, f"{i}.png")
        self.prepare()

    def load_image(self, image_id):
        if image_id == 1:
            raise ValueError("broken")
        return np.full((32, 64, 3), 10 * (1 + image_id), np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((32, 64, 1), bool)
        masks[4:12, 8:24] = True
        return masks, np.array([1 + image_id // 2], np.int32)


class WideConfig(Config):
    NAME = "wide"
    NUM_CLASSES = 3
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64


def test_the_window_of_the_meta_is_the_moved_one():
    seen = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        _, meta, _, boxes, _ = load_image_gt(
            Wide(), WideConfig(), 0, augmentation=augment.Rotate90(), rng=rng
        )
        seen.add((*parse_image_meta(meta)["window"].astype(int).tolist(), *boxes[0].tolist()))
    # 32 x 64 on 64 x 64: rows 16 to 48; the box is of rows 20 to 28, columns 8 to 24. Half a turn,
    # then a quarter, counterclockwise.
    assert (16, 0, 48, 64, 64 - 28, 64 - 24, 64 - 20, 64 - 8) in seen
    assert (0, 16, 64, 48, 64 - 24, 20, 64 - 8, 28) in seen


def test_other_pictures_are_of_the_same_source_and_those_that_fail_are_none():
    settings = Settings.from_config(WideConfig())
    found = [_another(Wide(), settings, 0, np.random.default_rng(i)) for i in range(20)]
    assert any(pair is None for pair in found)  # picture 1 is broken
    pairs = [pair for pair in found if pair is not None]
    assert {int(sample.image.max()) for sample, _ in pairs} == {10}
    assert {scale for _, scale in pairs} == {1.0}  # 32 x 64 fits 64 x 64 as it is
