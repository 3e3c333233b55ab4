"""Masks kept inside their boxes: read as the array that they are."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.run_lengths import crop_code, decode_part, encode_part
from mrcnn.image import CroppedMasks, extract_bboxes
from mrcnn.image.cropped_masks import masks_of


def three():
    """Masks of 6 x 8: a square of 2 x 3, none, and an angle of three pixels in the corner."""
    masks = np.zeros((6, 8, 3), bool)
    masks[1:3, 2:5, 0] = True
    masks[4:6, 7, 2] = masks[5, 6, 2] = True
    return masks


def cropped():
    masks = three()
    return CroppedMasks.of(np.moveaxis(masks, -1, 0), 6, 8)


def test_boxes_and_patches_are_tight():
    masks = cropped()
    assert masks.boxes.tolist() == [[1, 2, 3, 5], [0, 0, 0, 0], [4, 6, 6, 8]]
    assert [patch.shape for patch in masks.patches] == [(2, 3), (0, 0), (2, 2)]
    assert masks.areas().tolist() == [6, 0, 3]
    np.testing.assert_array_equal(extract_bboxes(masks), extract_bboxes(three()))
    for (top, left, patch), (y, x, other) in zip(masks_of(masks), masks_of(three()), strict=True):
        assert (top, left) == (y, x)
        np.testing.assert_array_equal(patch, other)


def test_it_reads_as_an_array():
    masks, expected = cropped(), three()
    assert masks.shape == expected.shape and masks.dtype == bool and masks.ndim == 3
    np.testing.assert_array_equal(np.asarray(masks), expected)
    for i in range(3):
        np.testing.assert_array_equal(masks[:, :, i], expected[:, :, i])
        np.testing.assert_array_equal(masks[..., i], expected[..., i])
        np.testing.assert_array_equal(masks[2:5, 1:8, i], expected[2:5, 1:8, i])
        np.testing.assert_array_equal(masks[::2, 1::3, i], expected[::2, 1::3, i])
    assert masks[9:, :, 0].shape == (0, 8)
    for plane, other in zip(masks, expected, strict=True):
        np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize("keep", [[2, 0], np.array([True, False, True]), slice(1, None), []])
def test_some_of_the_masks(keep):
    keep = keep if isinstance(keep, slice) else np.asarray(keep, None if len(keep) else int)
    kept = cropped()[:, :, keep]
    assert isinstance(kept, CroppedMasks)
    np.testing.assert_array_equal(np.asarray(kept), three()[:, :, keep])


@pytest.mark.parametrize("key", [0, (slice(None), 0, 0), (slice(2), slice(None), [0]), slice(3)])
def test_other_readings_are_refused_with_what_works(key):
    with pytest.raises(IndexError, match=r"expected .*masks\[y1:y2, x1:x2, i\]"):
        cropped()[key]


def test_an_array_that_is_too_large_is_refused():
    masks = CroppedMasks(2**16, 2**16, np.zeros((2, 4)), [np.zeros((0, 0), bool)] * 2)
    with pytest.raises(MemoryError, match=r"\(65536, 65536, 2\): take them one by one"):
        np.asarray(masks)


def test_shrunk_takes_the_pixels_in_the_middle_of_blocks():
    # By 2: pixels 1 3 5 of rows, 1 3 5 7 of columns.
    small = cropped().shrunk(2)
    assert small.shape == (3, 4, 3)
    np.testing.assert_array_equal(np.asarray(small), three()[1::2, 1::2])
    # By 4: rows 2 and, of the block that is cut, 5; columns 2 and 6.
    np.testing.assert_array_equal(np.asarray(cropped().shrunk(4)), three()[[2, 5]][:, [2, 6]])


def test_codes_of_parts_are_those_of_whole_masks():
    rng = np.random.default_rng(0)
    for share in (0, 0.02, 0.5, 0.98, 1):
        mask = np.zeros((9, 7), bool)
        mask[2:8, 1:6] = rng.random((6, 5)) < share
        code = mask_utils.encode(np.asfortranarray(mask, np.uint8))
        assert encode_part(mask[2:8, 1:6], 2, 1, 9, 7)["counts"] == code["counts"].decode()
        for region in [(0, 0, 9, 7), (3, 2, 5, 7), (4, 4, 4, 6)]:
            y1, x1, y2, x2 = region
            np.testing.assert_array_equal(decode_part(code, region), mask[y1:y2, x1:x2])
    full = np.ones((2, 3), bool)  # one run that ends with the image
    assert encode_part(full, 0, 0, 2, 3)["counts"] == mask_utils.encode(
        np.asfortranarray(full, np.uint8)
    )["counts"].decode("ascii")
    assert decode_part(encode_part(full, 0, 0, 2, 3), (0, 1, 2, 2)).tolist() == [[True], [True]]


def test_a_code_is_cut_without_drawing_it(monkeypatch):
    monkeypatch.setattr("pycocotools.mask.decode", lambda code: pytest.fail("drawn"))
    # Columns of 4: pixels 2 to 4, rows 2, 3 of column 0 and row 0 of column 1, are one run.
    code = mask_utils.frPyObjects({"size": [4, 3], "counts": [2, 3, 7]}, 4, 3)
    cut = {
        (0, 0, 4, 3): [2, 3, 7],
        (0, 0, 3, 2): [2, 2, 2],  # row 2 of column 0 and row 0 of column 1 touch
        (2, 0, 4, 3): [0, 2, 4],
        (1, 1, 4, 3): [6],
        (0, 1, 1, 3): [0, 1, 1],
    }
    for (y1, x1, y2, x2), counts in cut.items():
        expected = {"size": [y2 - y1, x2 - x1], "counts": counts}
        assert crop_code(code, (y1, x1, y2, x2)) == mask_utils.frPyObjects(expected, 0, 0)
