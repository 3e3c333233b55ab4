"""Instances in Matplotlib figures: detections, ground truth beside them, masks by class.

Shapes as in `mrcnn.visualize.draw`: boxes [N, 4] as y1 x1 y2 x2 in pixels, masks [H, W, N].
"""

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.masks import extract_bboxes
from mrcnn.visualize.captions import instance_colors, pick_captions, pick_colors
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
    display_images,
    finish,
    open_axes,
    show_image,
    without_echo,
)
from mrcnn.visualize.skeletons import add_skeleton, as_keypoints

GREEN, RED = (0.1, 0.85, 0.2), (1.0, 0.15, 0.15)


def display_instances(
    image,
    boxes,
    masks,
    class_ids,
    class_names,
    scores=None,
    title="",
    figsize=(16, 16),
    ax=None,
    show_mask=True,
    show_bbox=True,
    colors=None,
    captions=None,
    save_path=None,
    mask_alpha=0.5,
    keypoints=None,
    skeleton=None,
):
    """Shows an image with its instances in a Matplotlib figure.

    Args:
        image, boxes, masks, class_ids, class_names, scores, colors, captions, show_mask,
            show_bbox, keypoints, skeleton: as in `draw_instances`.
        title: of the axes.
        figsize: in inches, used without `ax`.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.
        mask_alpha: weight of the color in the masks; 0 leaves their outlines only.

    Returns:
        The axes.

    Example:

    >>> result = model.detect([image])[0]
    >>> display_instances(image, result["rois"], result["masks"], result["class_ids"], names)
    """
    warn_of_normalized(image, boxes=boxes)
    canvas, boxes, masks = prepare(image, boxes, masks, len(class_ids))
    keypoints = as_keypoints(keypoints, len(boxes))
    if len(boxes) == 0:
        print("\n*** No instances to display *** \n")  # matterport's words
    colors = pick_colors(colors, class_ids)
    captions = pick_captions(captions, class_ids, class_names, scores)
    ax, own_figure = open_axes(ax, figsize, title)
    order = large_first(boxes)
    extents = None if masks is None else extract_bboxes(masks)
    alpha = mask_alpha if show_mask else 0  # without fill, masks keep their outlines
    for i in order:
        if extents is not None:
            add_mask(ax, canvas, masks[:, :, i], colors[i], extents[i], alpha)
        if show_bbox:
            add_box(ax, boxes[i], colors[i])
        if keypoints is not None:
            add_skeleton(ax, keypoints[i], skeleton, colors[i])
    view = show_image(ax, canvas)
    add_labels(ax, boxes, captions, colors, order[::-1], view)
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def display_differences(
    image,
    gt_box,
    gt_class_id,
    gt_mask,
    pred_box,
    pred_class_id,
    pred_score,
    pred_mask,
    class_names,
    title="",
    ax=None,
    show_mask=True,
    show_box=True,
    iou_threshold=0.5,
    score_threshold=0.5,
    save_path=None,
):
    """Shows ground truth in green and predictions in red, captioned "score / IoU".

    The IoU of a matched prediction is that with its match. A prediction without a match has its
    largest IoU and its class in the caption, a ground truth without a match its class.

    Args:
        image: [H, W] or [H, W, 1 | 3 | 4].
        gt_box, gt_class_id, gt_mask: [M, 4], [M], [H, W, M].
        pred_box, pred_class_id, pred_score, pred_mask: [N, 4], [N], [N], [H, W, N]. In both,
            boxes of zeros are padding and left out.
        class_names: names by class id, or None.
        title: of the axes; by default it explains colors and captions and counts the matches.
        ax: axes to draw into.
        show_mask: whether to fill masks; their outlines are always drawn.
        show_box: whether to draw boxes.
        iou_threshold, score_threshold: as in `mrcnn.evaluate.per_image.compute_matches`.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.
    """
    from mrcnn.evaluate.per_image import compute_matches  # here, as it loads Keras

    truth = _without_padding(as_boxes("gt_box", gt_box), gt_class_id, gt_mask)
    scores = np.asarray(pred_score, float)
    found = _without_padding(as_boxes("pred_box", pred_box), pred_class_id, pred_mask, scores)
    best = np.argsort(-found[3], kind="stable")  # as compute_matches orders its results
    found = [found[0][best], found[1][best], found[2][..., best], found[3][best]]
    gt_match, pred_match, overlaps = compute_matches(
        *truth, *found[:2], found[3], found[2], iou_threshold, score_threshold
    )
    captions = [
        "" if match > -1 else class_name(class_id, class_names)
        for match, class_id in zip(gt_match, truth[1], strict=True)
    ]
    for i, (match, score) in enumerate(zip(pred_match, found[3], strict=True)):
        iou = overlaps[i, int(match)] if match > -1 else overlaps[i].max(initial=0)
        name = "" if match > -1 else f" {class_name(found[1][i], class_names)}"
        captions.append(f"{score:.2f} / {iou:.2f}{name}")
    matches = int(np.sum(np.asarray(gt_match) > -1))
    title = title or (
        "Ground truth (green) and predictions (red), captions: score / IoU\n"
        f"{matches} matched, {len(gt_match) - matches} missed, "
        f"{int(np.sum(np.asarray(pred_match) < 0))} false"
    )
    return display_instances(
        image,
        np.concatenate([truth[0], found[0]]),
        np.concatenate([truth[2], found[2]], axis=-1),
        np.concatenate([truth[1], found[1]]),
        class_names,
        title=title,
        ax=ax,
        show_mask=show_mask,
        show_bbox=show_box,
        colors=[GREEN] * len(truth[0]) + [RED] * len(found[0]),
        captions=captions,
        save_path=save_path,
        mask_alpha=0.3,  # light enough to see both masks where they overlap
    )


