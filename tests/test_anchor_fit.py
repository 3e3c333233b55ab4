"""How well anchors fit boxes, and which are suggested; `mrcnn anchors`."""

import shlex

import numpy as np
import pytest
from test_data_tiles import write_slides

from mrcnn import cli
from mrcnn.config import Config
from mrcnn.config_values import apply_assignments
from mrcnn.data.checking.anchors import (
    AnchorFit,
    _doubled,
    best_overlaps,
    object_boxes,
    suggest_anchors,
)
from mrcnn.data.checking.statistics import network_scale
from mrcnn.ops.anchors import generate_pyramid_anchors
from mrcnn.settings import Anchors, Settings

STRIDES = (4, 8, 16, 32, 64)


def box(y, x, height, width):
    """A box by its centre."""
    return [y - height / 2, x - width / 2, y + height / 2, x + width / 2]


def test_the_best_overlap_by_hand():
    boxes = np.array(
        [
            box(8, 16, 8, 8),  # on an anchor's place: 64 / 64
            box(8, 16, 4, 8),  # 32 of 64
            box(10, 18, 8, 8),  # 2 pixels aside both ways: 6 * 6 / (128 - 36)
            box(8, 16, 32, 32),  # the second level's: 1
        ]
    )
    found = best_overlaps(boxes, [8, 32], [1], [4, 8])
    np.testing.assert_allclose(found, [1, 0.5, 36 / 92, 1])
    # Two scales of one level: the third box lies in an anchor of 12, the fourth around it.
    found = best_overlaps(boxes, [(8, 12)], [1], [4])
    np.testing.assert_allclose(found, [1, 0.5, 64 / 144, 144 / 1024])
    # One of 1 : 2 (height : width) and 32 square pixels covers the second: 4 x 8.
    assert best_overlaps(boxes[1:2], [np.sqrt(32)], [1, 2], [4])[0] == pytest.approx(1)


def test_it_is_the_best_of_all_anchors_that_the_network_has():
    rng = np.random.default_rng(0)
    sides = rng.uniform(6, 90, (40, 2))
    centers = rng.uniform(60, 190, (40, 2))
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
    scales, ratios = (16, 32, 64), (0.5, 1, 2)
    shapes = [(256 // stride, 256 // stride) for stride in (4, 8, 16)]
    anchors = generate_pyramid_anchors(scales, ratios, shapes, (4, 8, 16), 1)
    low = np.maximum(boxes[:, None, :2], anchors[:, :2])
    both = np.clip(np.minimum(boxes[:, None, 2:], anchors[:, 2:]) - low, 0, None).prod(axis=-1)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, anchors)]
    expected = (both / (areas[0][:, None] + areas[1] - both)).max(axis=1)
    found = best_overlaps(boxes, scales, ratios, (4, 8, 16))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_what_is_said_of_anchors():
    boxes = np.array([box(8, 16, 8, 8), box(8, 16, 4, 8), box(10, 18, 8, 8), box(8, 16, 6, 8)])
    fit = AnchorFit.of(boxes, (8,), (1,), (4,))  # IoU 1, 1 / 2, 36 / 92, 3 / 4
    assert (fit.recall, fit.trained) == (0.75, 0.5)
    assert fit.mean == pytest.approx((1 + 0.5 + 36 / 92 + 0.75) / 4)
    assert fit.fitness == pytest.approx((1 + 0.5 + 0.75) / 4)
    assert AnchorFit((8.0, 16), (0.5, 1), 0, 0, 0, 0).assignments == (
        "RPN_ANCHOR_SCALES=8,16 RPN_ANCHOR_RATIOS=0.5,1"
    )
    said = AnchorFit(((8, 10), (16.5, 20)), (1,), 0, 0, 0, 0).assignments
    assert said == "'RPN_ANCHOR_SCALES=[[8,10],[16.5,20]]' RPN_ANCHOR_RATIOS=1"
    config = apply_assignments(Config(), shlex.split(said))
    assert config.RPN_ANCHOR_SCALES == ((8, 10), (16.5, 20))


def small_boxes(ratio=1.0):
    """300 boxes of 8 to 14 pixels."""
    rng = np.random.default_rng(1)
    roots, centers = rng.uniform(8, 14, (300, 1)), rng.uniform(0, 500, (300, 2))
    sides = roots * [1 / np.sqrt(ratio), np.sqrt(ratio)]
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)


def test_small_objects_get_small_scales_and_ratios_stay_in_their_order():
    boxes = small_boxes()
    settings = Anchors(ratios=(2.0, 1.0, 0.5))
    today = AnchorFit.of(boxes, settings.scales, settings.ratios, STRIDES)
    found = suggest_anchors(boxes, settings)
    assert today.recall < 0.05 and found.recall > 0.85
    assert 7 <= found.scales[0] <= 14 and len(found.scales) == 5
    assert all(scale >= stride for scale, stride in zip(found.scales, STRIDES, strict=True))
    assert len(found.ratios) == 3 and list(found.ratios) == sorted(found.ratios, reverse=True)
    assert suggest_anchors(boxes, settings) == found


