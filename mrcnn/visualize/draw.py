"""Instances drawn into arrays of pixels: masks, outlines, boxes, keypoints and captions.

Shapes: image [H, W] or [H, W, C] of any channels, see `to_uint8_rgb`; boxes [N, 4] as y1 x1 y2 x2
in pixels, half-open; masks [H, W, N] bool; class_ids [N], negative for crowds.
"""

import warnings

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from skimage.transform import resize

from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.viewing import to_uint8_rgb
from mrcnn.visualize.captions import fit_labels, label_style, pick_captions, pick_colors
from mrcnn.visualize.segments import segment_instances
from mrcnn.visualize.skeletons import as_keypoints, draw_skeleton


def apply_mask(image, mask, color, alpha=0.5):
    """Blends a color into the masked pixels of an image, in place.

    Args:
        image: [H, W, 3], values 0..255. Modified.
        mask: [H, W], true or nonzero where the color goes.
        color: three values in 0..1.
        alpha: the weight of the color.

    Returns:
        The same image.
    """
    mask = np.asarray(mask, bool)
    image[mask] = image[mask] * (1 - alpha) + alpha * 255 * np.asarray(color)
    return image


def draw_box(image, box, color, thickness=2):
    """Draws the border of a box inside it, in place.

    Args:
        image: [H, W, C]. Modified.
        box: y1 x1 y2 x2 in pixels; what lies outside the image is cut off.
        color: C values in the units of the image.
        thickness: of the border, in pixels.

    Returns:
        The same image.
    """
    y1, x1, y2, x2 = whole_pixels(box, image.shape)
    border = np.ones((y2 - y1, x2 - x1), bool)
    border[thickness:-thickness, thickness:-thickness] = False
    image[y1:y2, x1:x2][border] = color
    return image


def draw_instances(
    image,
    boxes,
    masks,
    class_ids,
    class_names=None,
    scores=None,
    colors=None,
    captions=None,
    show_mask=True,
    show_bbox=True,
    keypoints=None,
    skeleton=None,
):
    """Draws masks, outlines, boxes, keypoints and captions of instances into a copy of an image.

    Args:
        image: [H, W] or [H, W, 1 | 3 | 4], uint8, uint16, bool or float.
        boxes: [N, 4]; an instance whose box has no area is skipped.
        masks: [H, W, N], `CroppedMasks`, or None.
        class_ids: [N], negative for crowds.
        class_names: names by class id, a list or a dict, or None.
        scores: [N], or None.
        colors: "class", the default, or "instance" for colors that are the same in every picture,
            or N Matplotlib colors.
        captions: N texts in place of name and score. In a crowded picture they are smaller, and
            those that find no room are left out.
        show_mask: whether to fill masks; their outlines are always drawn.
        show_bbox: whether to draw boxes.
        keypoints: [N, K, 3], y x in pixels and a visibility or score; those above 0 are drawn. Or
            None.
        skeleton: pairs of indices of keypoints that a line joins, or None.

    Returns:
        [H, W, 3] uint8.

    Example:

    >>> result = model.detect([image])[0]
    >>> picture = draw_instances(image, result["rois"], result["masks"], result["class_ids"])
    """
    warn_of_normalized(image, boxes=boxes)
    canvas, boxes, masks = prepare(image, boxes, masks, len(class_ids))
    keypoints = as_keypoints(keypoints, len(boxes))
    colors = pick_colors(colors, class_ids)
    captions = pick_captions(captions, class_ids, class_names, scores)
    side = min(canvas.shape[:2])  # large images have thicker lines and larger text
    thickness = round(np.clip(side / 200, 1, max(3, side / 340)))
    order = large_first(boxes)
    extents = None if masks is None else extract_bboxes(masks)
    for i in order:
        if extents is not None:
            y1, x1, y2, x2 = extents[i]
            crop, mask = canvas[y1:y2, x1:x2], masks[y1:y2, x1:x2, i]
            if show_mask:
                apply_mask(crop, mask, colors[i], 0.4)
            apply_mask(crop, _outline(mask, 2 * thickness), (1, 1, 1), 0.6)
            apply_mask(crop, _outline(mask, thickness), colors[i], 1)
        if show_bbox:
            draw_box(canvas, boxes[i], 255 * np.asarray(colors[i]), thickness)
        if keypoints is not None:
            draw_skeleton(canvas, keypoints[i], skeleton, colors[i], thickness)
    if not any(captions):
        return canvas
    size = float(np.clip(side / 28, 10, max(26, side / 40)))
    view = (0, 0, *canvas.shape[:2])
    smallest = max(8, 0.6 * size)
    labels = fit_labels(boxes, captions, order[::-1], view, size, smallest)
    return _draw_texts(canvas, [(captions[i], x, y, s, colors[i]) for i, x, y, s in labels])


