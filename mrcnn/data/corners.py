"""Procedural shapes with their corners as keypoints."""

import numpy as np

from mrcnn.data.keypoints import KeypointScheme
from mrcnn.data.shapes import ShapesDataset

NAMES = ("top", "left_top", "right_top", "left_bottom", "right_bottom")
# The corners of each shape, in units of half its size from its centre: x, y by name. A triangle is
# as wide as `ShapesDataset.draw_shape` makes it; a circle has none.
_BASE = 1 / np.sin(np.radians(60))
CORNERS = {
    "square": {
        "left_top": (-1, -1),
        "right_top": (1, -1),
        "left_bottom": (-1, 1),
        "right_bottom": (1, 1),
    },
    "circle": {},
    "triangle": {"top": (0, -1), "left_bottom": (-_BASE, 1), "right_bottom": (_BASE, 1)},
}


class CornersDataset(ShapesDataset):
    """Squares, circles and triangles, whose corners are keypoints.

    A corner is the centre of its pixel. One that lies outside of the picture or behind another
    shape has visibility 0.

    Example:

    >>> dataset = CornersDataset()
    >>> dataset.load_shapes(count=50, height=128, width=128, seed=1)
    >>> dataset.prepare()
    >>> dataset.load_keypoints(0).shape[1:]
    (5, 3)
    """

    keypoint_scheme = KeypointScheme(NAMES, [(0, 3), (0, 4), (1, 2), (1, 3), (2, 4), (3, 4)])

    def load_keypoints(self, image_id):
        """Returns y x visibility of the corners of each shape, float32 [N, 5, 3]."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().load_keypoints(image_id)
        masks, _ = self.load_mask(image_id)
        found = np.zeros((masks.shape[2], len(NAMES), 3), np.float32)
        for i, (shape, _, (x, y, size)) in enumerate(info["shapes"]):
            for name, (right, down) in CORNERS[shape].items():
                row, column = y + size * down, x + size * right
                if _shows(masks[:, :, i], row, column):
                    found[i, NAMES.index(name)] = row + 0.5, column + 0.5, 2
        return found


def _shows(mask, row, column):
    """Whether a mask reaches a place: rounding leaves sharp corners without their last pixel."""
    near = (slice(max(0, round(place) - 1), round(place) + 2) for place in (row, column))
    inside = -0.5 <= row <= mask.shape[0] - 0.5 and -0.5 <= column <= mask.shape[1] - 0.5
    return bool(inside and mask[tuple(near)].any())