@pytest.mark.parametrize("strides", [STRIDES, (16,)])
def test_levels_with_several_scales_keep_their_number(strides):
    boxes = small_boxes() * (1 if len(strides) > 1 else 3)
    scales = tuple((x, 1.26 * x, 1.59 * x) for x in (64, 128, 256, 512, 1024)[: len(strides)])
    settings = Anchors(scales=scales, strides=strides)
    today = AnchorFit.of(boxes, scales, settings.ratios, strides)
    found = suggest_anchors(boxes, settings)
    assert np.shape(found.scales) == (len(strides), 3)
    assert today.recall < 0.05 and found.recall > 0.85
    assert all(min(each) >= stride for each, stride in zip(found.scales, strides, strict=True))
    ordered = np.ravel(found.scales)
    assert (np.diff(ordered) >= 0).all()


def test_scales_to_start_from():
    # The square root of 2 between two scales of a level; 2 where there is one, or one level.
    np.testing.assert_allclose(_doubled(8, (2, 2)), [[8, 8 * 2**0.5], [16, 16 * 2**0.5]])
    assert _doubled(8, (3,)) == [8, 16, 32] and _doubled(8, (1, 3)) == [[8, 16, 32]]


def test_long_objects_get_other_ratios_and_more_if_asked_for():
    boxes = np.concatenate([small_boxes(r) * 8 for r in (0.15, 0.3, 1, 3, 6)])
    few, many = suggest_anchors(boxes, Anchors()), suggest_anchors(boxes, Anchors(), 5)
    assert max(few.ratios) / min(few.ratios) > 6
    assert len(many.ratios) == 5 and many.fitness > few.fitness + 0.03


def test_what_fits_already_stays():
    settings = Anchors(scales=(32.0, 64.0, 128.0, 256.0, 512.0))
    places = np.arange(1, 9) * 64.0
    boxes = np.array([box(y, y, side, side) for y, side in zip(places, [32, 64] * 4, strict=True)])
    found = suggest_anchors(boxes, settings)
    assert found.scales == settings.scales and found.ratios == settings.ratios


def test_boxes_are_those_of_tiles():
    class Square(Config):
        NUM_CLASSES = 2

    whole, tiled = Square(), Square()
    tiled.TILE_SIZE = 512
    # 4096 wide: made smaller by 4 to 1024; a tile of 512 is made larger to IMAGE_MIN_DIM 800.
    assert network_scale(Settings.from_config(whole), 2048, 4096) == 0.25
    assert network_scale(Settings.from_config(tiled), 2048, 4096) == 800 / 512
    assert network_scale(Settings.from_config(tiled), 400, 400) == 2


def test_the_command(tmp_path, capsys):
    boxes = [(5, 10, 12, 18), (20, 45, 30, 52)]
    write_slides(tmp_path / "a", boxes, boxes, crowd=[1])
    keys = ["IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64"]
    assert cli.main(["anchors", str(tmp_path / "a"), *keys]) == 0
    said = capsys.readouterr().out
    assert "3 objects in 2 pictures" in said and "IoU with the best anchor" in said
    last = said.splitlines()[-1]
    assert last.startswith("RPN_ANCHOR_SCALES=") and " RPN_ANCHOR_RATIOS=" in last
    # What it says is a config that works, and nothing fits clearly better.
    assert cli.main(["anchors", str(tmp_path / "a"), *keys, *last.split()]) == 0
    assert "others would hardly fit better" in capsys.readouterr().out
    several = "RPN_ANCHOR_SCALES=[[32,40],[64,80],[128,160],[256,320],[512,640]]"
    assert cli.main(["anchors", str(tmp_path / "a"), *keys, several]) == 0
    scales, _ = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert cli.main(["anchors", str(tmp_path / "a"), *keys, scales]) == 0
    assert scales.count("[") == 6  # five levels, and around them


def test_no_object_is_told(tmp_path, capsys):
    write_slides(tmp_path / "a", [])
    assert cli.main(["anchors", str(tmp_path / "a")]) == 2
    assert "expected objects, found none in 1 pictures" in capsys.readouterr().err
    dataset = write_slides(tmp_path / "b", [(5, 10, 12, 18)])
    settings = Settings.from_config(type("Two", (Config,), {"NUM_CLASSES": 2})())
    # 70 wide and 40 high: made larger by 1024 / 70, as 800 / 40 would pass it.
    np.testing.assert_allclose(
        object_boxes(dataset, settings), np.array([[5, 10, 12, 18]]) * 1024 / 70
    )