def draw_comparison(
    images,
    truths,
    detections,
    class_names=None,
    columns=2,
    tile=320,
    save_path=None,
    skeleton=None,
):
    """Draws ground truth beside detections, one pair of tiles for each image, as one picture.

    Args:
        images: images of any sizes; each is scaled to fit a tile.
        truths: for each image a dict with `rois`, `class_ids` and, if there are any, `masks` and
            `keypoints`; or with `segmentation` and `segments`, of which the map is drawn.
        detections: the same, from `DetectionModel.detect`, with `scores`.
        class_names: names by class id.
        columns: pairs in a row.
        tile: side of a tile in pixels.
        save_path: where to write the picture too, with its format by suffix.
        skeleton: pairs of indices of keypoints that a line joins, or None.

    Returns:
        [rows, columns] of pairs as one [H, W, 3] uint8 array.
    """
    gap, header = 6, 26
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    pair, step = 2 * tile + gap, tile + 2 * gap
    grid = np.full((header + rows * step, columns * (pair + 3 * gap) - gap, 3), 255, np.uint8)
    for i, (image, *instances) in enumerate(zip(images, truths, detections, strict=True)):
        top, left = header + i // columns * step, gap + i % columns * (pair + 3 * gap)
        for column, found in enumerate(instances):
            x = left + column * (tile + gap)
            drawn = draw_tile(image, found, class_names, tile, skeleton)
            grid[top : top + tile, x : x + tile] = drawn
    titles = [
        (title, gap + i * (pair + 3 * gap) + j * (tile + gap), 4, 14, (1, 1, 1))
        for i in range(columns)
        for j, title in enumerate(("ground truth", "detections"))
    ]
    grid = _draw_texts(grid, titles)
    if save_path is not None:
        plt.imsave(save_path, grid)
    return grid


def prepare(image, boxes, masks, count):
    """Returns a drawable copy of the image, boxes [N, 4] float, and masks [H, W, N] bool or None.

    Without boxes, masks of any shape count as none.

    Raises:
        ValueError: the shapes or counts do not fit each other.
    """
    canvas = to_uint8_rgb(image)
    boxes = as_boxes("boxes", boxes)
    if len(boxes) != count:
        raise ValueError(f"Expected a class id for each box, got {count}, {len(boxes)}")
    if masks is not None:
        if not len(boxes):
            masks = np.zeros((*canvas.shape[:2], 0), bool)
        elif not isinstance(masks, CroppedMasks):
            masks = np.asarray(masks, bool)
        if masks.shape != (*canvas.shape[:2], len(boxes)):
            expected = f"{(*canvas.shape[:2], len(boxes))} for this image and these boxes"
            raise ValueError(f"Expected masks of shape {expected}, got {masks.shape}")
    return canvas, boxes, masks


def as_boxes(name, boxes):
    """Returns boxes as [N, 4] float.

    Args:
        name: of the argument, for the error.
        boxes: [N, 4 or more]; what follows the coordinates, such as class and score, is left out.
            An empty list is no boxes.

    Raises:
        ValueError: boxes of another shape, such as those of a batch.
    """
    boxes = np.asarray(boxes, float)
    if boxes.shape == (0,):
        return boxes.reshape(0, 4)
    if boxes.ndim == 2 and boxes.shape[1] >= 4:
        return boxes[:, :4]
    fixes = {1: f"; put a single box into a list: [{name}]", 3: f"; take one image: {name}[0]"}
    raise ValueError(
        f"{name} has shape {boxes.shape}; expected [N, 4], y1 x1 y2 x2 of each box"
        + fixes.get(boxes.ndim, "")
    )


