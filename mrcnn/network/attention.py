"""Layers of attention with their weights: along an axis, and between pixels and memory.

Each is what comes after the product that made queries, keys and values, one after the other on the
last axis. What it computes has a BatchNorm of its own where deeplab2 has one: see `AttentionNorm`.

Shapes: B images, H W of a map, N vectors of the memory, h heads, d channels of a head's keys, v of
its values, L queries, M keys.
"""

import keras
from keras import layers, ops

from mrcnn.ops import attention

MOMENTUM = 0.99  # of BatchNorm's moving averages, Keras's own


@keras.saving.register_keras_serializable("mrcnn")
class AttentionNorm(layers.Layer):
    """BatchNorm over channels that lie on several axes, as the scale and shift that it comes to.

    With fixed statistics callers scale what is small, such as queries, instead of every pair.

    Args:
        shape: of the channels, as (3, 8): three kinds of similarity of eight heads.
        train_bn: see `mrcnn.network.norm.BatchNorm`.
        epsilon: float.
        gamma: float, what gamma starts from.
        shifts: bool, whether beta matters, and trains: a softmax leaves it out.
    """

    def __init__(self, shape, train_bn=None, epsilon=1e-3, gamma=1.0, shifts=True, name=None):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.channels, self.train_bn = tuple(shape), train_bn
        self.epsilon, self.first_gamma, self.shifts = epsilon, gamma, shifts

    def build(self, input_shape=None):
        def weight(name, value, trainable):
            initializer = keras.initializers.Constant(value)
            return self.add_weight(
                self.channels, initializer, name=name, trainable=trainable, autocast=False
            )

        self.gamma = weight("gamma", self.first_gamma, True)
        self.beta = weight("beta", 0.0, self.shifts)
        self.moving_mean = weight("moving_mean", 0.0, False)
        self.moving_variance = weight("moving_variance", 1.0, False)
        self.built = True

    def takes_batch(self, training):
        """Whether the statistics are those of the batch."""
        return bool(training) and self.trainable and self.train_bn is not False

    def scale_and_shift(self, terms=None, axes=None):
        """Two float32 of the channels' shape.

        Args:
            terms: list of arrays, one for each of the first axis of the channels, whose statistics
                are taken; None: the moving averages.
            axes: the axes of a term that are no channels.
        """
        mean, variance = self.moving_mean, self.moving_variance
        if terms is not None:
            moments = [ops.moments(ops.cast(term, "float32"), axes) for term in terms]
            mean, variance = (ops.stack(each) for each in zip(*moments, strict=True))
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * MOMENTUM + now * (1 - MOMENTUM))
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return scale, self.beta - mean * scale

    def get_config(self):
        return {
            "shape": self.channels,
            "train_bn": self.train_bn,
            "epsilon": self.epsilon,
            "gamma": self.first_gamma,
            "shifts": self.shifts,
            "name": self.name,
        }


