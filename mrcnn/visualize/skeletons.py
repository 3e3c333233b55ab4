"""Keypoints of instances, and the lines between them, drawn into pixels and figures.

Shapes: N instances, K keypoints: y x in pixels, and a visibility or score. Points whose third value
is not above 0 are not drawn, nor are lines to them.
"""

import numpy as np
from PIL import Image, ImageDraw


def as_keypoints(keypoints, count):
    """Returns keypoints [N, K, 3] of `count` instances as float; None stays None.

    Raises:
        ValueError: another shape.
    """
    if keypoints is None:
        return None
    keypoints = np.asarray(keypoints, float)
    if keypoints.ndim != 3 or keypoints.shape[::2] != (count, 3):
        raise ValueError(
            f"Expected keypoints of shape ({count}, K, 3), y x and a visibility or score of each "
            f"point, got {keypoints.shape}"
        )
    return keypoints


def draw_skeleton(image, keypoints, skeleton, color, thickness=2):
    """Draws the keypoints of an instance and the lines between them, in place.

    Args:
        image: [H, W, 3] uint8. Modified.
        keypoints: [K, 3].
        skeleton: pairs of indices of keypoints that a line joins, or None.
        color: three values in 0..1.
        thickness: of the lines, in pixels.

    Returns:
        The same image.
    """
    canvas = Image.fromarray(image)
    pencil, rgb = ImageDraw.Draw(canvas), tuple((255 * np.asarray(color)).astype(int).tolist())
    for line in lines_of(keypoints, skeleton):
        # Pillow counts from the centre of the first pixel.
        ends = (line[:, ::-1] - 0.5).reshape(-1).tolist()
        pencil.line(ends, (255, 255, 255), 2 * thickness + 1)
        pencil.line(ends, rgb, thickness)
    for y, x in shown(keypoints) - 0.5:
        for radius, fill in ((1.5 * thickness + 1, (255, 255, 255)), (1.5 * thickness, rgb)):
            pencil.ellipse([x - radius, y - radius, x + radius, y + radius], fill)
    image[:] = np.asarray(canvas)
    return image


def add_skeleton(ax, keypoints, skeleton, color):
    """Adds the keypoints of an instance and the lines between them to axes that show its image."""
    for line in lines_of(keypoints, skeleton):
        # Matplotlib has the centre of the first pixel at 0.
        ax.plot(line[:, 1] - 0.5, line[:, 0] - 0.5, color=color, linewidth=2)
    y, x = shown(keypoints).T - 0.5
    ax.scatter(x, y, s=24, color=[color], edgecolors="white", zorder=3)


def shown(keypoints):
    """The points of [K, 3] that are drawn, [n, 2]."""
    return keypoints[keypoints[:, 2] > 0, :2]


def lines_of(keypoints, skeleton):
    """Both ends of each line that is drawn, [2, 2] y x."""
    ends = (keypoints[list(pair)] for pair in skeleton or ())
    return [each[:, :2] for each in ends if (each[:, 2] > 0).all()]
