import numpy as np
import pytest

from mrcnn import masks as mk


def test_resize_mask_takes_the_pixel_under_the_centre():
    row = np.array([[1, 2, 3, 4]])[:, :, None]
    none = [(0, 0)] * 3
    # 3 -> 2: centres 0.5 * 3 / 2 = 0.75 and 1.5 * 3 / 2 = 2.25, so pixels 0 and 2
    assert mk.resize_mask(row[:, :3], 2 / 3, none)[0, :, 0].tolist() == [1, 3]
    column = row[:, :3].transpose(1, 0, 2)
    assert mk.resize_mask(column, 2 / 3, none)[:, 0, 0].tolist() == [1, 3]
    # Centres 0.5 * 4 / 2 = 1 and 1.5 * 4 / 2 = 3 (the pixel on their right)
    assert mk.resize_mask(row, 0.5, none)[0, :, 0].tolist() == [2, 4]
    assert mk.resize_mask(row, 2, none)[0, :, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


# ---- boxes and mini-masks


def test_extract_bboxes():
    mask = np.zeros((5, 6, 4), bool)
    mask[1, 2, 0] = mask[3, 4, 0] = True  # rows 1..3, columns 2..4
    mask[:, :, 1] = True
    mask[4, 5, 3] = True  # the last pixel; channel 2 stays empty
    boxes = mk.extract_bboxes(mask)
    assert boxes.dtype == np.int32
    assert boxes.tolist() == [[1, 2, 4, 5], [0, 0, 5, 6], [0, 0, 0, 0], [4, 5, 5, 6]]


@pytest.mark.parametrize("shape", [(5, 6, 0), (0, 0, 0), (0, 6, 2)])
def test_extract_bboxes_of_nothing(shape):
    boxes = mk.extract_bboxes(np.zeros(shape, bool))
    assert boxes.shape == (shape[2], 4) and boxes.dtype == np.int32 and not boxes.any()


def test_minimize_and_expand():
    mask = np.zeros((6, 8, 1), bool)
    mask[1:5, 2:4] = True  # the left half of the box (1, 2, 5, 6)
    boxes = np.array([[1, 2, 5, 6]])
    mini = mk.minimize_mask(boxes, mask, (2, 2))
    # 4 -> 2: centres 0.5 and 2.5, each the mean of two pixels: left (1 + 1) / 2, right (0 + 0) / 2
    assert mini[:, :, 0].tolist() == [[True, False], [True, False]]
    # Back, 2 -> 4: (1, 0) -> 1 (edge: .75), .75, .25, 0 -> two columns
    np.testing.assert_array_equal(mk.expand_mask(boxes, mini, (6, 8, 3)), mask)


def test_mini_mask_rounds_a_half_down():
    # 2 -> 1: the mean of (1, 0) is 0.5; np.around takes it to the even 0
    mini = mk.minimize_mask([[0, 0, 1, 2]], np.array([[[True], [False]]]), (1, 1))
    assert not mini.any()


def test_mini_masks_of_no_instance_and_of_no_area():
    assert mk.minimize_mask(np.zeros((0, 4), int), np.zeros((4, 4, 0), bool), (2, 3)).shape == (
        2,
        3,
        0,
    )
    assert mk.expand_mask(np.zeros((0, 4), int), np.zeros((2, 3, 0), bool), (4, 5)).shape == (
        4,
        5,
        0,
    )
    with pytest.raises(ValueError, match="instance 0"):
        mk.minimize_mask(np.array([[2, 2, 2, 3]]), np.ones((4, 4, 1), bool), (2, 2))


def test_unmold_mask_values():
    # 1x2 (0, 1) in a box of 4 columns: 0 (edge), .25, .75, .75 (a quarter is the zero outside)
    full = mk.unmold_mask(np.array([[0.0, 1.0]], "float32"), [1, 2, 2, 6], (3, 8))
    assert np.argwhere(full).tolist() == [[1, 4], [1, 5]]
    # the threshold itself belongs to the object
    low = mk.unmold_mask(np.array([[0.0, 1.0]], "float32"), [1, 2, 2, 6], (3, 8), threshold=0.25)
    assert np.argwhere(low)[:, 1].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-1, -2, 2, 2), (0, 0, 2, 2)),
        ((3, 4, 7, 9), (3, 4, 4, 5)),
        ((-1, -1, 5, 6), (0, 0, 4, 5)),
        ((-9, 0, -4, 3), (0, 0, 0, 0)),
        ((9, 9, 12, 12), (0, 0, 0, 0)),
        ((2, 2, 2, 4), (0, 0, 0, 0)),
        ((3, 3, 1, 4), (0, 0, 0, 0)),
    ],
)
def test_paste_at_the_border_and_without_area(box, expected):
    wanted = np.zeros((4, 5), bool)
    y1, x1, y2, x2 = expected
    wanted[y1:y2, x1:x2] = True
    full = mk.unmold_mask(np.ones((2, 2), "float32"), box, (4, 5, 3))
    np.testing.assert_array_equal(full, wanted)
    expanded = mk.expand_mask(np.array([box]), np.ones((2, 2, 1), bool), (4, 5, 3))
    np.testing.assert_array_equal(expanded[:, :, 0], wanted)


def test_paste_outside_keeps_the_right_part():
    # columns of the box: 0 0 1 1; the box starts 2 columns left of the image
    mask = np.array([[0, 0, 1, 1]], "float32")
    full = mk.unmold_mask(mask, (0, -2, 1, 2), (1, 4))
    assert full.tolist() == [[True, True, False, False]]


# ---- molding and meta
