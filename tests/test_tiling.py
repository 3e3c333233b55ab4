"""Detection by tiles: objects of a synthetic slide, and a network that sees what lies in a tile.

Boxes are y1 x1 y2 x2. Tiles are 40 x 40 and share 10 pixels unless said otherwise: in an image of
40 x 70 they are columns 0..40 and 30..70, which share 30..40.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from mrcnn.image import CroppedMasks
from mrcnn.image.tiles import shared_region, tile_regions
from mrcnn.inference import tiling
from mrcnn.inference.merging import Merger
from mrcnn.inference.tiling import TiledDetector

WIDE = 40, 70
LEFT, RIGHT = (0, 0, 40, 40), (0, 30, 40, 70)


def slide(*boxes, size=WIDE):
    """An image whose pixels are the number of their object, 0 where none is."""
    image = np.zeros(size, np.uint8)
    for i, (y1, x1, y2, x2) in enumerate(boxes, 1):
        image[y1:y2, x1:x2] = i
    return image


def seen(tile, classes=None, scores=None):
    """What a network without faults finds in a tile: every object that has a pixel there."""
    numbers = [i for i in np.unique(tile) if i]
    masks = CroppedMasks.of((tile == i for i in numbers), *tile.shape[:2])
    return {
        "rois": masks.boxes,
        "boxes": masks.boxes.astype(np.float32),
        "class_ids": np.array([(classes or {}).get(i, 1) for i in numbers], np.int32),
        "scores": np.array([(scores or {}).get(i, 0.9) for i in numbers], np.float32),
        "masks": masks,
    }


def merge(image, size=40, overlap=10, classes=None, **scores):
    """The result of a slide; `scores` by "tile" and its number: dict by object."""
    regions = tile_regions(*image.shape, size, overlap)
    merger = Merger(regions, *image.shape)
    for i, (y1, x1, y2, x2) in enumerate(regions):
        merger.add(i, seen(image[y1:y2, x1:x2], classes, scores.get(f"tile{i}")))
    return merger.result(), merger


def boxes_of(result):
    return sorted(map(tuple, result["rois"].tolist()))


# ---- where tiles lie


def test_tiles_are_spread_evenly_and_share_enough():
    # 100 x 250 in tiles of 100 that share 20: 150 more columns, at most 80 a step: 2 steps of 75.
    assert tile_regions(100, 250, 100, 20) == [
        (0, 0, 100, 100),
        (0, 75, 100, 175),
        (0, 150, 100, 250),
    ]
    assert tile_regions(30, 100, 100, 20) == [(0, 0, 30, 100)]
    # One pixel more is a second tile; row by row.
    assert tile_regions(101, 101, 100, 20) == [
        (0, 0, 100, 100),
        (0, 1, 100, 101),
        (1, 0, 101, 100),
        (1, 1, 101, 101),
    ]


@pytest.mark.parametrize("side", range(101, 400, 7))
def test_neighbours_share_what_is_asked_for_whatever_the_side(side):
    tiles = tile_regions(10, side, 100, 33)
    starts = [x1 for _, x1, _, _ in tiles]
    assert starts[0] == 0 and tiles[-1][3] == side
    assert all(x2 - x1 == 100 for _, x1, _, x2 in tiles)
    assert max(np.diff(starts)) <= 67


def test_shared_region():
    assert shared_region(LEFT, RIGHT) == (0, 30, 40, 40)
    assert shared_region(LEFT, (0, 40, 40, 70)) is None


# ---- merging, of a network without faults


def test_an_object_that_two_tiles_show_whole_is_found_once():
    result, _ = merge(slide((10, 32, 18, 37)))
    assert boxes_of(result) == [(10, 32, 18, 37)]
    assert result["masks"].shape == (40, 70, 1) and result["masks"][:, :, 0].sum() == 40
    np.testing.assert_array_equal(result["boxes"], [[10, 32, 18, 37]])


def test_of_two_that_are_whole_the_better_score_stays():
    result, _ = merge(slide((10, 33, 18, 37)), tile0={1: 0.6}, tile1={1: 0.8})
    assert result["scores"].tolist() == [np.float32(0.8)]


@pytest.mark.parametrize("box", [(10, 25, 18, 36), (10, 20, 18, 31), (10, 36, 18, 46)])
def test_an_object_that_one_tile_cuts_is_that_of_the_other_whatever_the_scores(box):
    # 25..36: the right tile sees 30..36 of it. 36..46: the left tile sees 36..40.
    for cut in ({"tile0": {1: 0.5}}, {"tile1": {1: 0.5}}):
        result, merger = merge(slide(box), **cut)
        assert boxes_of(result) == [box] and merger.united == 0
        assert result["masks"][:, :, 0].sum() == 8 * (box[3] - box[1])


def test_an_object_larger_than_the_overlap_is_united():
    # 20..50: the left tile sees 20..40, the right one 30..50. 20 + 20 - 10 = 30 columns.
    result, merger = merge(slide((10, 20, 18, 50)), tile0={1: 0.7}, tile1={1: 0.8})
    assert boxes_of(result) == [(10, 20, 18, 50)] and merger.united == 1
    assert result["masks"][:, :, 0].sum() == 8 * 30
    assert result["scores"].tolist() == [np.float32(0.8)]


def test_two_that_touch_at_a_seam_stay_two():
    # The right tile cuts the first at 30, the left one cuts the second at 40.
    boxes = [(10, 24, 18, 34), (10, 34, 18, 44)]
    result, _ = merge(slide(*boxes))
    assert boxes_of(result) == boxes
    # Also where they are larger than the overlap and lie one above the other.
    boxes = [(2, 15, 10, 55), (10, 15, 18, 55)]
    result, merger = merge(slide(*boxes))
    assert boxes_of(result) == boxes and merger.united == 2


def test_in_the_corner_of_four_tiles():
    # 70 x 70: four tiles, all of which see 30..40 x 30..40.
    for box in [(32, 32, 37, 37), (25, 25, 36, 36), (20, 20, 50, 50), (32, 20, 37, 50)]:
        result, _ = merge(slide(box, size=(70, 70)))
        assert boxes_of(result) == [box]
        assert result["masks"][:, :, 0].sum() == (box[2] - box[0]) * (box[3] - box[1])


def test_an_object_over_three_tiles_and_one_larger_than_a_tile():
    # Columns 0..40, 30..70, 60..100.
    result, merger = merge(slide((10, 5, 18, 95), size=(40, 100)))
    assert boxes_of(result) == [(10, 5, 18, 95)] and merger.united == 1


def test_two_classes_do_not_compete():
    # The second lies inside of the first; both are whole in both tiles.
    image = slide((10, 31, 20, 38), (12, 33, 16, 37))
    result, _ = merge(image, classes={1: 1, 2: 2})
    assert sorted(result["class_ids"].tolist()) == [1, 2]
    assert [result["masks"][:, :, i].sum() for i in range(2)] == [70 - 16, 16]


def test_a_slide_without_objects_has_empty_arrays():
    result, _ = merge(slide())
    assert {name: array.shape for name, array in result.items()} == {
        "rois": (0, 4),
        "boxes": (0, 4),
        "class_ids": (0,),
        "scores": (0,),
        "masks": (40, 70, 0),
    }
    assert result["rois"].dtype == np.int32 and result["boxes"].dtype == np.float32


@pytest.mark.parametrize("seed", range(6))
def test_hundreds_of_objects_at_any_place_are_each_found_once(seed):
    # Squares of 3 to 9 pixels in cells of 10, so that none touches another; tiles share 10.
    rng = np.random.default_rng(seed)
    boxes = []
    for y in range(0, 120, 10):
        for x in range(0, 150, 10):
            side = rng.integers(3, 10)
            top, left = y + rng.integers(0, 10 - side), x + rng.integers(0, 10 - side)
            boxes.append((int(top), int(left), int(top + side), int(left + side)))
    image = np.zeros((125, 153), np.uint8)
    for i, (y1, x1, y2, x2) in enumerate(boxes):
        image[y1:y2, x1:x2] = i + 1  # 180 objects, no number twice
    result, merger = merge(image, size=40 + seed, overlap=13)
    assert boxes_of(result) == sorted(boxes) and merger.united == 0


# ---- merging, of a network with faults


def parts(*found):
    """A result of (box, score), masks as large as the boxes."""
    boxes = np.array([box for box, _ in found], np.int32).reshape(-1, 4)
    patches = [np.ones(np.subtract(box[2:], box[:2]), bool) for box in boxes]
    return {
        "rois": boxes,
        "boxes": boxes.astype(np.float32),
        "class_ids": np.ones(len(boxes), np.int32),
        "scores": np.array([score for _, score in found], np.float32),
        "masks": CroppedMasks(40, 40, boxes, patches),
    }


def merge_parts(left, right):
    """Of what the left and the right tile found, in their own pixels."""
    merger = Merger([LEFT, RIGHT], *WIDE)
    merger.add(0, parts(*left))
    merger.add(1, parts(*right))
    return merger.result()


def test_a_part_that_its_tile_cuts_goes_though_the_other_tile_found_nothing_there():
    # Columns 30..36 of the image, at the left edge of the right tile: the left one sees more.
    assert boxes_of(merge_parts([], [((10, 0, 18, 6), 0.9)])) == []
    # Two pixels from the edge are at it, three are not.
    assert boxes_of(merge_parts([], [((10, 2, 18, 6), 0.9)])) == []
    assert boxes_of(merge_parts([], [((10, 3, 18, 6), 0.9)])) == [(10, 33, 18, 36)]
    # 30..45 is more than the left tile sees: what is known of it stays.
    assert boxes_of(merge_parts([], [((10, 0, 18, 15), 0.9)])) == [(10, 30, 18, 45)]


def test_a_part_that_ends_before_the_edge_goes_for_the_whole():
    # The network ends 3 pixels before the edge where it should reach it: 33..38 of 20..38.
    result = merge_parts([((10, 20, 18, 38), 0.6)], [((10, 3, 18, 8), 0.9)])
    assert boxes_of(result) == [(10, 20, 18, 38)]


def test_masks_that_differ_a_little_are_one_object_and_those_that_meet_a_little_are_two():
    # 32..36 and 33..37 share 3 of 4 columns.
    result = merge_parts([((10, 32, 14, 36), 0.6)], [((10, 3, 14, 7), 0.9)])
    assert boxes_of(result) == [(10, 33, 14, 37)]
    # 32..36 and 35..38, which the right tile shows whole too, share one.
    result = merge_parts([((10, 32, 14, 36), 0.6)], [((10, 5, 14, 8), 0.9)])
    assert boxes_of(result) == [(10, 32, 14, 36), (10, 35, 14, 38)]


def test_parts_of_two_large_objects_whose_masks_disagree_are_not_united():
    # Rows 10..18 and rows 16..24 share 2 of 14 rows where both tiles look.
    result = merge_parts([((10, 20, 18, 40), 0.9)], [((16, 0, 24, 20), 0.8)])
    assert boxes_of(result) == [(10, 20, 18, 40), (16, 30, 24, 50)]


def test_one_tile_sees_one_where_the_other_sees_two():
    left, right = [((10, 32, 18, 38), 0.8)], [((10, 3, 14, 7), 0.9), ((14, 3, 18, 7), 0.7)]
    # The best goes first, and whoever it covers or is covered by goes: then what it does not meet.
    assert boxes_of(merge_parts(left, right)) == [(10, 33, 14, 37), (14, 33, 18, 37)]
    left = [((10, 32, 18, 38), 0.95)]
    assert boxes_of(merge_parts(left, right)) == [(10, 32, 18, 38)]


def test_boxes_alone_are_merged_as_masks_are():
    merger = Merger([LEFT, RIGHT], *WIDE)
    for i, found in enumerate([parts(((10, 20, 18, 38), 0.6)), parts(((10, 1, 18, 8), 0.9))]):
        del found["masks"]
        merger.add(i, found)
    result = merger.result()
    assert boxes_of(result) == [(10, 20, 18, 38)] and "masks" not in result


# ---- the detector


class Graph:
    """Stands for the network, of which `TiledDetector` asks whether XLA compiles it."""

    jit_compile = False


def detector(size=40, overlap=10, batch_size=2, limit=100, calls=None):
    """A `TiledDetector` whose network sees `seen`."""
    settings = SimpleNamespace(
        tiles=SimpleNamespace(size=size, least_overlap=overlap),
        runtime=SimpleNamespace(batch_size=batch_size),
        detections=SimpleNamespace(max_instances=limit),
        image=None,
        ground_truth=SimpleNamespace(use_rpn_rois=True),
    )
    return TiledDetector(Graph, settings, None)


@pytest.fixture
def network(monkeypatch):
    """The batches that came to the network, as (names, shapes)."""
    batches = []

    def detect(self, images, verbose=0, names=None, progress=None, proposals=None):
        batches.append((names, [image.shape for image in images]))
        return [seen(image) for image in images]

    monkeypatch.setattr(tiling.Detector, "detect", detect)
    return batches


def test_large_images_go_through_in_batches_of_tiles(network):
    small, told = slide((1, 1, 5, 5), size=(40, 40)), []
    # 70 x 70 is four tiles.
    large = slide((32, 32, 37, 37), (1, 1, 5, 5), size=(70, 70))
    results = detector(batch_size=3).detect(
        [large, small], progress=lambda *state: told.append(state)
    )
    assert [boxes_of(x) for x in results] == [[(1, 1, 5, 5), (32, 32, 37, 37)], [(1, 1, 5, 5)]]
    assert [shapes for _, shapes in network] == [[(40, 40)], [(40, 40)] * 3, [(40, 40)]]
    assert network[0][0] == ["images[1]"]
    assert network[2][0] == ["images[0], region (30, 30, 70, 70)"]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_stream_of_large_images(network):
    images = (slide((10, 25, 18, 36)) for _ in range(3))
    assert [boxes_of(x) for x in detector().stream(images)] == [[(10, 25, 18, 36)]] * 3


def test_a_full_tile_and_a_small_overlap_are_told_once(network):
    image = slide((10, 20, 18, 50))
    found = detector(limit=1)
    with pytest.warns(UserWarning) as caught:
        warnings.simplefilter("always")
        found.detect([image, image])
    texts = [str(each.message) for each in caught]
    assert len(texts) == 2
    assert (
        "images[0], region (0, 0, 40, 40): a tile has as many detections as it may, 1" in texts[0]
    )
    assert "images[0]: 1 objects are larger than what tiles share, 10 pixels" in texts[1]