class _Attention(layers.Layer):
    """What both kinds share: depths, heads, and how norms are made.

    Args:
        heads: int h.
        key_depth: int, channels of all heads' keys.
        value_depth: int, of their values.
        train_bn: see `mrcnn.network.norm.BatchNorm`.
        epsilon: float, of BatchNorm.
    """

    def __init__(self, heads, key_depth, value_depth, *, train_bn=None, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        for depth in (key_depth, value_depth):
            if depth % heads:
                raise ValueError(f"expected channels that {heads} heads can share, not {depth}")
        self.heads, self.key_depth, self.value_depth = heads, key_depth, value_depth
        self.train_bn, self.epsilon = train_bn, epsilon

    def _norm(self, shape, name, **options):
        return AttentionNorm(shape, self.train_bn, self.epsilon, name=name, **options)

    def get_config(self):
        names = ("heads", "key_depth", "value_depth", "train_bn", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn")
class AxialAttention(_Attention):
    """Position-sensitive attention along one axis of a map (arXiv:2003.07853, section 3.2).

    Maps queries, keys and values [B, H, W, 2 * key_depth + value_depth] to [B, H, W, value_depth].

    Args:
        axis: 1, along the height, or 2, along the width.
        others: as of `_Attention`.
    """

    def __init__(self, heads, key_depth, value_depth, axis, **kwargs):
        super().__init__(heads, key_depth, value_depth, **kwargs)
        self.axis = axis
        depth = value_depth // heads
        self.similarity = self._norm((3, heads), "batch_norm_similarity", shifts=False)
        self.retrieved = self._norm((2, heads, depth), "batch_norm_retrieved_output")

    def build(self, input_shape):
        key, value = self.key_depth // self.heads, self.value_depth // self.heads
        depths = {"query_rpe": key, "key_rpe": key, "value_rpe": value}
        self.query_rpe, self.key_rpe, self.value_rpe = (
            self.add_weight(
                (2 * attention.SPAN - 1, depth),
                keras.initializers.TruncatedNormal(stddev=1.0),
                name=name,
            )
            for name, depth in depths.items()
        )
        self.similarity.build()
        self.retrieved.build()

    def call(self, x, training=None):
        queries_end, keys_end = self.key_depth, 2 * self.key_depth
        query, key, value = (
            attention.lines_of(part, self.axis, self.heads)
            for part in (x[..., :queries_end], x[..., queries_end:keys_end], x[..., keys_end:])
        )
        length = ops.shape(x)[self.axis]
        of_query, of_key, of_value = (
            attention.relative_embeddings(each, length)
            for each in (self.query_rpe, self.key_rpe, self.value_rpe)
        )
        weights = attention.weights_of(self._logits(query, key, of_query, of_key, training))
        found = (
            attention.retrieve(weights, value),
            attention.retrieve_positions(weights, of_value),
        )
        terms = found if self.retrieved.takes_batch(training) else None
        scale, shift = self.retrieved.scale_and_shift(terms, axes=(0, 2))  # (2, h, v)
        scale, shift = scale[:, :, None], ops.sum(shift, axis=0)[:, None]
        result = _scaled_sum(found, scale)
        return attention.map_of(result + ops.cast(shift, result.dtype), self.axis, x)

    def _logits(self, query, key, of_query, of_key, training):
        """The normalised sum of the similarities; what is the same for all keys is left out."""
        vectors = query, key, of_query, of_key
        if self.similarity.takes_batch(training):
            terms = attention.similarities(*vectors)
            scale, _ = self.similarity.scale_and_shift(terms, axes=(0, 2, 3))  # (3, h)
            scale = scale[:, :, None, None]
            return _scaled_sum(terms, scale)
        scale, _ = self.similarity.scale_and_shift()
        return sum(attention.similarities(*vectors, ops.cast(scale[:, :, None, None], query.dtype)))

    def compute_output_spec(self, x, training=None):
        return keras.KerasTensor((*x.shape[:3], self.value_depth), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


@keras.saving.register_keras_serializable("mrcnn")
class CrossAttention(_Attention):
    """Attention of a map to all places of several, its own among them or not (arXiv:2012.00759,
    section 3.2).

    Takes maps of queries, keys and values [B, H, W, 2 * key_depth + value_depth]: `own`, of which
    the queries count, and a list `others`, of which the rest. Returns [B, H, W, value_depth].

    Args: as of `_Attention`.
    """

    def __init__(self, heads, key_depth, value_depth, **kwargs):
        super().__init__(heads, key_depth, value_depth, **kwargs)
        self.similarity = self._norm((1, heads), "batch_norm_similarity", shifts=False)
        self.retrieved = self._norm((1, heads, value_depth // heads), "batch_norm_retrieved_value")

    def build(self, own_shape, others_shape):
        self.similarity.build()
        self.retrieved.build()

    def call(self, own, others, training=None):
        weights = self.attention_weights(own, others, training)
        values = ops.concatenate([_sequence(x[..., 2 * self.key_depth :]) for x in others], axis=1)
        found = attention.retrieve(weights, attention.split_heads(values, self.heads))
        terms = [found] if self.retrieved.takes_batch(training) else None
        scale, shift = self.retrieved.scale_and_shift(terms, axes=(0, 2))  # (1, h, v)
        result = _scaled_sum([found], scale[:, :, None])
        result = attention.merge_heads(result + ops.cast(shift[0][:, None], result.dtype))
        return ops.reshape(result, (*ops.shape(own)[:3], self.value_depth))

    def attention_weights(self, own, others, training=None):
        """How much of each place each place of `own` takes: [B, h, L, M], of which the sum over M,
        the places of all `others`, is 1."""
        depth = self.key_depth
        keys = [_sequence(x[..., depth : 2 * depth]) for x in others]
        query, key = (
            attention.split_heads(x, self.heads)
            for x in (_sequence(own[..., :depth]), ops.concatenate(keys, axis=1))
        )
        if self.similarity.takes_batch(training):
            logits = ops.matmul(query, ops.swapaxes(key, 2, 3))
            scale, _ = self.similarity.scale_and_shift([logits], axes=(0, 2, 3))  # (1, h)
            logits = _scaled_sum([logits], scale[:, :, None, None])
        else:
            scale, _ = self.similarity.scale_and_shift()
            query = _scaled_sum([query], scale[:, :, None, None])
            logits = ops.matmul(query, ops.swapaxes(key, 2, 3))
        return attention.weights_of(logits)

    def compute_output_spec(self, own, others, training=None):
        return keras.KerasTensor((*own.shape[:3], self.value_depth), self.compute_dtype)


def _scaled_sum(terms, scales):
    """The sum of terms [...], each times its scale [T, ...], in the type of the terms."""
    return sum(term * ops.cast(scales[i], term.dtype) for i, term in enumerate(terms))


def _sequence(x):
    """[B, H, W, C] -> [B, H * W, C]."""
    batch, height, width, channels = ops.shape(x)
    return ops.reshape(x, (batch, height * width, channels))


@keras.saving.register_keras_serializable("mrcnn")
class Memory(layers.Layer):
    """The vectors that a memory path starts from, the same for each image: -> [B, 1, N, C].

    Args:
        slots: int N.
        channels: int C.
    """

    def __init__(self, slots, channels, **kwargs):
        super().__init__(**kwargs)
        self.slots, self.channels = slots, channels

    def build(self, input_shape):
        initializer = keras.initializers.TruncatedNormal(stddev=1.0)
        self.feature = self.add_weight((1, self.slots, self.channels), initializer, name="feature")

    def call(self, images):
        shape = (ops.shape(images)[0], 1, self.slots, self.channels)
        return ops.broadcast_to(ops.cast(self.feature, self.compute_dtype)[None], shape)

    def compute_output_spec(self, images):
        return keras.KerasTensor(
            (images.shape[0], 1, self.slots, self.channels), self.compute_dtype
        )

    def get_config(self):
        return {**super().get_config(), "slots": self.slots, "channels": self.channels}
