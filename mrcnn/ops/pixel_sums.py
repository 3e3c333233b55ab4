"""Sums of weighted pixels, with their gradient.

Shapes: M boxes, P pooled bins a side, E entries of a sparse matrix, X pixels, C channels.
"""

import functools

import keras
from keras import ops


def traced_apart(function):
    """`function`, of tensors and numbers alone, as one graph for all callers.

    TensorFlow keeps the graph in which a custom gradient is traced for ever: were that a model's,
    each model built would stay in memory.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True, autograph=False)


@traced_apart
def sparse_product(flat, bins, pixels, weights, count):
    """Sums of weighted pixels, on TensorFlow: int32 [E] sorted, int32 [E], float [E] -> float32
    [count, C].

    `tf.image.crop_and_resize` with its padding, averaging and reordering takes twice as long for
    2 x 2 samples and four times with the gradient, which loses additions where boxes overlap
    (benchmarks/RESULTS.md).
    """
    import tensorflow as tf

    indices = tf.cast(tf.stack([bins, pixels], axis=1), "int64")
    shape = tf.cast(tf.stack([count, tf.shape(flat)[0]]), "int64")

    def product(dense, rows, transposed):
        """[rows, C]. Without boxes the matrix is empty, and on that TensorFlow's kernels crash."""

        def multiply():
            # Made again for the gradient: a matrix cannot go from one graph to another. Transposed
            # by itself: with `transpose_a` the product takes twice as long and a buffer for each
            # thread.
            matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
                indices=indices, values=weights, dense_shape=shape
            )
            if transposed:
                matrix = tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32)
            return tf.raw_ops.SparseMatrixMatMul(a=matrix, b=dense)

        zeros = functools.partial(tf.zeros, tf.stack([rows, tf.shape(dense)[1]]))
        return tf.cond(tf.size(weights) > 0, multiply, zeros)

    @tf.custom_gradient
    def pool(flat):
        def gradient(upstream):
            return product(upstream, tf.shape(flat)[0], transposed=True)

        return product(flat, count, transposed=False), gradient

    return pool(tf.cast(flat, "float32"))


@traced_apart
def sum_of_reads(flat, reads):
    """Sum of weighted pixels over [([M, P, P], [M, P, P, 1]), ...] -> float32 [M, P, P, C].

    Automatic differentiation would make one array of the size and type of `flat` for each read:
    slower, and in bfloat16 less exact.
    """

    @ops.custom_gradient
    def total(flat):
        def gradient(upstream):
            result = ops.zeros(ops.shape(flat), "float32")
            for pixels, weights in reads:
                result = add_at(result, pixels, upstream * weights)
            return ops.cast(result, flat.dtype)

        return sum(read_pixels(flat, pixels) * weights for pixels, weights in reads), gradient

    return total(flat)


def read_pixels(flat, pixels):
    """[X, C], int32 of any shape -> float32 of that shape and C."""
    return ops.cast(ops.take(flat, pixels, axis=0), "float32")


def add_at(x, index, values):
    """x[index] += values; `keras.ops.scatter_update` adds from Keras 3.14 on only."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.tensor_scatter_nd_add(x, index[..., None], values)
    return x.at[index].add(values)
