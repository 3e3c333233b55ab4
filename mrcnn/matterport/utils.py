"""What only matterport's `utils` has, in NumPy unless it says otherwise."""

import warnings
import xml.etree.ElementTree  # noqa: F401  matterport's imports load it, and scripts rely on that

import numpy as np
from keras import ops

from mrcnn.image import resizing
from mrcnn.image.masks import extract_bboxes, minimize_mask
from mrcnn.matterport.data import Dataset
from mrcnn.ops import boxes as box_ops

__all__ = [
    "Dataset",
    "apply_box_deltas",
    "batch_slice",
    "box_refinement",
    "box_refinement_graph",
    "mold_mask",
    "resize_image",
]


def apply_box_deltas(boxes, deltas):
    """`mrcnn.ops.apply_box_deltas` in NumPy: refines boxes [N, 4] by deltas [N, 4], float32."""
    return ops.convert_to_numpy(box_ops.apply_box_deltas(*_as_tensors(boxes, deltas)))


def box_refinement(box, gt_box):
    """`box_refinement_graph` in NumPy, for boxes of any numeric dtype; float32 [N, 4]."""
    return ops.convert_to_numpy(box_refinement_graph(*_as_tensors(box, gt_box)))


def box_refinement_graph(box, gt_box):
    """Computes the deltas that turn boxes into ground truth boxes.

    Args:
        box: tensor [..., 4].
        gt_box: tensor [..., 4].

    Returns:
        float32 tensor [..., 4] = dy, dx, log dh, log dw; zeros where either box has no area.
    """
    return box_ops.box_deltas(ops.cast(box, "float32"), ops.cast(gt_box, "float32"))


def _as_tensors(*arrays):
    return [ops.convert_to_tensor(np.asarray(array), "float32") for array in arrays]


def batch_slice(inputs, graph_fn, batch_size, names=None):
    """Calls a function that knows one image only for each image of a batch.

    Args:
        inputs: tensor or list of tensors [B, ...].
        graph_fn: function of as many tensors without the batch axis, to a tensor or to a list.
        batch_size: int (B).
        names: not used, as tensors of Keras have no names.

    Returns:
        Tensor [B, ...], or a list of them where `graph_fn` returns more than one.

    Example:

    >>> tuple(batch_slice(ops.ones((2, 3, 4)), box_area, 2).shape)
    (2, 3)
    """
    inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    results = [graph_fn(*(tensor[i] for tensor in inputs)) for i in range(batch_size)]
    several = [result if isinstance(result, (list, tuple)) else [result] for result in results]
    stacked = [ops.stack(images) for images in zip(*several, strict=True)]
    return stacked[0] if len(stacked) == 1 else stacked


def mold_mask(mask, config):
    """Brings the masks of a resized image into the form that the network takes.

    Args:
        mask: array `[H, W, N]`, bool or numbers that are 0 outside the object.
        config: `Config`; `USE_MINI_MASK` and `MINI_MASK_SHAPE` decide.

    Returns:
        bool array `[H, W, N]`, or `[mh, mw, N]` mini-masks over the masks' own boxes.

    Raises:
        ValueError: if a mask without a pixel should become a mini-mask.
    """
    mask = np.asarray(mask).astype(bool, copy=False)
    if not config.USE_MINI_MASK:
        return mask
    return minimize_mask(extract_bboxes(mask), mask, config.MINI_MASK_SHAPE)


def resize_image(
    image,
    min_dim=None,
    max_dim=None,
    min_scale=None,
    mode="square",
    rng=None,
    interpolation="constant",
    padding=None,
):
    """`mrcnn.image.resize_image`, and what matterport's first version asked for.

    Args:
        padding: bool, outdated: that version returned no crop. True is mode `"square"`, False the
            same without the padding.
    """
    if padding is None:
        return resizing.resize_image(image, min_dim, max_dim, min_scale, mode, rng, interpolation)
    warnings.warn(
        "resize_image(padding=...) is outdated; pass mode='square', and take five values",
        FutureWarning,
        stacklevel=2,
    )
    image, window, scale, pads, _ = resizing.resize_image(image, min_dim, max_dim)
    if padding:
        return image, window, scale, pads
    y1, x1, y2, x2 = window
    return image[y1:y2, x1:x2], (0, 0, y2 - y1, x2 - x1), scale, [(0, 0), (0, 0), (0, 0)]
