import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mrcnn.inference.unmold import unmold_detections

# An image of 11 x 21 pixels fills rows 10 to 31 of a molded image of 41 x 41: in normalised
# coordinates (pixels over 40) its corner pixels lie at rows 0.25 and 0.75, columns 0 and 1.
ORIGINAL, MOLDED, WINDOW = (11, 21, 3), (41, 41, 3), (10, 0, 31, 41)
# Rows (0.35 - 0.25) / 0.5 * 10 = 2 and (0.55 - 0.25) / 0.5 * 10 + 1 = 7; columns 0.25 * 20 = 5
# and 0.75 * 20 + 1 = 16.
BOX, ROI = [0.35, 0.25, 0.55, 0.75], [2, 5, 7, 16]


def unmold(detections, masks=None, original=ORIGINAL, molded=MOLDED, window=WINDOW):
    detections = np.array(detections, "float32").reshape(-1, 6)
    masks = np.ones((len(detections), 4, 4), "float32") if masks is None else np.array(masks)
    return unmold_detections(detections, masks, original, molded, window)


def test_box_in_a_padded_window():
    result = unmold([[*BOX, 3, 0.5], [0.25, 0, 0.75, 1, 1, 0.25]])
    assert_array_equal(result["rois"], [ROI, [0, 0, 11, 21]])
    assert_allclose(result["boxes"], [ROI, [0, 0, 11, 21]], atol=1e-5)
    assert_array_equal(result["class_ids"], [3, 1])
    assert_array_equal(result["scores"], [0.5, 0.25])
    assert {name: value.dtype.name for name, value in result.items()} == {
        "rois": "int32",
        "boxes": "float32",
        "class_ids": "int32",
        "scores": "float32",
        "masks": "bool",
    }


def test_box_in_a_window_with_columns_to_the_left():
    # Rows 0 to 41 and columns 20 to 31 of 41: 0 to 1 and 0.5 to 0.75, of 11 x 6 pixels.
    # Rows 0.2 * 10, 0.4 * 10 + 1; columns 0.1 / 0.25 * 5, 0.2 / 0.25 * 5 + 1.
    result = unmold([[0.2, 0.6, 0.4, 0.7, 1, 1]], original=(11, 6, 3), window=(0, 20, 41, 31))
    assert_array_equal(result["rois"], [[2, 2, 5, 5]])


def test_rois_are_rounded_and_boxes_are_not():
    # 11 x 11 pixels: 0.26 * 10, 0.24 * 10, 0.56 * 10 + 1, 0.54 * 10 + 1
    result = unmold([[0.26, 0.24, 0.56, 0.54, 1, 1]], None, (11, 11), (11, 11), (0, 0, 11, 11))
    assert_allclose(result["boxes"], [[2.6, 2.4, 6.6, 6.4]], rtol=1e-5)
    assert_array_equal(result["rois"], [[3, 2, 7, 6]])


def test_mask_fills_its_box_only():
    result = unmold([[*BOX, 3, 0.5]])
    expected = np.zeros((11, 21, 1), bool)
    expected[2:7, 5:16] = True
    assert_array_equal(result["masks"], expected)


def test_mask_of_the_size_of_its_box_is_thresholded_at_a_half():
    # 5 x 11 pixels: nothing to resize.
    mask = np.zeros((1, 5, 11))
    mask[0, 0, 0], mask[0, 1, 2], mask[0, 4, 10] = 0.5, 0.49, 1.0
    masks = unmold([[*BOX, 3, 0.5]], mask)["masks"]
    # The box starts at (2, 5): its first and last pixel.
    assert_array_equal(np.argwhere(masks[..., 0]), [[2, 5], [6, 15]])


def test_each_detection_keeps_its_own_mask():
    masks = np.stack([np.zeros((2, 2)), np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2))])
    detections = [
        [*BOX, 1, 0.9],
        [0.35, 0.25, 0.35, 0.1, 2, 0.8],  # columns 5 to 3: left out, with its mask
        [*BOX, 3, 0.7],
        [0, 0, 0, 0, 0, 0],  # padding
    ]
    result = unmold(detections, masks)
    assert_array_equal(result["class_ids"], [1, 3])
    assert_allclose(result["scores"], [0.9, 0.7])
    assert result["masks"].shape == (11, 21, 2)
    assert_array_equal(result["masks"].sum(axis=(0, 1)), [0, 5 * 11])


@pytest.mark.parametrize(
    "detections",
    [
        np.zeros((0, 6)),  # no rows at all
        np.zeros((3, 6)),  # padding
        [[0.55, 0.25, 0.5, 0.75, 1, 1]],  # rows 6 to 6: no area
    ],
    ids=["none", "padding", "no area"],
)
def test_nothing_detected(detections):
    result = unmold(detections)
    assert result["rois"].shape == result["boxes"].shape == (0, 4)
    assert result["class_ids"].shape == result["scores"].shape == (0,)
    assert result["masks"].shape == (11, 21, 0) and result["masks"].dtype == bool


def test_padding_changes_nothing():
    plain = unmold([[*BOX, 3, 0.5]])
    padded = unmold([[*BOX, 3, 0.5]] + [[0] * 6] * 4)
    for name, value in plain.items():
        assert_array_equal(padded[name], value)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        # One pixel: row 0.5 * 10 = 5 to 6. In normalised coordinates it has no area.
        ([0.5, 0.5, 0.5, 0.5], True),
        # Rows 5.4 and 5.4 - 0.5 + 1 = 5.9 -> 5 to 6.
        ([0.54, 0.5, 0.49, 0.5], True),
        # Rows 5.4 and 5.4 -> 5 to 5.
        ([0.54, 0.5, 0.44, 0.5], False),
        # The same in columns.
        ([0.5, 0.54, 0.5, 0.44], False),
    ],
)
def test_boxes_without_area_in_pixels_are_left_out(box, kept):
    result = unmold([[*box, 1, 1]], None, (11, 11), (11, 11), (0, 0, 11, 11))
    assert len(result["rois"]) == len(result["scores"]) == result["masks"].shape[-1] == kept