def display_top_masks(image, mask, class_ids, class_names, limit=4, save_path=None):
    """Shows an image and beside it the masks of the classes that cover most of it.

    Args:
        image: [H, W] or [H, W, 1 | 3 | 4].
        mask: [H, W, N], or [h, w, N] mini-masks, which are shown on black.
        class_ids: [N].
        class_names: names by class id, or None.
        limit: number of classes.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        list of axes: those of the image, then those of each class, largest area first, where each
        instance has its own color.
    """
    picture, mask, class_ids = to_uint8_rgb(image), np.asarray(mask, bool), np.asarray(class_ids)
    areas = mask.sum(axis=(0, 1))
    by_class = {i: areas[class_ids == i].sum() for i in np.unique(class_ids)}
    top = [i for i in sorted(by_class, key=lambda i: -by_class[i]) if by_class[i] > 0][:limit]
    images, titles = [picture], [f"H x W = {picture.shape[0]} x {picture.shape[1]}"]
    same_size = mask.shape[:2] == picture.shape[:2]
    grey = picture.mean(axis=-1, keepdims=True) if same_size else np.zeros((*mask.shape[:2], 1))
    for class_id in top:
        found = np.flatnonzero((class_ids == class_id) & (areas > 0))
        images.append(np.repeat(grey * 0.3, 3, axis=-1).astype(np.uint8))
        for i, color in zip(found, instance_colors(len(found)), strict=True):
            apply_mask(images[-1], mask[:, :, i], color, 0.8)
        crowd = " crowd" if class_id < 0 else ""
        titles.append(f"{class_name(class_id, class_names)}{crowd} ({len(found)})")
    return display_images(images, titles, cols=limit + 1, save_path=save_path)


def _without_padding(boxes, class_ids, masks, *others):
    """Returns arrays of the instances whose box [N, 4] is not zero; masks are [H, W, N]."""
    kept = np.flatnonzero(boxes.any(axis=1))
    rest = [np.asarray(other)[kept] for other in others]
    return [boxes[kept], np.asarray(class_ids)[kept], np.asarray(masks)[..., kept], *rest]
