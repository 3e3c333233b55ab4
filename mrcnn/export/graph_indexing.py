"""Functions of `mrcnn.ops.indexing` in TensorFlow's graph, of operations that all runtimes have.

Shapes: B images, N rows, h w of a map, K classes.
"""

import tensorflow as tf


def argmax(values, axis, keepdims=False):
    """As Keras's, which reads the bits of zeros to tell those with a sign."""
    index = tf.math.argmax(values, axis=axis, output_type=tf.int32)
    return tf.expand_dims(index, axis) if keepdims else index


def take_class(maps, class_ids):
    """`mrcnn.ops.indexing.take_class`, as a sum of which all but one map is left out."""
    classes = maps.shape[-1]
    if classes == 1:
        return maps[..., 0]
    mine = tf.maximum(class_ids, 0)[..., None] == tf.range(classes)  # (B, N, K)
    return tf.reduce_sum(maps * tf.cast(mine, maps.dtype)[:, :, None, None], axis=-1)


KERNELS = {"argmax": argmax, "take_class": take_class}
