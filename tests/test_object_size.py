"""Objects of one size: what is measured, the zoom of a training, and detection, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pycocotools import mask as mask_utils
from test_augment_steps import Drawn, sample
from test_tta import Network, detector, picture, settings_of
from test_zoomed_reading import BOX, PIXELS, Noise, config, loaded

from mrcnn.augment import Compose, FlipLeftRight, ObjectSizeJitter
from mrcnn.data.annotations.encoded import EncodedMasks
from mrcnn.data.ground_truth import to_ground_truth
from mrcnn.image.masks import extract_bboxes, resize_mask
from mrcnn.image.object_size import factor_to, median_size, stepped
from mrcnn.inference import tta
from mrcnn.inference.tta import TiledAugmentedDetector
from mrcnn.settings import Settings


def test_the_size_is_the_root_of_the_median_area():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 5, 10], [0, 0, 30, 30], [7, 7, 7, 7]])
    assert median_size(boxes) == 6  # of 4, 36 and 900; what is empty does not count
    assert median_size(boxes[:2]) == pytest.approx(20**0.5)  # the mean of 4 and 36
    assert median_size(boxes[3:]) is None and median_size(np.zeros((0, 4))) is None


def test_the_factor_has_limits():
    assert factor_to(48, 24) == 2 and factor_to(48, 96) == 0.5
    assert factor_to(48, 1) == 4 and factor_to(48, 1000) == 0.25
    assert factor_to(48, None) == 1


def test_steps_are_quarters_of_an_octave():
    assert [stepped(x) for x in (1, 1.05, 0.95, 2, 0.25, 4)] == [1, 1, 1, 2, 0.25, 4]
    # The border between 1 and 2^(1/4) = 1.1892 is 2^(1/8) = 1.0905.
    assert stepped(1.09) == 1 and stepped(1.091) == pytest.approx(1.189207)


def test_codes_know_their_boxes_without_being_drawn():
    masks = np.zeros((6, 5, 4), bool)
    masks[1:3, 2:4, 0] = masks[5, 0, 1] = masks[0, 1, 1] = masks[:, 4, 2] = True
    codes = mask_utils.encode(np.asfortranarray(masks.view(np.uint8)))
    kept = EncodedMasks(codes, (6, 5))
    assert kept.boxes.tolist() == [[1, 2, 3, 4], [0, 0, 6, 2], [0, 4, 6, 5], [0, 0, 0, 0]]
    assert extract_bboxes(kept).dtype == np.int32
    assert EncodedMasks([], (6, 5)).boxes.shape == (0, 4)
    twice = [(0, 0), (0, 0), (0, 0)]
    drawn, resized = (resize_mask(each, 2, twice) for each in (masks, kept))
    np.testing.assert_array_equal(drawn, resized)
    np.testing.assert_array_equal(drawn, masks.repeat(2, axis=0).repeat(2, axis=1))


# ---- training


@pytest.mark.parametrize("as_boxes", [False, True])
def test_a_picture_is_zoomed_until_its_object_has_the_size(as_boxes):
    # The square canvas of 64 halves the picture, whose box has 32 x 116 pixels: 16 x 58, a size of
    # 30.46. Twice of that is wanted: the picture's own pixels.
    half = ((BOX[2] - BOX[0]) * (BOX[3] - BOX[1])) ** 0.5 / 2
    zoom = Compose([ObjectSizeJitter(2 * half, 1.0), FlipLeftRight(0)])
    if as_boxes:
        settings = Settings.from_config(config())
        given = (Noise(), settings, 0, PIXELS, np.array([BOX], np.int32), np.ones(1, np.int32))
        image = to_ground_truth(*given, zoom, True, np.random.default_rng(0))["image"]
    else:
        image = loaded(zoom)[0]
    assert any(np.array_equal(image, PIXELS[:, x : x + 64]) for x in range(65))


def test_the_random_factor_comes_on_top():
    # A mask of 2 x 2 on a picture of 4 x 4, to be 1 x 1, and half of that: to 1 x 1 in all.
    inside = [(y, x) for y in (1, 2) for x in (1, 2)]
    given = sample(np.full((4, 4), 9), inside, (0, 0, 4, 4))
    masks = np.zeros((4, 4, 1), bool)
    masks[1:3, 1:3] = True
    given = given.replace(masks=masks)
    found = ObjectSizeJitter(1.0).apply(given, Drawn(uniform=[np.log(0.5)]))
    assert found.window == (0, 0, 1, 1)
    # Without an object, half.
    found = ObjectSizeJitter(1.0).apply(
        given.replace(masks=masks[:, :, :0]), Drawn(uniform=[np.log(0.5)])
    )
    assert found.window == (0, 0, 2, 2)


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_is_above_0(size):
    with pytest.raises(ValueError, match="size"):
        ObjectSizeJitter(size)


# ---- detection

SQUARES = [(8, 8, 24, 24), (32, 32, 48, 48)]  # of 16 pixels


@pytest.mark.parametrize(("size", "side"), [(32, 128), (64, 256), (16, 64), (1, 64)])
def test_each_picture_is_brought_to_the_size_of_its_objects(size, side):
    network = Network()
    finder = detector(network, TEST_OBJECT_SIZE=size, IMAGE_INTERPOLATION="edge")
    (found,) = finder.detect([picture(*SQUARES)])
    looks = [shape[1] for shape in network.shapes]
    # A look at the picture as it is, one at the size that it tells, and the detection.
    assert looks[0] == 64 and set(looks[1:]) == {side}, looks
    assert len(looks) == (2 if size == 16 else 3)
    if size >= 16:  # halves of pixels would round
        assert sorted(map(tuple, found["rois"].tolist())) == SQUARES
    assert_allclose(found["scores"], 0.9)
    assert found["masks"].shape[:2] == (64, 64)


def test_pictures_of_one_call_have_each_their_own_factor():
    network = Network()
    finder = detector(network, TEST_OBJECT_SIZE=32, IMAGES_PER_GPU=3, IMAGE_INTERPOLATION="edge")
    large, small, none = picture((8, 8, 40, 40)), picture(*SQUARES), picture()
    found = finder.detect([large, small, none])
    assert [each["rois"].tolist() for each in found] == [
        [[8, 8, 40, 40]],
        [list(box) for box in SQUARES],
        [],
    ]
    # The second look is at the one alone whose size changed.
    assert network.shapes == [(3, 64, 64), (1, 128, 128), (2, 64, 64), (1, 128, 128)]


def test_what_is_not_sure_has_no_say():
    network = Network(plain=0.4, mirrored=0.4)
    finder = detector(network, TEST_OBJECT_SIZE=32, DETECTION_MIN_CONFIDENCE=0.1)
    (found,) = finder.detect([picture(*SQUARES)])
    assert {shape[1] for shape in network.shapes} == {64} and len(found["scores"]) == 2


def test_looks_end():
    class Fickle(Network):
        """Finds a thing of a fifth of the side, then one of a tenth, by turns."""

        def see(self, image):
            seen = super().see(image)
            wide = len(self.shapes) % 2
            seen["detections"][1:] = 0
            seen["detections"][0] = (0, 0, *([0.2 if wide else 0.1] * 2), 1, 0.9)
            return seen

    network = Fickle()
    detector(network, TEST_OBJECT_SIZE=32).detect([picture(*SQUARES)])
    assert len(network.shapes) == tta.LOOKS + 1


def test_forms_are_of_that_size():
    network = Network()
    keys = {"TEST_OBJECT_SIZE": 32, "TEST_FLIP": True, "TEST_SCALES": (0.5, 1)}
    (found,) = detector(network, **keys, IMAGE_INTERPOLATION="edge").detect([picture(*SQUARES)])
    assert sorted(network.shapes[2:]) == [(2, 64, 64), (2, 128, 128)]
    assert sorted(map(tuple, found["rois"].tolist())) == SQUARES


def test_a_size_is_one_of_the_molded_image():
    # The picture of 32 is doubled by "square": its object of 8 has 16 pixels there.
    network = Network()
    finder = detector(network, mode="square", TEST_OBJECT_SIZE=16, IMAGE_INTERPOLATION="edge")
    finder.detect([picture((4, 4, 12, 12), size=(32, 32))])
    assert network.shapes == [(1, 64, 64)] * 2


def test_each_tile_has_its_own():
    network = Network()
    keys = {"TILE_SIZE": 64, "TILE_OVERLAP": 32, "TEST_OBJECT_SIZE": 32, "IMAGES_PER_GPU": 1}
    finder = detector(network, TiledAugmentedDetector, **keys, IMAGE_INTERPOLATION="edge")
    (found,) = finder.detect([picture((8, 4, 24, 20), size=(64, 128))])
    # The object lies in the first of three tiles.
    assert network.shapes == [(1, 64, 64), (1, 128, 128), (1, 128, 128)] + [(1, 64, 64)] * 4
    assert found["rois"].tolist() == [[8, 4, 24, 20]]


def test_keys():
    chosen = settings_of(TEST_OBJECT_SIZE=40)
    assert chosen.test_time.enabled and chosen.image.open_sides
    assert not settings_of().image.open_sides
