"""Captions and colors of instances, and where a caption finds room.

A label is a caption as it is drawn: text on a patch in the color of its instance. Boxes are
`y1 x1 y2 x2` in pixels, half-open; class ids are negative for crowds.
"""

import colorsys
from functools import lru_cache

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from mrcnn.data.class_names import class_name

# Strong colors of middle lightness: they stand out from black, from white and from one another.
PALETTE = [
    to_rgb(color)
    for color in (
        *("#f0433a", "#2f9bff", "#35c24a", "#ff9f1c", "#b455f0", "#00c2c7"),
        *("#f55fae", "#b5c400", "#8a6cff", "#d2691e", "#00a878", "#c94c7c"),
    )
]
GOLDEN_RATIO = (1 + 5**0.5) / 2
# In multiples of the text size:
LINE_HEIGHT = 1.2
PADDING = 0.3  # what a label is higher and wider than its text


def random_colors(N, bright=True):
    """Returns N distinct RGB tuples in 0..1, in a shuffled order that depends on N alone."""
    value = 1.0 if bright else 0.7
    colors = [colorsys.hsv_to_rgb(i / N, 1, value) for i in range(N)]
    return [colors[i] for i in np.random.default_rng(N).permutation(N)]


def class_colors(class_ids):
    """Returns one color for each class id: the same class has the same color in every picture."""
    return [PALETTE[(abs(int(class_id)) - 1) % len(PALETTE)] for class_id in class_ids]


def instance_colors(count):
    """Returns `count` distinct colors: instance i has the same one in every picture."""
    # Steps of the golden ratio around the circle of hues never meet a hue twice, and those of
    # successive instances lie far apart.
    hues = [i / GOLDEN_RATIO % 1 for i in range(count - len(PALETTE))]
    more = [colorsys.hsv_to_rgb(hue, 0.75, (0.95, 0.7)[i % 2]) for i, hue in enumerate(hues)]
    return [*PALETTE, *more][:count]


def pick_colors(colors, class_ids):
    """Returns one RGB tuple in 0..1 for each instance.

    Args:
        colors: None or "class" for a color by class, "instance" for one by place in the list, or
            any Matplotlib color for each instance.
        class_ids: [N] int.

    Raises:
        ValueError: `colors` is another string, or fewer than N.
    """
    if colors is None or isinstance(colors, str):
        if colors not in (None, "class", "instance"):
            raise ValueError(
                f'colors is {colors!r}; expected "class", "instance" or a list of '
                f"{len(class_ids)} colors, one for each instance"
            )
        by_instance = colors == "instance"
        return instance_colors(len(class_ids)) if by_instance else class_colors(class_ids)
    _check_count("colors", colors, class_ids)
    return [to_rgb(color) for color in colors]


def pick_captions(captions, class_ids, class_names=None, scores=None):
    """Returns a text for each instance: its caption, or "name score" if `captions` is None.

    Raises:
        ValueError: fewer captions or scores than class ids.
    """
    if scores is not None:
        _check_count("scores", scores, class_ids)
    if captions is None or len(captions) == 0:
        return default_captions(class_ids, class_names, scores)
    _check_count("captions", captions, class_ids)
    return ["" if text is None else str(text) for text in captions[: len(class_ids)]]


def default_captions(class_ids, class_names, scores):
    """Returns "name score" for each instance; a part that is not known is left out."""
    captions = []
    for i, class_id in enumerate(class_ids):
        name = "" if class_names is None else class_name(class_id, class_names)
        crowd = "crowd" if class_id < 0 and class_names is not None else ""
        score = "" if scores is None or scores[i] is None else f"{scores[i]:.2f}"
        captions.append(" ".join(part for part in (name, crowd, score) if part))
    return captions


def label_style(color):
    """Returns Matplotlib text options: black or white, whichever reads better, on the color."""
    luminance = np.dot(color, (0.299, 0.587, 0.114))
    patch = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
    # Without parse_math, dollar signs in a name would make it a formula.
    return {"color": "black" if luminance > 0.53 else "white", "bbox": patch, "parse_math": False}


@lru_cache(maxsize=10000)
def text_width(text):
    """Returns the width of a line of text in the default font, in multiples of its size."""
    font = FontProperties(size=100)
    return text_to_path.get_text_width_height_descent(text, font, False)[0] / 100


def fit_labels(boxes, captions, order, view, size, smallest):
    """Places labels in one text size, the largest in which 90 % find room, and the rest smaller.

    Args:
        boxes, captions, order, view: as in `place_labels`.
        size, smallest: the largest and the smallest size of the text, in pixels.

    Returns:
        As `place_labels`.
    """
    sizes = np.linspace(size, min(size, smallest), 4).tolist()
    order = [i for i in order if captions[i]]
    while True:
        placed = place_labels(boxes, captions, order, view, sizes.pop(0))
        if not sizes or len(placed) >= 0.9 * len(order):
            break
    for smaller in sizes:
        left_out = [i for i in order if i not in {label[0] for label in placed}]
        placed += place_labels(boxes, captions, left_out, view, smaller, placed)
    return placed


def place_labels(boxes, captions, order, view, size, others=()):
    """Places labels at corners of their boxes where they do not overlap.

    Args:
        boxes: [N, 4].
        captions: N texts, of one or more lines.
        order: indices of the labels to place; the first one chooses first.
        view: y1 x1 y2 x2 of the visible part of the image: labels stay inside.
        size: of the text, in pixels.
        others: labels placed earlier, as this function returns them.

    Returns:
        list of (i, x, y, size): the labels that found room, with their top-left corners.
    """
    placed = []
    taken = [(y, x, *np.add((y, x), label_size(captions[i], s))) for i, x, y, s in others]
    for i in order:
        label = label_size(captions[i], size)
        corner = _free_corner(boxes[i], label, view, np.reshape(taken, (-1, 4)))
        if corner is not None:
            taken.append((*corner, *np.add(corner, label)))
            placed.append((i, float(corner[1]), float(corner[0]), size))
    return placed


def label_size(text, size):
    """Returns the height and width of a label of one or more lines of text of this size."""
    lines = text.split("\n")
    height, width = LINE_HEIGHT * len(lines), max(map(text_width, lines))
    return (height + PADDING) * size, (width + PADDING) * size


def _free_corner(box, label, view, taken):
    """Returns y, x of the first corner of a box where a label overlaps no other, or None.

    Args:
        box: y1 x1 y2 x2.
        label: its height and width.
        view: as in `place_labels`.
        taken: [N, 4], y1 x1 y2 x2 of the labels that are placed.
    """
    (height, width), (top, left, bottom, right) = label, view
    y1, x1, y2, x2 = np.clip(box, (top, left, top, left), (bottom, right, bottom, right))
    corners = [(y1 - height, x1), (y1, x1), (y2, x1), (y2 - height, x1)]
    corners += [(y, x2 - width) for y, _ in corners]
    for y, x in corners:
        x = max(left, min(x, right - width))
        apart = (taken[:, 0] >= y + height) | (taken[:, 2] <= y)
        apart |= (taken[:, 1] >= x + width) | (taken[:, 3] <= x)
        inside = top <= y <= bottom - height and width <= right - left
        if inside and apart.all():
            return y, x
    return None


def _check_count(name, values, class_ids):
    if len(values) < len(class_ids):
        raise ValueError(
            f"{name} has {len(values)} entries; expected {len(class_ids)}, one for each class id"
        )
