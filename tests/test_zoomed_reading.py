"""A zoom that comes first scales the picture as it was read, in place of the resizing."""

import numpy as np
import pytest

from mrcnn.augment import Compose, FlipLeftRight, LargeScaleJitter, ScaleJitter
from mrcnn.config import Config
from mrcnn.data import Dataset, load_image_gt
from mrcnn.data.ground_truth import to_ground_truth
from mrcnn.image.placement import Placement
from mrcnn.image.resizing import scale_image
from mrcnn.settings import Settings

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 128, 3)).astype(np.uint8)
BOX = (8, 4, 40, 120)  # y1 x1 y2 x2


class Noise(Dataset):
    """One picture of 64 x 128 in which every pixel counts."""

    def __init__(self):
        super().__init__()
        self.add_class("x", 1, "thing")
        self.add_image("x", 0, None)
        self.prepare()

    def load_image(self, image_id):
        return PIXELS

    def load_mask(self, image_id):
        masks = np.zeros((64, 128, 1), bool)
        masks[BOX[0] : BOX[2], BOX[1] : BOX[3]] = True
        return masks, np.ones(1, np.int32)


def config(**keys):
    given = {"NUM_CLASSES": 2, "IMAGE_MIN_DIM": None, "IMAGE_MAX_DIM": 64, **keys}
    return type("Noisy", (Config,), given)()


def loaded(augmentation, seed=0, **keys):
    rng = np.random.default_rng(seed)
    return load_image_gt(Noise(), config(**keys), 0, augmentation, rng=rng)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("zoom", [ScaleJitter(2.0), LargeScaleJitter(2.0)])
def test_what_is_zoomed_in_is_as_sharp_as_it_was_read(zoom, seed):
    # Resizing to 64 x 64 halves it; twice of that are the picture's own pixels, 64 columns of 128.
    image, meta, _, boxes, masks = loaded(zoom, seed)
    starts = [x for x in range(65) if np.array_equal(image, PIXELS[:, x : x + 64])]
    assert len(starts) == 1
    left, right = np.clip(np.array([BOX[1], BOX[3]]) - starts[0], 0, 64)
    assert boxes.tolist() == [[BOX[0], left, BOX[2], right]]
    assert masks[:, :, 0].sum() == 32 * (right - left)
    assert meta[7:11].tolist() == [0, 0, 64, 64] and meta[11] == 1


def test_steps_after_the_zoom_follow():
    image = loaded(Compose([Compose([ScaleJitter(2.0)]), FlipLeftRight(1)]))[0]
    assert any(np.array_equal(image[:, ::-1], PIXELS[:, x : x + 64]) for x in range(65))


def test_a_zoom_out_lies_on_padding():
    image, meta, _, boxes, _ = loaded(ScaleJitter(0.5), 3)
    y1, x1, y2, x2 = meta[7:11].astype(int)
    assert (y2 - y1, x2 - x1) == (16, 32) and meta[11] == 0.25
    assert (boxes - [y1, x1, y1, x1]).tolist() == [[2, 1, 10, 30]]  # a quarter of BOX
    quarter = scale_image(PIXELS, (16, 32), "antialias")
    assert image[y1:y2, x1:x2].tolist() == quarter.tolist()
    assert image.sum() == quarter.sum()


def test_without_a_zoom_the_picture_is_resized_as_ever():
    for part, expected in zip(loaded(ScaleJitter(2.0, p=0)), loaded(None), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_boxes_alone_are_zoomed_too():
    settings = Settings.from_config(config())
    boxes, ids = np.array([BOX], np.int32), np.ones(1, np.int32)
    given = (Noise(), settings, 0, PIXELS, boxes, ids, ScaleJitter(2.0), True)
    image, _, _, found, masks, _ = to_ground_truth(*given, np.random.default_rng(0))
    (start,) = (x for x in range(65) if np.array_equal(image, PIXELS[:, x : x + 64]))
    right = min(BOX[3] - start, 64)
    assert found.tolist() == [[8, max(BOX[1] - start, 0), 40, right]] and masks.all()


def test_a_crop_shows_more_of_a_picture_that_is_zoomed_out():
    crop = {"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 32}
    image, meta, _, _, _ = loaded(ScaleJitter(0.5), **crop)
    half = scale_image(PIXELS, (32, 64), "antialias")
    assert meta[7:11].tolist() == [0, 0, 32, 32]  # 32 of 64 columns, and no padding
    differences = [np.abs(image - half[:, x : x + 32].astype(int)).max() for x in range(33)]
    assert min(differences) <= 1


def test_shortest_edge_is_zoomed_on_its_own_canvas():
    keys = {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MIN_DIM": 30}
    image, meta, _, _, _ = loaded(ScaleJitter(0.5), **keys)
    # 64 x 128 becomes 30 x 60, padded to 32 x 64; the half of it is 15 x 30.
    y1, x1, y2, x2 = meta[7:11].astype(int)
    assert image.shape == (32, 64, 3) and (y2 - y1, x2 - x1) == (15, 30)
    assert image[y1:y2, x1:x2].tolist() == scale_image(PIXELS, (15, 30), "antialias").tolist()


def test_a_part_is_scaled_as_if_all_were():
    for size, crop in (((100, 90), (10, 20, 50, 60)), ((20, 50), (3, 0, 17, 50))):
        y, x, height, width = crop
        for image in (PIXELS, PIXELS[:, :, :1], PIXELS.astype(np.float32)):
            part = scale_image(image, size, "antialias", crop).astype(int)
            whole = scale_image(image, size, "antialias")[y : y + height, x : x + width]
            assert part.shape == whole.shape and np.abs(part - whole.astype(int)).max() <= 1


def test_points_lie_where_their_pixels_do():
    place = Placement((20, 40), (5, 10, 10, 20), [(2, 3), (0, 0), (0, 0)])
    # 4, 6 of 10 x 10 is 8, 24 of 20 x 40, and 3, 14 of the part that begins at 5, 10.
    assert place.points(np.array([4.0, 6.0]), (10, 10)).tolist() == [5, 14]
    assert place.window == (2, 0, 12, 20)
