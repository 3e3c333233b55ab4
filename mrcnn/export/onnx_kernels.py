"""The kernels of an ONNX graph: NonMaxSuppression and RoiAlign in place of `mrcnn.ops`.

TensorFlow's graph holds a mark for each, an operation that it cannot run, which `tf2onnx` hands to
the functions of `HANDLERS`. ONNX's own operations are many times faster than loops and reads of
single pixels, and more runtimes know them.

Shapes: B images, N boxes, M = B * N, K classes, S selected boxes, P pooled bins a side, C channels.
"""

import json

import numpy as np
import tensorflow as tf

from mrcnn.export import graph_indexing
from mrcnn.export.metadata import KEY
from mrcnn.ops.indexing import gather, top_k

OPSET = 18
_LEAST = -1e30  # of scores that count: above -inf


def _mark(name, inputs, shape, **attributes):
    """An operation that `HANDLERS[name]` turns into ONNX: float32 of a shape that may have None."""
    token = json.dumps({"name": name, **attributes})
    output = tf.raw_ops.PyFunc(input=inputs, token=token, Tout=[tf.float32])[0]
    return tf.ensure_shape(output, shape)


# In TensorFlow's graph.


def _survivors(boxes, scores, max_output, iou_threshold):
    """1.0 for each box that survives among those of its row: [M, N, 4], [M, K, N] -> [M, K, N]."""
    limits = {"max_output": max_output, "iou_threshold": iou_threshold}
    return _mark("nms", [boxes, scores], scores.shape, **limits)


def nms(boxes, scores, max_output, iou_threshold, class_ids=None, native=True):
    """`mrcnn.ops.non_max_suppression.nms`."""
    rows = scores[:, None]  # (B, K, N)
    if class_ids is not None:
        classes = tf.range(tf.reduce_max(class_ids) + 1)[None, :, None]
        rows = tf.where(class_ids[:, None] == classes, rows, -float("inf"))
    # Not the largest of the scores: OpenVINO makes that of infinities a finite number.
    kept = tf.reduce_max(_survivors(boxes, rows, max_output, iou_threshold), axis=1) > 0
    best, index = top_k(tf.where(kept, scores, -float("inf")), max_output)
    return tf.where(best > -float("inf"), index, -1)


