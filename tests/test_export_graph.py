"""Molding and unmolding in TensorFlow's graph against arithmetic by hand, and against NumPy's."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.export.graph_molding import mold
from mrcnn.export.graph_resizing import place, scaled
from mrcnn.export.graph_unmold import first_seen, paste, take_seen, unmold_boxes
from mrcnn.image.molding import MoldedImages
from mrcnn.image.pasting import PASTERS
from mrcnn.settings import Detections, Image

MODES = {
    "square": {"resize_mode": "square", "min_dim": 50, "max_dim": 64},
    "square, small": {"resize_mode": "square", "min_dim": None, "max_dim": 128},
    "pad64": {"resize_mode": "pad64", "min_dim": 64},
    "crop": {"resize_mode": "crop", "min_dim": 64},
    "min_scale": {"resize_mode": "pad64", "min_dim": None, "min_scale": 1.7},
    "torchvision": {
        **{"resize_mode": "shortest_edge", "min_dim": 50, "max_dim": 83},
        **{"interpolation": "edge", "std_pixel": (58.4, 57.1, 57.4)},
    },
    "detectron2": {
        **{"resize_mode": "shortest_edge", "min_dim": 50, "max_dim": 83},
        "interpolation": "antialias",
    },
    "deeplab2": {
        **{"resize_mode": "longest_edge", "max_dim": 65},
        **{"interpolation": "corners", "std_pixel": (127.5, 127.5, 127.5)},
    },
    "deeplab2, any size": {
        **{"resize_mode": "shortest_edge", "min_dim": 50, "max_dim": 83},
        "interpolation": "corners",
    },
    "buckets": {
        **{"resize_mode": "shortest_edge", "min_dim": 50, "max_dim": 83},
        **{"interpolation": "antialias", "buckets": ((96, 64), (64, 96))},
    },
    "one channel": {
        **{"resize_mode": "square", "min_dim": 50, "max_dim": 64},
        **{"channels": 1, "mean_pixel": (3.0,)},
    },
}
SIZES = [(64, 64), (37, 61), (90, 41), (33, 100), (11, 10)]


def placed(height, width, **settings):
    found = place(tf.constant([height, width]), Image(**settings))
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def test_a_small_picture_is_scaled_up_and_centred():
    # Twice as large, 4 x 8 of 8 x 8: two rows above and two below.
    found = placed(2, 4, resize_mode="square", min_dim=4, max_dim=8)
    assert found == {"size": [4, 8], "scale": 2.0, "origin": [2, 0], "molded": [8, 8]}


def test_families_round_a_half_in_their_own_ways():
    # min(8 / 3, 10 / 4) = 2.5, and 3 * 2.5 = 7.5.
    sides = {"resize_mode": "shortest_edge", "min_dim": 8, "max_dim": 10}
    assert placed(3, 4, interpolation="edge", **sides)["size"] == [7, 10]
    assert placed(3, 4, interpolation="antialias", **sides)["size"] == [8, 10]
    # matterport's rounds to even: 5 * 1.5 = 7.5, 3 * 1.5 = 4.5.
    assert placed(5, 3, resize_mode="pad64", min_dim=None, min_scale=1.5)["size"] == [8, 4]


def row(values, want, interpolation):
    images = tf.constant(np.array(values, np.uint8)[None, None, :, None])
    return scaled(images, np.array([1, want]), interpolation)[0, 0, :, 0].numpy().tolist()


def test_bilinear_rows():
    # Centres at -0.25, 0.25, 0.75 and 1.25; beyond the border is 0, or the border.
    assert row([0, 100], 4, "constant") == [0, 25, 75, 75]
    assert row([0, 100], 4, "edge") == [0, 25, 75, 100]
    assert row([0, 90], 4, "corners") == [0, 30, 60, 90]
    assert row([3, 4], 4, "constant") == [3, 3, 3, 3]  # 2.25 and so on, in the range of values


def test_antialiased_rows():
    # Half as large: weights 0.75, 0.75, 0.25 of 1.75 each, and their mirror image:
    # (75 + 50) / 1.75 = 71.4 and (25 + 150 + 30) / 1.75 = 117.1.
    assert row([0, 100, 200, 40], 2, "antialias") == [71, 117]


@pytest.mark.parametrize("mode", MODES)
def test_molding_is_that_of_numpy(mode):
    settings = Image(**MODES[mode])
    shape = (None, None, None, settings.channels)
    molded = tf.function(
        lambda images: mold(images, settings),
        input_signature=[tf.TensorSpec(shape, tf.uint8)],
        autograph=False,
    )
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        image = rng.integers(0, 256, (height, width, settings.channels), np.uint8)
        image[: height // 2] = 114  # even ground, where rounding shows
        wanted = MoldedImages([image], settings)[0]
        found = molded(np.stack([image[::-1], image]))
        np.testing.assert_allclose(found["input_image"][1], wanted["image"], rtol=0, atol=2e-6)
        np.testing.assert_array_equal(found["input_image_meta"][1], wanted["meta"])
        np.testing.assert_array_equal(found["window"], wanted["window"])


@pytest.mark.parametrize("mode", MODES)
def test_of_a_known_size_there_is_no_float64_in_the_graph(mode):
    settings = Image(**MODES[mode])
    images = tf.TensorSpec((1, 37, 61, settings.channels), tf.uint8)
    function = tf.function(lambda x: mold(x, settings, exact=False), autograph=False)
    graph = function.get_concrete_function(images).graph
    dtypes = {x.dtype for op in graph.get_operations() for x in (*op.inputs, *op.outputs)}
    assert tf.float64 not in dtypes
    image = np.random.default_rng(0).integers(0, 256, images.shape[1:], np.uint8)
    found = function(tf.constant(image[None]))["input_image"][0]
    wanted = MoldedImages([image], settings)[0]["image"]
    # A pixel may be cut off to the integer below.
    assert found.shape == wanted.shape and np.mean(np.abs(found - wanted) > 1e-4) < 0.01


def test_antialiasing_without_a_loop():
    settings = Image(**MODES["detectron2"])
    molded = tf.function(
        lambda images: mold(images, settings, exact=False),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)],
        autograph=False,
    )
    assert "While" not in str(molded.get_concrete_function().graph.as_graph_def())
    image = np.random.default_rng(0).integers(0, 256, (190, 141, 3), np.uint8)
    wanted = MoldedImages([image], settings)[0]["image"]
    # Of sums, float32 keeps 24 bits: at a border between integers one may be the other.
    assert np.mean(molded(image[None])["input_image"][0] != wanted) < 1e-3


def test_boxes_come_back_to_the_picture():
    # The picture of 2 x 4 pixels lies in rows 2 to 6 of 8 x 8.
    sizes = {"window": [2, 0, 6, 8], "molded": [8, 8], "sides": [2, 4]}
    sizes = {name: tf.constant(value) for name, value in sizes.items()}
    rows = [
        [0.25, 0, 0.75, 1, 1, 0.9],
        [0.5, 0.5, 0.75, 0.75, 2, 0.8],
        [0.3, 0.3, 0.3, 0.4, 1, 0.7],
    ]
    found = tf.constant([[*rows, [0] * 6]], tf.float32)
    boxes, seen = unmold_boxes(found, sizes, Detections(box_offset=0, mask_paste="sampled"))
    np.testing.assert_allclose(boxes[0, :2], [[0, 0, 2, 4], [1, 2, 2, 3]], atol=1e-6)
    assert seen.numpy().tolist() == [[True, True, False, False]]  # without area; padding
    # With corner pixels at 0 and 1 the window begins at 2 / 7 and ends at 5 / 7.
    corners = tf.constant([[[2 / 7, 0, 5 / 7, 1, 1, 0.9]]], tf.float32)
    boxes, _ = unmold_boxes(corners, sizes, Detections(box_offset=1))
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 2, 4], atol=1e-5)


def test_what_is_seen_comes_first_in_its_order():
    seen = tf.constant([[False, True, False, True]])
    values = tf.constant([[[1.0], [2], [3], [4]]])
    found = take_seen(values, first_seen(seen), seen)
    assert found[0, :, 0].numpy().tolist() == [2, 4, 0, 0]


@pytest.mark.parametrize("method", PASTERS)
def test_masks_are_pasted_as_in_numpy(method):
    rng = np.random.default_rng(1)
    masks = rng.uniform(0, 1, (7, 5, 5)).astype(np.float32)
    boxes = np.float32(
        [
            *([3.2, 4.6, 20.1, 30.4], [-6.3, -2.2, 9.7, 12.9], [18.5, 30.2, 40.7, 50.1]),
            *([5.4, 5.4, 6.6, 6.7], [0, 0, 24, 32], [2.6, 3.4, 3.1, 28.8], [0, 0, 0, 0]),
        ]
    )
    found = paste(masks[None], boxes[None], tf.constant([24, 32]), method).numpy()[0]
    assert found.shape == (7, 24, 32) and not found[-1].any()
    for plane, mask, box in zip(found[:-1], masks, boxes, strict=False):
        wanted = np.zeros((24, 32), bool)
        PASTERS[method](wanted, mask, np.around(box) if method == "resize" else box)
        assert np.count_nonzero(plane != wanted) <= 1  # at the threshold itself
    assert found[4].any()
