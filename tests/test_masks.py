import numpy as np
import pytest

from mrcnn import image as mk


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


@pytest.mark.parametrize("one", [True, np.uint8(1), np.uint8(255), 0.001])
def test_what_is_not_zero_is_the_object(one):
    mask = np.zeros((6, 8, 1), type(one))
    mask[1:5, 2:4] = one
    boxes = [[1, 2, 5, 6]]
    assert mk.extract_bboxes(mask).tolist() == [[1, 2, 5, 4]]
    mini = mk.minimize_mask(boxes, mask, [2, 2])
    assert mini.dtype == bool and mini[:, :, 0].tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize("one", [True, np.uint8(1), np.uint8(255), 1.0, np.float32(1)])
def test_small_masks_of_any_dtype(one):
    small, full = np.array([[one, type(one)(0)]]), np.zeros((3, 8), bool)
    # 1x2 (1, 0) in 4 columns: 1 (edge: .75), .75, .25, 0
    full[1, 2:4] = True
    np.testing.assert_array_equal(mk.unmold_mask(small, [1, 2, 2, 6], (3, 8, 3)), full)
    expanded = mk.expand_mask([[1, 2, 2, 6]], small[:, :, None], (3, 8, 3))
    np.testing.assert_array_equal(expanded[:, :, 0], full)


def test_boxes_may_be_floats_and_have_further_columns():
    mask = np.zeros((6, 8, 1), bool)
    mask[1:5, 2:4] = True
    boxes = np.array([[1.0, 2.0, 5.0, 6.0, 0.9]])
    mini = mk.minimize_mask(boxes, mask, (2, 2))
    assert mini[:, :, 0].tolist() == [[True, False], [True, False]]
    np.testing.assert_array_equal(mk.expand_mask(boxes, mini, (6, 8)), mask)


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


def test_resize_mask_to_a_size():
    # 3 -> 2: centres 0.75 and 2.25, pixels 0 and 2; 2 -> 3: 1/3, 1, 5/3, pixels 0, 1, 1.
    # The scale says otherwise and does not count.
    mask = np.array([[1, 2], [3, 4], [5, 6]])[:, :, None]
    found = mk.resize_mask(mask, 1.0, [(0, 0)] * 3, size=(2, 3))
    assert found[:, :, 0].tolist() == [[1, 2, 2], [5, 6, 6]]
    padded = mk.resize_mask(mask, 1.0, [(0, 1), (0, 2), (0, 0)], size=(2, 3))
    assert padded[:, :, 0].tolist() == [[1, 2, 2, 0, 0], [5, 6, 6, 0, 0], [0] * 5]
    assert mk.resize_mask(mask[:, :, :0], 1.0, [(0, 0)] * 3, size=(2, 3)).shape == (2, 3, 0)


def test_padding_of_resized_masks_is_empty_on_every_side():
    # Pixels 0, 0, 1, 1 of each axis; one row and two columns before, two and one behind.
    mask = np.array([[1, 2], [3, 4]])[:, :, None]
    found = mk.resize_mask(mask, 2, [(1, 2), (2, 1), (0, 0)])
    first, second = [0, 0, 1, 1, 2, 2, 0], [0, 0, 3, 3, 4, 4, 0]
    empty = [0] * 7
    expected = [empty, first, first, second, second, empty, empty]
    assert found[:, :, 0].tolist() == expected and found.dtype == mask.dtype
    # A crop from (1, 2), two rows and one column: rows 0 and 1, column 1.
    found = mk.resize_mask(mask, 2, [(0, 0)], crop=(1, 2, 2, 1))
    assert found[:, :, 0].tolist() == [[2], [4]]


def test_resized_masks_are_the_callers_to_change():
    mask = np.ones((2, 2, 1), bool)
    mk.resize_mask(mask, 1, [(0, 0)])[:] = False
    assert mask.all()


# ---- pasting as torchvision and detectron2

