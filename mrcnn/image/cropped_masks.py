"""`CroppedMasks`: the masks of a large image, without an array of its size for each.

Shape legend: H, W size in pixels; N instances; h, w of what lies inside a box. A box is
`y1, x1, y2, x2` in pixels, half-open.
"""

import numpy as np

_LARGEST = 2**32  # bytes of the whole array, beyond which it is not made


class CroppedMasks:
    """Masks of which each is kept inside its box; read as the bool array `[H, W, N]` they are.

    `masks[:, :, i]` is one mask bool `[H, W]`, `masks[y1:y2, x1:x2, i]` a part of it, and
    `masks[:, :, keep]` are some of them, cropped too. `np.asarray(masks)` makes the whole array,
    which of a large image needs more memory than there is.

    Args:
        height, width: of the image.
        boxes: int32 `[N, 4]`, the tight box of each mask inside the image; zeros of an empty one.
        patches: list of N bool `[h, w]`, the masks inside their boxes.

    Example:

    >>> masks = CroppedMasks(6000, 6000, np.array([[10, 20, 12, 23]]), [np.ones((2, 3), bool)])
    >>> masks.shape, masks[:, :, 0].sum()
    ((6000, 6000, 1), np.int64(6))
    """

    dtype, ndim = np.dtype(bool), 3

    def __init__(self, height, width, boxes, patches):
        self.boxes = np.asarray(boxes, np.int32).reshape(-1, 4)
        self.patches = list(patches)
        self.shape = (int(height), int(width), len(self.patches))

    @classmethod
    def of(cls, planes, height, width):
        """Crops masks that come one after another.

        Args:
            planes: iterable of bool `[H, W]`; one may be overwritten once the next is asked for.
            height, width: of the image.
        """
        boxes, patches = [], []
        for plane in planes:
            y1, x1, y2, x2 = box = tight_box(plane)
            boxes.append(box)
            patches.append(plane[y1:y2, x1:x2].copy())
        return cls(height, width, boxes, patches)

    def __getitem__(self, key):
        """One mask or a part of it, or some of the masks, see above."""
        key = key if isinstance(key, tuple) else (key,)
        if len(key) == 2 and key[0] is Ellipsis:
            key = slice(None), slice(None), key[1]
        rows, columns, chosen = key if len(key) == 3 else (None, None, None)
        if not (isinstance(rows, slice) and isinstance(columns, slice)):
            raise IndexError(
                f"expected masks[:, :, i], masks[y1:y2, x1:x2, i] or masks[:, :, keep], received "
                f"{key}; np.asarray(masks) is the whole array"
            )
        if not isinstance(chosen, (int, np.integer)):
            whole = [part.indices(side) for part, side in zip(key[:2], self.shape, strict=False)]
            if whole != [(0, side, 1) for side in self.shape[:2]]:
                raise IndexError("expected a part of one mask: masks[y1:y2, x1:x2, i]")
            return self.select(chosen)
        (top, bottom, down), (left, right, across) = (
            part.indices(side) for part, side in zip((rows, columns), self.shape, strict=False)
        )
        if down < 1 or across < 1:
            raise IndexError("expected slices that run forwards")
        part = self.region(int(chosen), (top, left, max(top, bottom), max(left, right)))
        return part[::down, ::across]

    def __iter__(self):
        return iter(np.asarray(self))

    def __array__(self, dtype=None, copy=None):
        if np.prod(self.shape, dtype=float) > _LARGEST:
            raise MemoryError(
                f"expected masks that fit into memory as one array, received {self.shape}: take "
                "them one by one, masks[:, :, i]"
            )
        planes = np.zeros((self.shape[2], *self.shape[:2]), bool)
        for plane, (y1, x1, y2, x2), patch in zip(planes, self.boxes, self.patches, strict=True):
            plane[y1:y2, x1:x2] = patch
        return np.moveaxis(planes, 0, -1).astype(dtype or bool, copy=False)

    def __repr__(self):
        return f"CroppedMasks of shape {self.shape}"

    def select(self, keep):
        """Some of the masks, `CroppedMasks`.

        Args:
            keep: bool `[N]`, or indices, or a slice.
        """
        indices = np.arange(len(self.patches))[keep]
        patches = [self.patches[i] for i in indices]
        return CroppedMasks(*self.shape[:2], self.boxes[indices], patches)

    def region(self, index, region):
        """What a mask has inside a region of the image, bool.

        Args:
            index: int.
            region: y1 x1 y2 x2.
        """
        y1, x1, y2, x2 = (int(side) for side in region)
        part = np.zeros((y2 - y1, x2 - x1), bool)
        low = np.maximum(self.boxes[index, :2], (y1, x1))
        high = np.minimum(self.boxes[index, 2:], (y2, x2))
        if (low < high).all():
            top, left = self.boxes[index, :2]
            inside = self.patches[index][
                low[0] - top : high[0] - top, low[1] - left : high[1] - left
            ]
            part[low[0] - y1 : high[0] - y1, low[1] - x1 : high[1] - x1] = inside
        return part

    def areas(self):
        """Pixels of each mask, int `[N]`."""
        return np.array([np.count_nonzero(patch) for patch in self.patches], int)

    def shrunk(self, factor):
        """The masks of the image made smaller, each pixel the one in the middle of its block.

        Args:
            factor: int, pixels of the image along a side of one of the result.
        """
        height, width = (-(-side // factor) for side in self.shape[:2])
        boxes, patches = [], []
        for (y1, x1, y2, x2), patch in zip(self.boxes.tolist(), self.patches, strict=True):
            rows = _middles(y1, y2, factor, self.shape[0])
            columns = _middles(x1, x2, factor, self.shape[1])
            small = patch[np.ix_(rows - y1, columns - x1)]
            top, left, bottom, right = tight_box(small)
            corner = [rows[0] // factor, columns[0] // factor] if small.size else [0, 0]
            boxes.append(np.array([top, left, bottom, right]) + np.tile(corner, 2))
            patches.append(small[top:bottom, left:right])
        return CroppedMasks(height, width, boxes, patches)


def tight_box(mask):
    """The box of a bool `[H, W]` mask as y1, x1, y2, x2; zeros where it has no pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def masks_of(masks):
    """Yields (top, left, patch) of each mask of a bool array `[H, W, N]` or `CroppedMasks`."""
    if isinstance(masks, CroppedMasks):
        for (top, left), patch in zip(masks.boxes[:, :2].tolist(), masks.patches, strict=True):
            yield top, left, patch
        return
    for plane in np.moveaxis(masks, -1, 0):
        y1, x1, y2, x2 = tight_box(plane)
        yield y1, x1, plane[y1:y2, x1:x2]


def shrunk(array, factor):
    """A map `[H, W]` made smaller, each pixel the one in the middle of its block of `factor`."""
    rows, columns = (_middles(0, side, factor, side) for side in array.shape)
    return array[np.ix_(rows, columns)]


def _middles(low, high, factor, side):
    """The pixels of low..high that are the middle of a block of `factor`; the last may be cut."""
    middles = np.arange(low // factor, -(-high // factor)) * factor + factor // 2
    middles = np.minimum(middles, side - 1)
    return middles[(middles >= low) & (middles < high)]
