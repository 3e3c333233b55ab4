"""Boxes, and what refinement makes of them, in Matplotlib figures.

Boxes are `y1 x1 y2 x2` in pixels, half-open, and may reach beyond the image.
"""

import numpy as np
from matplotlib.lines import Line2D

from mrcnn.data.class_names import class_name
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.pasting import unmold_mask
from mrcnn.visualize.captions import instance_colors, pick_captions
from mrcnn.visualize.draw import (
    apply_mask,
    as_boxes,
    large_first,
    prepare,
    to_uint8_rgb,
    warn_of_normalized,
)
from mrcnn.visualize.figures import (
    add_box,
    add_labels,
    add_mask,
    finish,
    open_axes,
    show_image,
    without_echo,
)

GREY = (0.7, 0.7, 0.7)
# Visibility of a box: whether it has its own color (else grey), its line style, its opacity.
STYLES = {0: (False, "dotted", 0.6), 1: (True, "dotted", 1), 2: (True, "solid", 1)}


def draw_boxes(
    image,
    boxes=None,
    refined_boxes=None,
    masks=None,
    captions=None,
    visibilities=None,
    title="",
    ax=None,
    save_path=None,
):
    """Shows boxes, what refinement made of them, and masks on an image.

    Args:
        image: [H, W] or [H, W, 1 | 3 | 4].
        boxes: [N, 4] or with more columns, drawn as `visibilities` says; boxes of zeros are
            padding and left out. None to show `refined_boxes` alone.
        refined_boxes: [N, 4] or with more columns, drawn in solid lines and joined to `boxes` by
            a line; or None.
        masks: [H, W, N], or None.
        captions: N texts, drawn at the refined box if there is one; or None.
        visibilities: N of 0 (grey, dotted, without refined box), 1 (in color, dotted) or 2 (in
            color, solid); 1 by default.
        title: of the axes.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.

    Raises:
        ValueError: no boxes at all, boxes of another shape, or counts that differ.
    """
    warn_of_normalized(image, boxes=boxes, refined_boxes=refined_boxes)
    given = None if boxes is None else as_boxes("boxes", boxes)
    refined = None if refined_boxes is None else as_boxes("refined_boxes", refined_boxes)
    first = given if given is not None else refined
    if first is None:
        raise ValueError("boxes and refined_boxes are both None; pass one of them, or both")
    count = len(first)
    visibilities = np.ones(count, int) if visibilities is None else np.asarray(visibilities, int)
    _check_counts(count, refined_boxes=refined, visibilities=visibilities)
    if not np.isin(visibilities, list(STYLES)).all():
        raise ValueError(f"visibilities are {np.unique(visibilities)}; expected 0, 1 or 2")
    canvas, _, masks = prepare(image, first, masks, count)
    captions = pick_captions(captions, np.zeros(count, int))
    ax, own_figure = open_axes(ax, (12, 12), title)
    colors, shown = instance_colors(count), first.copy()
    extents = None if masks is None else extract_bboxes(masks)
    for i in np.flatnonzero(first.any(axis=1)):
        own_color, linestyle, alpha = STYLES[int(visibilities[i])]
        colors[i] = colors[i] if own_color else GREY
        if given is not None:
            add_box(ax, given[i], colors[i], linestyle, alpha)
        if refined is not None and own_color:
            add_box(ax, refined[i], colors[i], "solid", 1)
            shown[i] = refined[i]
            if given is not None:
                _join(ax, given[i], refined[i], colors[i])
        if extents is not None:
            add_mask(ax, canvas, masks[:, :, i], colors[i], extents[i])
    everything = [box for group in (given, refined) if group is not None for box in group]
    view = show_image(ax, canvas, everything)
    add_labels(ax, shown, captions, colors, large_first(shown)[::-1], view)
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def draw_rois(
    image,
    rois,
    refined_rois,
    mask,
    class_ids,
    class_names,
    limit=10,
    ax=None,
    save_path=None,
    rng=None,
):
    """Shows a random sample of ROIs: grey if negative, else with class, refined box and mask.

    It prints how many ROIs are positive and negative.

    Args:
        image: [H, W] or [H, W, 1 | 3 | 4].
        rois: [N, 4]; padding, of zeros or of class -1, is left out.
        refined_rois: [N, 4], or None.
        mask: [P, h, w], masks of the first P ROIs, each stretched over the box of its ROI; or
            None. Those of negative ROIs are not drawn.
        class_ids: [N]; 0 is negative.
        class_names: names by class id, or None.
        limit: size of the sample.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.
        rng: seed or `np.random.Generator` of the sample; NumPy's global state by default.

    Returns:
        The axes.

    Raises:
        ValueError: boxes of another shape, or counts that differ.
    """
    warn_of_normalized(image, rois=rois, refined_rois=refined_rois)
    rois, class_ids = as_boxes("rois", rois), np.asarray(class_ids).astype(int)
    refined = None if refined_rois is None else as_boxes("refined_rois", refined_rois)
    _check_counts(len(rois), refined_rois=refined, class_ids=class_ids)
    real = np.flatnonzero(rois.any(axis=1) & (class_ids >= 0))
    positive = class_ids > 0
    print("Positive ROIs: ", positive[real].sum())
    print("Negative ROIs: ", len(real) - positive[real].sum())
    print(f"Positive Ratio: {positive[real].mean() if len(real) else 0:.2f}")
    rng = np.random if rng is None else np.random.default_rng(rng)
    ids = real if len(real) <= limit else rng.choice(real, limit, replace=False)
    sampled = f"{len(ids)} random ROIs out of {len(real)}" if len(ids) < len(real) else ""
    title = f"{sampled or f'{len(ids)} ROIs'}, {positive[ids].sum()} of them positive"
    ax, own_figure = open_axes(ax, (12, 12), title)
    canvas = to_uint8_rgb(image)
    shown = rois if refined is None else refined
    colors = dict(zip(ids, instance_colors(len(ids)), strict=True))
    for i in sorted(ids, key=lambda i: positive[i]):  # colored ones lie over grey ones
        if not positive[i]:
            add_box(ax, rois[i], GREY, alpha=1)
            continue
        add_box(ax, rois[i], colors[i], alpha=1)
        if refined is not None:
            add_box(ax, refined[i], colors[i], "solid", 1)
            _join(ax, rois[i], refined[i], colors[i])
        if mask is not None and i < len(mask):
            box = np.round(rois[i]).astype(int)
            whole = unmold_mask(np.asarray(mask[i], float), box, canvas.shape)
            apply_mask(canvas, whole, colors[i])
    captions = {i: class_name(class_ids[i], class_names) for i in ids if positive[i]}
    seen = [*rois[ids], *(shown[i] for i in captions)]
    view = show_image(ax, canvas, seen)
    order = [i for i in large_first(shown)[::-1] if i in captions]
    add_labels(ax, shown, captions, colors, order, view)
    _add_legend(ax, refined is not None)
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def _check_counts(count, **arrays):
    """Raises a ValueError unless each array, if it is not None, has `count` entries."""
    for name, array in arrays.items():
        if array is not None and len(array) != count:
            raise ValueError(f"{name} has {len(array)} entries; expected {count}, one for each box")


def _join(ax, box, refined, color):
    """Adds a line between the top-left corners of two boxes."""
    ends = np.array([box[:2], refined[:2]]) - 0.5
    ax.add_line(Line2D(ends[:, 1], ends[:, 0], color=color))


def _add_legend(ax, refined):
    """Says under the picture what the lines of `draw_rois` mean."""
    kinds = [("negative ROI", GREY, "dashed"), ("positive ROI", "black", "dashed")]
    kinds += [("after refinement", "black", "solid")] * refined
    lines = [
        Line2D([], [], color=color, linestyle=style, linewidth=2, label=label)
        for label, color, style in kinds
    ]
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
