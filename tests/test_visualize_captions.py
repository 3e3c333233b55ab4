import numpy as np
import pytest

from mrcnn.visualize import captions

NAMES = ["BG", "cat", "dog"]


@pytest.fixture
def square_letters(monkeypatch):
    """Every letter is half as wide as the text is high."""
    monkeypatch.setattr(captions, "text_width", lambda text: 0.5 * len(text))


def test_random_colors():
    colors = captions.random_colors(6)
    assert len(set(colors)) == 6
    assert all(max(color) == 1 for color in colors)
    assert all(max(color) == 0.7 for color in captions.random_colors(6, bright=False))
    assert colors == captions.random_colors(6)
    assert captions.random_colors(0) == []


def test_class_colors_depend_on_the_class_only():
    first, crowd, other = captions.class_colors([3, -3, 4])
    assert first == crowd != other
    assert captions.class_colors([3 + len(captions.PALETTE)]) == [first]


def test_instance_colors_depend_on_the_place_only():
    many = captions.instance_colors(100)
    assert len(set(many)) == 100
    assert captions.instance_colors(20) == many[:20]
    assert captions.instance_colors(0) == []
    assert all(0 <= value <= 1 for color in many for value in color)


def test_pick_colors():
    ids = [2, 1, 2]
    assert captions.pick_colors(None, ids) == captions.pick_colors("class", ids)
    assert captions.pick_colors("class", ids) == captions.class_colors(ids)
    assert captions.pick_colors("instance", ids) == captions.instance_colors(3)
    mixed = ["red", (0, 1, 0, 0.8), np.array([0, 0, 1.0])]
    assert captions.pick_colors(mixed, ids) == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    with pytest.raises(ValueError, match=r"'red'.*\"instance\""):
        captions.pick_colors("red", ids)
    with pytest.raises(ValueError, match="colors has 1 entries; expected 3"):
        captions.pick_colors(["red"], ids)


def test_default_captions():
    assert captions.default_captions([1, -2], NAMES, [0.917, 0.5]) == ["cat 0.92", "dog crowd 0.50"]
    assert captions.default_captions([1, -2], None, None) == ["", ""]
    assert captions.default_captions([1, 2], None, [0.5, None]) == ["0.50", ""]


def test_pick_captions():
    assert captions.pick_captions([None, 3], [1, 2], NAMES, [0.1, 0.2]) == ["", "3"]
    assert (
        captions.pick_captions([], [1], NAMES)
        == captions.pick_captions(None, [1], NAMES)
        == ["cat"]
    )
    assert captions.pick_captions(np.array(["x"]), [1]) == ["x"]
    with pytest.raises(ValueError, match="captions has 1 entries; expected 2"):
        captions.pick_captions(["x"], [1, 2], NAMES)
    with pytest.raises(ValueError, match="scores has 1 entries; expected 2"):
        captions.pick_captions(None, [1, 2], NAMES, [0.5])
    # More than there are instances, as matterport: a color for each class, say.
    assert len(captions.pick_captions(None, [1, 2], NAMES, [0.5, 0.5, 0.5])) == 2


@pytest.mark.parametrize(
    "class_id, names, expected",
    [
        (0, NAMES, "BG"),
        (-2.0, NAMES, "dog"),
        (3, NAMES, "class 3"),
        (7, {7: "seven"}, "seven"),
        (1, {7: "seven"}, "class 1"),
        (1, None, "class 1"),
    ],
)
def test_class_name(class_id, names, expected):
    assert captions.class_name(class_id, names) == expected


def test_label_size(square_letters):
    # Two lines of 1.2 and half a letter for each of five, plus 0.3, times 10.
    assert captions.label_size("ab\nabcde", 10) == pytest.approx((27, 28))


def test_text_width_is_that_of_the_font():
    # DejaVu Sans: a digit is 0.636 of the size wide.
    assert captions.text_width("0000") == pytest.approx(4 * 0.636, abs=0.05)
    assert captions.text_width("i") < captions.text_width("m") / 2
    assert captions.text_width("$a^2$") > captions.text_width("$a^2")  # no formula


def test_labels_do_not_overlap_and_stay_inside(square_letters):
    view, size = (0, 0, 100, 100), 10  # a label is 15 high and 3 + 5 a letter = 33 wide for 6
    boxes = np.array([[0, 0, 50, 50], [0, 0, 50, 50], [20, 95, 60, 100]], float)
    placed = captions.place_labels(boxes, ["square"] * 3, [0, 1, 2], view, size)
    # No room above the first: inside its corner. The second goes below its box, the third above,
    # moved left from 95 to 100 - 33 = 67.
    assert placed == [(0, 0, 0, 10), (1, 0, 50, 10), (2, 67, 5, 10)]
    more = captions.place_labels(boxes, ["square"] * 3, [0], view, size, placed)
    assert more == [(0, 0, 35, 10)]  # above the bottom of its box
    crowded = captions.place_labels(boxes[[0] * 9], ["square"] * 9, range(9), view, size)
    assert 1 < len(crowded) < 9
    assert captions.place_labels(boxes, ["a" * 20], [0], view, size) == []  # 103 is too wide


def test_labels_shrink_until_nearly_all_fit(square_letters):
    boxes = np.array([[0, 0, 20, 40]], float).repeat(2, axis=0)
    # Of size 20 a label is 30 high and 6 + 10 a letter = 36 wide: none fits into 20 rows. The next
    # sizes are 16, 12 and 8: 1.5 * 12 = 18 fits once, 1.5 * 8 = 12 once too: 20 - 12 = 8 is taken.
    placed = captions.fit_labels(boxes, ["abc", "abc"], [0, 1], (0, 0, 20, 40), 20, 8)
    assert [(i, size) for i, _, _, size in placed] == [(0, 8), (1, 8)]
    # Beside each other, at the right edge: 2.4 + 12 = 14.4 wide.
    assert [x for _, x, _, _ in placed] == pytest.approx([0, 40 - 14.4])
    assert captions.fit_labels(boxes[:1], ["abc"], [0], (0, 0, 90, 90), 20, 8)[0][3] == 20
    # Nine of ten fit in the first size; the tenth, too wide for it, is alone in a smaller one.
    tall = np.array([[30 * i, 0, 30 * i + 30, 60] for i in range(10)], float)
    texts = ["abc"] * 9 + ["abcdef"]  # 36 and 66 wide; 56.1 - 4 / 3 = 52.8 of size 16
    placed = captions.fit_labels(tall, texts, range(10), (0, 0, 300, 60), 20, 8)
    assert [size for *_, size in placed] == [20] * 9 + [16]
    assert captions.fit_labels(boxes, ["", ""], [0, 1], (0, 0, 20, 40), 20, 8) == []
