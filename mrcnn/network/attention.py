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
        per_image: bool, whether the statistics are always those of each image, as in the
            GroupNorm that `norm_layer` makes in place of BatchNorm: nothing depends on the batch.
        gamma: float, what gamma starts from.
        shifts: bool, whether beta matters, and trains: a softmax leaves it out.
    """

    def __init__(
        self,
        shape,
        train_bn=None,
        epsilon=1e-3,
        per_image=False,
        gamma=1.0,
        shifts=True,
        name=None,
    ):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.channels, self.train_bn, self.per_image = tuple(shape), train_bn, per_image
        self.epsilon, self.first_gamma, self.shifts = epsilon, gamma, shifts

    def build(self, input_shape=None):
        def weight(name, value, trainable):
            initializer = keras.initializers.Constant(value)
            return self.add_weight(
                self.channels, initializer, name=name, trainable=trainable, autocast=False
            )

        self.gamma = weight("gamma", self.first_gamma, True)
        self.beta = weight("beta", 0.0, self.shifts)
        if not self.per_image:
            self.moving_mean = weight("moving_mean", 0.0, False)
            self.moving_variance = weight("moving_variance", 1.0, False)
        self.built = True

    def takes_statistics(self, training):
        """Whether the statistics are those of what is normalised."""
        of_batch = bool(training) and self.trainable and self.train_bn is not False
        return self.per_image or of_batch

    def scale_and_shift(self, terms=None, axes=None, images=1):
        """Two float32 of the channels' shape, T ...; `per_image` [T, N, ...].

        Args:
            terms: list of T arrays [N, ...], one for each of the first axis of the channels, whose
                statistics are taken; None: the moving averages.
            axes: the axes of a term that are no channels, the first among them.
            images: int B, of which each has N / B rows of a term.
        """
        if terms is None:
            return self._scale_and_shift(self.gamma, self.beta, *self._moving)
        terms = [ops.cast(term, "float32") for term in terms]
        if self.per_image:
            rows = ops.shape(terms[0])[0] // images
            mean, variance = _moments_of_images(terms, axes, images, rows)
            return self._scale_and_shift(self.gamma[:, None], self.beta[:, None], mean, variance)
        mean, variance = _moments(terms, axes)
        for moving, now in zip(self._moving, (mean, variance), strict=True):
            moving.assign(moving * MOMENTUM + now * (1 - MOMENTUM))
        return self._scale_and_shift(self.gamma, self.beta, mean, variance)

    @property
    def _moving(self):
        return self.moving_mean, self.moving_variance

    def _scale_and_shift(self, gamma, beta, mean, variance):
        scale = gamma * ops.rsqrt(variance + self.epsilon)
        return scale, beta - mean * scale

    def get_config(self):
        return {
            "shape": self.channels,
            "train_bn": self.train_bn,
            "epsilon": self.epsilon,
            "per_image": self.per_image,
            "gamma": self.first_gamma,
            "shifts": self.shifts,
            "name": self.name,
        }


def _moments(terms, axes):
    """Means and variances of T arrays, stacked: two [T, ...]."""
    moments = [ops.moments(term, axes) for term in terms]
    return tuple(ops.stack(each) for each in zip(*moments, strict=True))


def _moments_of_images(terms, axes, images, rows):
    """As `_moments`, of each image apart, of which a term has so many rows: two [T, N, ...]."""
    terms = [ops.reshape(term, (images, rows, *ops.shape(term)[1:])) for term in terms]
    moments = _moments(terms, [axis + 1 for axis in axes])  # [T, B, ...]
    return tuple(ops.repeat(each, rows, axis=1) for each in moments)


class _Attention(layers.Layer):
    """What both kinds share: depths, heads, and how norms are made.

    Args:
        heads: int h.
        key_depth: int, channels of all heads' keys.
        value_depth: int, of their values.
        norm: dict, arguments of all its `AttentionNorm`s.
    """

    def __init__(self, heads, key_depth, value_depth, *, norm=None, **kwargs):
        super().__init__(**kwargs)
        for depth in (key_depth, value_depth):
            if depth % heads:
                raise ValueError(f"expected channels that {heads} heads can share, not {depth}")
        self.heads, self.key_depth, self.value_depth = heads, key_depth, value_depth
        self.norm = dict(norm or {})

    def _norm(self, shape, name, **options):
        return AttentionNorm(shape, name=name, **self.norm, **options)

    def get_config(self):
        names = ("heads", "key_depth", "value_depth", "norm")
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
        vectors = query, key, of_query, of_key
        weights = attention.weights_of(self._logits(vectors, ops.shape(x)[0], training))
        found = (
            attention.retrieve(weights, value),
            attention.retrieve_positions(weights, of_value),
        )
        terms = found if self.retrieved.takes_statistics(training) else None
        scale, shift = self.retrieved.scale_and_shift(terms, (0, 2), ops.shape(x)[0])  # (2, h, v)
        scale, shift = (ops.expand_dims(each, -2) for each in (scale, ops.sum(shift, axis=0)))
        result = _scaled_sum(found, scale)
        return attention.map_of(result + ops.cast(shift, result.dtype), self.axis, x)

    def _logits(self, vectors, images, training):
        """The normalised sum of the similarities; what is the same for all keys is left out."""
        if self.similarity.takes_statistics(training):
            terms = attention.similarities(*vectors)
            scale, _ = self.similarity.scale_and_shift(terms, (0, 2, 3), images)  # (3, h)
            return _scaled_sum(terms, scale[..., None, None])
        scale, _ = self.similarity.scale_and_shift()
        scale = ops.cast(scale[..., None, None], vectors[0].dtype)
        return sum(attention.similarities(*vectors, scale))

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
        terms = [found] if self.retrieved.takes_statistics(training) else None
        scale, shift = self.retrieved.scale_and_shift(terms, (0, 2), ops.shape(own)[0])  # (1, h, v)
        scale, shift = (ops.expand_dims(each, -2) for each in (scale, shift[0]))
        result = _scaled_sum([found], scale)
        result = attention.merge_heads(result + ops.cast(shift, result.dtype))
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
        if self.similarity.takes_statistics(training):
            logits = ops.matmul(query, ops.swapaxes(key, 2, 3))
            images = ops.shape(own)[0]
            scale, _ = self.similarity.scale_and_shift([logits], (0, 2, 3), images)  # (1, h)
            logits = _scaled_sum([logits], scale[..., None, None])
        else:
            scale, _ = self.similarity.scale_and_shift()
            query = _scaled_sum([query], scale[..., None, None])
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
