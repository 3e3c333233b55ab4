"""Semantic heads: the stride of their logits, and their targets, classes of pixels.

Shapes: B images, H W. Classes are 0 background, then T - 1 things, then stuff; `VOID` is none.
"""

from keras import ops

from mrcnn.image.label_maps import VOID

STRIDE = 4  # pixels from one logit to the next


def strided(labels):
    """Those labels that lie where the logits of corner-aligned features do: int [B, H, W] ->
    [B, H / 4, W / 4], the first and every fourth."""
    return labels[:, ::STRIDE, ::STRIDE]


def stuff_targets(labels, thing_classes):
    """Classes of Panoptic FPN's semantic head (arXiv:1901.02446): one for all things, then stuff.

    Args:
        labels: int [B, H, W], classes of the data; `VOID` counts nowhere.
        thing_classes: int T, classes of instances with the background.

    Returns:
        int [B, H, W]: 0 a thing, 1 the first class of stuff, ...; `VOID` as before. Background is
        `VOID` too: no segment lies there.
    """
    stuff = ops.maximum(labels - thing_classes + 1, 0)
    return ops.stop_gradient(ops.where(labels > 0, stuff, VOID))