ONES, CORNER = np.ones((2, 2), "float32"), np.array([[1, 0], [0, 0]], "float32")
BOTH_PASTERS = pytest.mark.parametrize("name", ["padded", "sampled"])


def pasted(name, mask, box, shape=(10, 10), **options):
    """Rows of the canvas as text, `#` where the object is."""
    canvas = np.zeros(shape, bool)
    mk.PASTERS[name](canvas, np.asarray(mask, "float32"), box, **options)
    return ["".join(".#"[int(pixel)] for pixel in row) for row in canvas]


def test_paste_padded():
    # 2 -> 4 pixels with the zeros around: the box 2..6 doubles to 0..8, 9 pixels as the last is
    # inside. Pixel p takes (p + 0.5) * 4/9 - 0.5 of 0 1 1 0: pixels 2 and 6 at 0.611 and 2.389,
    # which is 0.611; 3, 4 and 5 are 1, the others 0.167 at most. 0.611^2 = 0.37 is no object.
    assert pasted("padded", ONES, [2, 2, 6, 6]) == [
        "..........",
        "..........",
        "...###....",
        "..#####...",
        "..#####...",
        "..#####...",
        "...###....",
        *[".........."] * 3,
    ]


def test_paste_padded_of_a_corner():
    # 0 1 0 0 at pixels 2 to 5: 0.611, 0.944, 0.5, 0.056. 0.611 * 0.944 = 0.58, 0.944 * 0.5 = 0.47.
    found = pasted("padded", CORNER, [2, 2, 6, 6])
    assert found[2:5] == ["...#......", "..##......", ".........."]
    # 0.944 * 0.5 = 0.472 and 0.611^2 = 0.373 are above 0.37, 0.611 * 0.5 = 0.306 is not.
    found = pasted("padded", CORNER, [2, 2, 6, 6], threshold=0.37)
    assert found[2:5] == ["..##......", "..###.....", "...#......"]


def test_paste_padded_is_above_its_threshold():
    # A box of 0 to 0 grows to one pixel, between the ones: 1.
    assert pasted("padded", ONES, [5, 5, 5, 5], threshold=0.999)[5] == ".....#...."
    assert pasted("padded", ONES, [5, 5, 5, 5], threshold=1) == [".........."] * 10


def test_paste_padded_cuts_to_whole_pixels():
    # Center 4.25, half 1.75: 0.75 to 7.75 become 0 to 7, 8 pixels of 4/8: pixel p takes
    # p / 2 - 0.25. 0.75 at 2, 1.25, 1.75, 2.25 -> 0.75 at 5; 1 and 6 are 0.25.
    found = pasted("padded", ONES, [2.5, 2.5, 6, 6])
    assert found[:7] == ["." * 10, "." * 10, *["..####...."] * 4, "." * 10]


def test_paste_padded_beyond_the_canvas():
    # As above, four pixels up and left: its rows and columns 4 to 8.
    found = pasted("padded", ONES, [-2, -2, 2, 2], (5, 5))
    assert found == ["###..", "###..", "##...", ".....", "....."]
    # And to the lower right: its rows and columns 0 to 4 at 1 to 5.
    found = pasted("padded", ONES, [3, 3, 7, 7], (6, 6))
    assert found == ["......"] * 3 + ["....##", "...###", "...###"]


def test_paste_sampled():
    # Pixel p takes (p + 0.5 - 2) / 2 - 0.5: -0.25, 0.25, 0.75, 1.25 at 2 to 5, so 0.75, 1, 1, 0.75
    # and 0.75^2 = 0.56; 1 and 6 are 0.25.
    found = pasted("sampled", ONES, [2, 2, 6, 6])
    assert found == ["." * 10, "." * 10, *["..####...."] * 4, *["." * 10] * 4]