def class_nms(boxes, scores, max_output, iou_threshold, native=True):
    """`mrcnn.ops.non_max_suppression.class_nms`."""
    count, classes = boxes.shape[1:3]
    by_class = tf.reshape(tf.transpose(boxes, [0, 2, 1, 3]), [-1, count, 4])  # (B * K, N, 4)
    rows = tf.reshape(tf.transpose(scores, [0, 2, 1]), [-1, 1, count])
    kept = _survivors(by_class, rows, max_output, iou_threshold) > 0
    kept = tf.where(kept, rows, -float("inf"))
    best, index = top_k(tf.reshape(kept, [-1, classes * count]), max_output)
    found = best > -float("inf")
    taken = gather(tf.reshape(by_class, [-1, classes * count, 4]), index)
    return (
        tf.where(found[..., None], taken, 0.0),
        tf.where(found, best, 0.0),
        tf.where(found, index // count, -1),
    )


def pool_grid(features, levels, first, step, pool_size, samples, native=True):
    """`mrcnn.ops.pooling.pool_grid`: a box whose samples lie where they are wanted."""
    low = first - 0.5 * step
    return _roi_align(features, levels, low, step * (pool_size * samples), pool_size, samples)


def pool_adaptive(features, levels, low, size, pool_size, native=True):
    """`mrcnn.ops.pooling.pool_adaptive`."""
    return _roi_align(features, levels, low, size, pool_size, 0)


def _roi_align(features, levels, low, size, pool_size, samples):
    """RoiAlign of boxes in pixels of their level's map: float [B, N, P, P, C]."""
    batch, count = tf.unstack(tf.shape(levels))
    images = tf.repeat(tf.range(batch), count)
    # As the edge of a pixel is 0 there, and 0.5 its centre.
    boxes = tf.reshape(tf.concat([low + 0.5, low + 0.5 + size], axis=-1), [-1, 4])
    boxes = tf.gather(boxes, [1, 0, 3, 2], axis=1)  # x1 y1 x2 y2
    channels = features[0].shape[-1]
    inputs = [boxes, tf.reshape(levels, [-1]), images, *features]
    shape = (None, pool_size, pool_size, channels)
    pooled = _mark("roi_align", inputs, shape, pool_size=pool_size, samples=samples)
    return tf.reshape(pooled, [batch, *levels.shape[1:], pool_size, pool_size, channels])


KERNELS = {
    **graph_indexing.KERNELS,
    "nms": nms,
    "class_nms": class_nms,
    "pool_grid": pool_grid,
    "pool_adaptive": pool_adaptive,
}


# In ONNX's.


def _constant(ctx, values, dtype):
    from tf2onnx.utils import make_name

    return ctx.make_const(make_name(KEY), np.array(values, dtype)).output[0]


def _nms_nodes(ctx, boxes, scores, max_output, iou_threshold):
    """1.0 for each score [M, K, N] whose box survives, else 0."""
    limits = [_constant(ctx, [max_output], np.int64)]
    limits += [_constant(ctx, [x], np.float32) for x in (iou_threshold, _LEAST)]
    chosen = ctx.make_node("NonMaxSuppression", [boxes, scores, *limits]).output[0]  # (S, 3)
    zero, one = (_constant(ctx, x, np.float32) for x in (0, 1))
    zeros = ctx.make_node("Expand", [zero, ctx.make_node("Shape", [scores]).output[0]]).output[0]
    count = ctx.make_node("Shape", [chosen], attr={"start": 0, "end": 1}).output[0]
    ones = ctx.make_node("Expand", [one, count]).output[0]
    return ctx.make_node("ScatterND", [zeros, chosen, ones]).output[0]


def _roi_align_nodes(ctx, boxes, levels, images, *features, pool_size, samples):
    """The boxes of each level from its map, then all in their order: [M, P, P, C]."""
    pooled, places = [], []
    for level, feature in enumerate(features):
        there = ctx.make_node("Equal", [levels, _constant(ctx, level, np.int32)]).output[0]
        place = ctx.make_node("NonZero", [there]).output[0]  # (1, m)
        place = ctx.make_node("Reshape", [place, _constant(ctx, [-1], np.int64)]).output[0]
        mine, image = (ctx.make_node("Gather", [x, place]).output[0] for x in (boxes, images))
        image = ctx.make_node("Cast", [image], attr={"to": 7}).output[0]  # int64
        maps = ctx.make_node("Transpose", [feature], attr={"perm": [0, 3, 1, 2]}).output[0]
        attributes = {
            "coordinate_transformation_mode": "half_pixel",
            "output_height": pool_size,
            "output_width": pool_size,
            "sampling_ratio": samples,
            "spatial_scale": 1.0,
        }
        pooled.append(ctx.make_node("RoiAlign", [maps, mine, image], attr=attributes).output[0])
        places.append(place)
    if len(features) == 1:
        found = pooled[0]
    else:
        found = ctx.make_node("Concat", pooled, attr={"axis": 0}).output[0]
        place = ctx.make_node("Concat", places, attr={"axis": 0}).output[0]
        found = ctx.make_node("Gather", [found, _inverse(ctx, place)]).output[0]
    return ctx.make_node("Transpose", [found], attr={"perm": [0, 2, 3, 1]}).output[0]


def _inverse(ctx, place):
    """Where each number of a permutation stands, int64 [M]."""
    shape = ctx.make_node("Shape", [place]).output[0]
    count = ctx.make_node("Squeeze", [shape]).output[0]
    limits = [_constant(ctx, 0, np.int64), count, _constant(ctx, 1, np.int64)]
    numbers = ctx.make_node("Range", limits).output[0]
    column = ctx.make_node("Unsqueeze", [place, _constant(ctx, [-1], np.int64)]).output[0]
    return ctx.make_node("ScatterND", [numbers, column, numbers]).output[0]


_NODES = {"nms": _nms_nodes, "roi_align": _roi_align_nodes}


def _replace_mark(ctx, node, name, args):
    """What `tf2onnx` calls with each mark."""
    attributes = json.loads(node.get_attr_value("token"))
    inputs, (output,) = list(node.input), node.output
    shape, dtype = ctx.get_shape(output), ctx.get_dtype(output)
    ctx.remove_node(node.name)
    found = _NODES[attributes.pop("name")](ctx, *inputs, **attributes)
    options = {"outputs": [output], "shapes": [shape], "dtypes": [dtype]}
    ctx.make_node("Identity", [found], **options)


HANDLERS = {"PyFunc": (_replace_mark, [])}
