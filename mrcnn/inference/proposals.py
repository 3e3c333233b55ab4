"""Whether a model is given proposals as its config says, and how they come to their images."""

import itertools
import warnings

from mrcnn.image.pixels import is_first

_EXPECTED = "for each image boxes [N, 4] = y1 x1 y2 x2 in its pixels, the best first"


def check_wanted(settings, proposals):
    """Raises ValueError unless there are proposals where `USE_RPN_ROIS` is False, and only there.

    Args:
        settings: `mrcnn.settings.Settings`.
        proposals: what `detect` was given.
    """
    wanted = not settings.ground_truth.use_rpn_rois
    if wanted and proposals is None:
        raise ValueError(
            f"proposals is None and USE_RPN_ROIS is False; expected {_EXPECTED}: "
            "detect(images, proposals=...), or --proposals FILE. With USE_RPN_ROIS = True the "
            "network makes its own"
        )
    if not wanted and proposals is not None:
        raise ValueError(
            "proposals were given and USE_RPN_ROIS is True: the network makes its own; leave them "
            "out, or build the model with USE_RPN_ROIS = False"
        )


def check_count(images, proposals):
    """Raises ValueError unless there is one entry for each image of a list."""
    if proposals is not None and (
        not hasattr(proposals, "__len__") or len(proposals) != len(images)
    ):
        have = len(proposals) if hasattr(proposals, "__len__") else type(proposals).__name__
        raise ValueError(
            f"proposals has {have} entries and images {len(images)}; expected {_EXPECTED}"
        )


def in_step(images, proposals):
    """Yields (image, its proposals or None) of two iterables.

    Raises:
        ValueError: one ends before the other.
    """
    if proposals is None:
        yield from zip(images, itertools.repeat(None))
        return
    try:
        yield from zip(images, proposals, strict=True)
    except ValueError as error:
        if "zip()" not in str(error):
            raise
        raise ValueError(
            f"images and proposals are not equally many; expected {_EXPECTED}"
        ) from None


def warn_of_limit(boxes, limit, name, owner):
    """Tells once that an image has more proposals than count."""
    if len(boxes) > limit and is_first(owner, "proposals"):
        warnings.warn(
            f"{name} has {len(boxes)} proposals, of which the first {limit} count: raise "
            "POST_NMS_ROIS_INFERENCE for more",
            stacklevel=2,
        )