def test_paste_sampled_of_a_corner():
    # 1 0 at pixels 1 to 4: 0.25, 0.75, 0.75, 0.25.
    found = pasted("sampled", CORNER, [2, 2, 6, 6])
    assert found == ["." * 10, "." * 10, *["..##......"] * 2, *["." * 10] * 6]
    # The threshold itself belongs to the object: 0.75 * 0.25.
    found = pasted("sampled", CORNER, [2, 2, 6, 6], threshold=0.1875)
    assert found[1:6] == ["..##......", *[".####....."] * 2, "..##......", ".........."]


def test_paste_sampled_takes_boxes_between_pixels():
    # Rows (p + 0.5 - 2.5) / 1.5 - 0.5: 2: -0.5, 3: 1/6, 4: 5/6, 5: 1.5 -> 0.5, 1, 1, 0.5.
    # Columns from 2 to 6 as above: 0.75, 1, 1, 0.75; 0.5 * 0.75 is no object, 0.5 * 1 is.
    found = pasted("sampled", ONES, [2.5, 2, 5.5, 6])
    assert found[1:7] == ["." * 10, "...##.....", *["..####...."] * 2, "...##.....", "." * 10]


def test_paste_sampled_beyond_the_canvas():
    assert pasted("sampled", ONES, [-2, -2, 2, 2], (4, 4)) == ["##..", "##..", "....", "...."]
    assert pasted("sampled", ONES, [2, 2, 6, 6], (4, 4)) == ["....", "....", "..##", "..##"]
    assert pasted("sampled", ONES, [-3, -3, 9, 9], (2, 3)) == ["###", "###"]


def test_tiny_boxes():
    # Sampled: (3.5 - 3.2) / 0.4 * 2 - 0.5 = 1: the lower right pixel of the mask; the centres of
    # other pixels are far from the box. Between two centres there is nothing.
    one = ["....", "....", "....", "...#"]
    assert pasted("sampled", ONES, [3.2, 3.2, 3.6, 3.6], (4, 4)) == one
    assert pasted("sampled", CORNER, [3.2, 3.2, 3.6, 3.6], (4, 4)) == ["...."] * 4
    assert pasted("sampled", ONES, [2.6, 2.6, 2.9, 2.9], (4, 4)) == ["...."] * 4
    # Padded: center 3.3, half 0.2: 3.1 to 3.5, one pixel, at 0.5 * 4 - 0.5 = 1.5 of 0 1 1 0.
    assert pasted("padded", ONES, [3.2, 3.2, 3.4, 3.4], (4, 4)) == one
    assert pasted("padded", ONES, [2.6, 2.6, 2.8, 2.8], (4, 4))[2] == "..#."
    assert pasted("padded", CORNER, [3.2, 3.2, 3.4, 3.4], (4, 4)) == ["...."] * 4  # 0.5 * 0.5


@BOTH_PASTERS
@pytest.mark.parametrize("box", [(-9, 0, -4, 3), (9, 9, 12, 12), (0, 20, 4, 24), (2, -30, 4, -20)])
def test_boxes_outside_the_canvas_paste_nothing(name, box):
    assert pasted(name, ONES, box, (4, 5)) == ["....."] * 4


@BOTH_PASTERS
def test_only_the_box_and_its_margin_are_written(name):
    # Padded: 0 to 8 as above. Sampled: one pixel more than 2..6. What lies outside stays.
    canvas, (low, high) = np.ones((10, 10), bool), {"padded": (0, 9), "sampled": (1, 7)}[name]
    mk.PASTERS[name](canvas, np.zeros((2, 2), "float32"), [2, 2, 6, 6])
    expected = np.ones((10, 10), bool)
    expected[low:high, low:high] = False
    np.testing.assert_array_equal(canvas, expected)


@BOTH_PASTERS
def test_pasters_leave_the_mask_as_it_is(name):
    mask, box = CORNER.copy(), [1.5, 2.5, 4.0, 5.0]
    mk.PASTERS[name](np.zeros((6, 6), bool), mask, box)
    np.testing.assert_array_equal(mask, CORNER)
    assert box == [1.5, 2.5, 4.0, 5.0]
