"""`mrcnn.inference.unmold` once more, in TensorFlow's graph: boxes and masks in the image as given.

Shapes: B images, D detections, h w of a mask, H W of the image.
"""

import tensorflow as tf

from mrcnn.ops.indexing import gather


def unmold_boxes(detections, placed, settings):
    """Boxes in pixels of the images that were given.

    Args:
        detections: float [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score; class 0 pads.
        placed: dict of `mrcnn.export.graph_molding.mold`.
        settings: `mrcnn.settings.Detections`.

    Returns:
        boxes: float32 [B, D, 4].
        seen: bool [B, D], which are detections, and have an area.
    """
    offset = float(settings.box_offset)
    window, molded, sides = (
        tf.cast(placed[name], tf.float32) for name in ("window", "molded", "sides")
    )
    low, high = window[:2] / (molded - offset), (window[2:] - offset) / (molded - offset)
    shift, scale = tf.tile(low, [2]), tf.tile(high - low, [2])
    boxes = (detections[..., :4] - shift) / scale * tf.tile(sides - offset, [2])
    boxes += tf.constant([0.0, 0.0, offset, offset])
    places = tf.round(boxes) if settings.mask_paste == "resize" else boxes
    has_area = tf.reduce_all(places[..., 2:] > places[..., :2], axis=-1)
    return boxes, has_area & (detections[..., 4] > 0)


def first_seen(seen):
    """Indices that bring what is seen to the front, in its order: bool [B, D] -> int32 [B, D]."""
    count = seen.shape[1]
    rank = tf.range(float(count), 0.0, -1.0)
    return tf.math.top_k(tf.where(seen, rank, 0.0), count).indices


def take_seen(values, order, seen):
    """Rows of `values` [B, D, ...] in an order, zeros after those seen: of `first_seen`."""
    values = gather(values, order)
    count = tf.reduce_sum(tf.cast(seen, tf.int32), axis=1)
    there = tf.range(seen.shape[1])[None] < count[:, None]  # (B, D)
    there = tf.reshape(there, [*tf.unstack(tf.shape(there)), *[1] * (values.shape.rank - 2)])
    return tf.where(there, values, tf.zeros_like(values))


def paste(masks, boxes, sides, method):
    """Masks pasted into their images, one after the other.

    Args:
        masks: float32 [B, D, h, w], probabilities.
        boxes: float32 [B, D, 4], pixels of the image; of no area where nothing is to be pasted.
        sides: int32 [2], height and width of the images.
        method: key of `mrcnn.image.pasting.PASTERS`.

    Returns:
        uint8 [B, D, H, W], 0 and 1.
    """
    batch, count = tf.shape(masks)[0], masks.shape[1]
    flat = tf.reshape(masks, [-1, *masks.shape[2:]]), tf.reshape(boxes, [-1, 4])

    def draw(pair):
        return tf.cast(_pasted(*pair, sides, method), tf.uint8)

    planes = tf.map_fn(draw, flat, fn_output_signature=tf.TensorSpec((None, None), tf.uint8))
    return tf.reshape(planes, [batch, count, sides[0], sides[1]])


def _pasted(mask, box, sides, method):
    """A mask [h, w] in its image: bool [H, W]. See `mrcnn.image.pasting`."""
    if method == "padded":
        mask, box = tf.pad(mask, [[1, 1], [1, 1]]), _grown(box, mask.shape[0])
    elif method == "resize":
        box = tf.round(box)
    low, size = box[:2], box[2:] - box[:2]
    weights, inside = [], []
    for axis in (0, 1):
        bins = mask.shape[axis]
        pixels = tf.cast(tf.range(sides[axis]), tf.float32) + 0.5 - low[axis]
        points = pixels * (bins / size[axis]) - 0.5
        if method == "padded":
            points = tf.clip_by_value(points, 0.0, bins - 1.0)
        weights.append(tf.maximum(0.0, 1 - tf.abs(points[:, None] - tf.range(float(bins)))))
        inside.append((pixels > 0) & (pixels < size[axis]))
    found = tf.matmul(tf.matmul(weights[0], mask), weights[1], transpose_b=True)
    if method == "sampled":  # beyond the border the weights are 0
        return (found >= 0.5) & tf.reduce_all(size > 0)
    inside = inside[0][:, None] & inside[1][None]
    if method == "padded":
        return (found > 0.5) & inside
    found = tf.clip_by_value(found, tf.reduce_min(mask), tf.reduce_max(mask))
    return (found >= 0.5) & inside


def _grown(box, bins):
    """The box of a mask with a pixel around it, in whole pixels, as torchvision's."""
    grow = (bins + 2) / bins
    center, half = (box[2:] + box[:2]) * 0.5, (box[2:] - box[:2]) * 0.5
    low, high = _cut(center - half * grow), _cut(center + half * grow)
    empty = tf.reduce_any(half <= 0)
    return tf.where(empty, 0.0, tf.concat([low, low + tf.maximum(high - low + 1, 1)], axis=0))


def _cut(x):
    return tf.sign(x) * tf.floor(tf.abs(x))