def test_image_one_pixel_wide():
    # Columns 20 to 21 of 41: all of them the only column.
    result = unmold([[0, 0.5, 1, 0.5, 1, 1]], original=(41, 1, 3), window=(0, 20, 41, 21))
    assert_array_equal(result["rois"], [[0, 0, 41, 1]])
    assert result["masks"].all()


# ---- offset 0, no masks, other ways of pasting

# An image of 10 x 20 pixels fills rows 10 to 30 of a molded image of 40 x 40: rows 0.25 to 0.75 and
# columns 0 to 1. Rows (0.35 - 0.25) / 0.5 * 10 = 2 and 6, columns 0.25 * 20 = 5 and 15.
PLAIN = {
    "original_image_shape": (10, 20, 3),
    "image_shape": (40, 40, 3),
    "window": (10, 0, 30, 40),
    "box_offset": 0,
}


def unmold_plain(detections, masks=None, **options):
    return unmold_detections(np.array(detections, "float32"), masks, **PLAIN, **options)


def test_box_with_offset_0():
    result = unmold_plain([[*BOX, 3, 0.5], [0.25, 0, 0.75, 1, 1, 0.25]])
    assert_allclose(result["boxes"], [[2, 5, 6, 15], [0, 0, 10, 20]], atol=1e-5)
    assert_array_equal(result["rois"], [[2, 5, 6, 15], [0, 0, 10, 20]])


def test_without_masks_there_are_none():
    result = unmold_plain([[*BOX, 3, 0.5], [0] * 6])
    assert sorted(result) == ["boxes", "class_ids", "rois", "scores"]
    assert_array_equal(result["class_ids"], [3])
    assert unmold_plain(np.zeros((2, 6)))["rois"].shape == (0, 4)


# Rows 0.37 -> 2.4 and 0.43 -> 3.6, columns 0.27 * 20 = 5.4 and 0.33 * 20 = 6.6.
SMALL, SMALL_BOX = [0.37, 0.27, 0.43, 0.33], [2.4, 5.4, 3.6, 6.6]


def test_resize_pastes_into_the_rounded_box():
    result = unmold_plain([[*SMALL, 1, 0.5]], np.ones((1, 2, 2), "float32"))
    assert_allclose(result["boxes"], [SMALL_BOX], rtol=1e-5)
    assert_array_equal(result["rois"], [[2, 5, 4, 7]])
    assert_array_equal(np.argwhere(result["masks"][..., 0]), [[2, 5], [2, 6], [3, 5], [3, 6]])


def test_sampled_pastes_into_the_box_itself():
    # Row 2: (2.5 - 2.4) / 0.6 - 0.5 = -1/3, so 2/3; row 3: 4/3, so 2/3; columns as well.
    # 2/3 * 2/3 = 0.44 is no object.
    ones = np.ones((1, 2, 2), "float32")
    assert not unmold_plain([[*SMALL, 1, 0.5]], ones, mask_paste="sampled")["masks"].any()
    # Rows 2.25 to 4.25 and columns 5 to 8 of the image: 0.3625, 0.4625, 0.25, 0.4. Rows 2 and 3:
    # -0.25 and 0.75, 0.75 and 1; row 4: 1.75, 0.25. Columns 5 to 7: -1/6, 0.5, 7/6: 5/6, 1, 5/6.
    box = [0.3625, 0.25, 0.4625, 0.4]
    found = unmold_plain([[*box, 1, 0.5]], ones, mask_paste="sampled")["masks"]
    expected = np.zeros((10, 20, 1), bool)
    expected[2:4, 5:8] = True
    assert_array_equal(found, expected)


def test_padded_pastes_into_the_grown_box():
    # Center 4 and half 2 grow to 0 and 8, columns 10 and 5 to 0 and 20: 9 rows and 21 columns.
    # Rows 2 to 6 are 0.61, 1, 1, 1, 0.61, as in the tests of `paste_padded`. Column p takes
    # (p + 0.5) * 4/21 - 0.5: above 0.5 from p = 5 (0.548) to 15 (0.548), above 0.82 from 7 (0.929).
    masks = np.ones((1, 2, 2), "float32")
    found = unmold_plain([[*BOX, 3, 0.5]], masks, mask_paste="padded")["masks"]
    expected = np.zeros((10, 20, 1), bool)
    expected[3:6, 5:16] = True
    expected[2, 7:14] = expected[6, 7:14] = True
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("mask_paste", "kept"), [("resize", [2]), ("sampled", [1, 2]), ("padded", [1, 2])]
)
@pytest.mark.parametrize("with_masks", [False, True])
def test_boxes_without_area_are_left_out_by_what_masks_are_pasted_to(mask_paste, kept, with_masks):
    detections = [
        # Rows 2.2 to 2.4, rounded 2 to 2: no area for masks resized to whole pixels.
        [0.36, 0.25, 0.37, 0.75, 1, 0.9],
        [*BOX, 2, 0.8],
        [0.55, 0.25, 0.55, 0.75, 3, 0.7],  # no area at all
        [0] * 6,
    ]
    masks = np.ones((4, 2, 2), "float32") if with_masks else None
    result = unmold_plain(detections, masks, mask_paste=mask_paste)
    assert_array_equal(result["class_ids"], kept)
    assert len(result["boxes"]) == len(result["rois"]) == len(result["scores"]) == len(kept)
    if with_masks:
        assert result["masks"].shape == (10, 20, len(kept))