def warn_of_normalized(image, **groups):
    """Warns, naming the line that called the drawing function, of boxes that look normalised.

    In pixels, all of them would be specks. The network's anchors reach beyond the image, but by
    less than a side of it.

    Args:
        image: that the boxes are drawn on.
        groups: [N, 4 or more] by the name of the argument, or None.
    """
    for name, boxes in groups.items():
        boxes = np.asarray([] if boxes is None else boxes)
        if boxes.dtype.kind != "f" or boxes.ndim != 2 or max(np.shape(image)[:2]) <= 8:
            continue
        boxes = boxes[:, :4]
        if boxes.any() and boxes.min() > -1 and boxes.max() < 2:
            warnings.warn(
                f"{name} are normalised, from {boxes.min():.2f} to {boxes.max():.2f}; expected "
                f"pixels: pass utils.denorm_boxes({name}, image.shape[:2])",
                stacklevel=3,
            )


def large_first(boxes):
    """Returns the indices of the boxes with an area, largest first.

    Drawn in this order, small instances lie over large ones.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return [int(i) for i in np.argsort(-areas, kind="stable") if areas[i] > 0]


def whole_pixels(box, shape):
    """Returns the whole pixels that a box touches, cut at the border of an image of `shape`."""
    limit = np.array([shape[0], shape[1]] * 2)
    whole = np.concatenate([np.floor(box[:2]), np.ceil(box[2:])])
    return np.clip(whole, 0, limit).astype(int).tolist()


def _outline(mask, thickness):
    """Returns the pixels of a [H, W] mask that lie within `thickness` of its border."""
    core = np.pad(mask, 1)
    for _ in range(thickness):
        sides = core[:-2, 1:-1] & core[2:, 1:-1] & core[1:-1, :-2] & core[1:-1, 2:]
        core = np.pad(core[1:-1, 1:-1] & sides, 1)
    return mask & ~core[1:-1, 1:-1]


def _draw_texts(image, texts):
    """Returns a copy of a [H, W, 3] uint8 image with (text, left, top, size, color) labels."""
    height, width = image.shape[:2]
    # At 72 dots per inch a point of text is a pixel. Only the text is not transparent.
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")
    canvas = FigureCanvasAgg(figure)
    for text, x, y, size, color in texts:
        pad = 0.15 * size
        where = {"x": x + pad, "y": height - y - pad, "transform": None, "va": "top"}
        figure.text(s=text, fontsize=size, **where, **label_style(color))
    canvas.draw()
    drawn, image = np.asarray(canvas.buffer_rgba()), image.copy()
    rows, columns = np.nonzero(drawn[..., 3])
    opacity = drawn[rows, columns, 3:] / 255
    blend = drawn[rows, columns, :3] * opacity + image[rows, columns] * (1 - opacity)
    image[rows, columns] = blend.round()
    return image


def draw_tile(image, instances, class_names, size, skeleton=None):
    """Scales an image to fit a white square tile and draws its instances there.

    Args:
        image: [H, W] or [H, W, 1 | 3 | 4].
        instances: dict with `rois`, `class_ids` and, if there are any, `masks`, `scores` and
            `keypoints`. Or with `segmentation` and `segments`, of which the map is drawn.
        class_names: names by class id, or None.
        size: side of the tile in pixels.
        skeleton: pairs of indices of keypoints that a line joins; by default those of `Detections`.

    Returns:
        [size, size, 3] uint8.
    """
    image = to_uint8_rgb(image)
    scale = size / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    rows = (np.arange(height) / scale).astype(int).clip(0, image.shape[0] - 1)
    columns = (np.arange(width) / scale).astype(int).clip(0, image.shape[1] - 1)
    small = resize(image, (height, width), order=1, preserve_range=True, anti_aliasing=scale < 1)
    small = small.round().astype(np.uint8)
    if "segmentation" in instances:
        shown = instances["segmentation"][rows][:, columns]
        drawing = segment_instances(shown, instances["segments"], class_names)
    else:
        drawing = _scaled(instances, scale, rows, columns)
        drawing[1].update(class_names=class_names)
        if skeleton is not None:
            drawing[1].update(skeleton=skeleton)
    tile = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    tile[top : top + height, left : left + width] = draw_instances(small, *drawing[0], **drawing[1])
    return tile


def _scaled(instances, scale, rows, columns):
    """What `draw_instances` takes of instances, made larger by a factor: positional arguments and
    options; `rows` and `columns` are the pixels of the masks that are seen."""
    masks, points = instances.get("masks"), instances.get("keypoints")
    masks = None if masks is None else masks[rows][:, columns]
    options = {"scores": instances.get("scores"), "skeleton": getattr(instances, "skeleton", None)}
    if points is not None:
        options["keypoints"] = np.asarray(points) * [scale, scale, 1]
    return (np.asarray(instances["rois"]) * scale, masks, instances["class_ids"]), options
