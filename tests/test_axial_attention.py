"""Attention along an axis and between maps, against loops over all pairs."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose
from tensors import f32

from mrcnn.network.attention import AttentionNorm, AxialAttention, CrossAttention
from mrcnn.ops import attention
from mrcnn.ops.upsampling import resize_corners

HEADS, KEY, VALUE = 2, 4, 6  # channels of all heads


def randomized(layer, x, seed=1):
    """The layer, built, with random weights; variances are positive."""
    layer(*x)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path else values)
    return layer


def softmax(x):
    shares = np.exp(x - x.max())
    return shares / shares.sum()


def affine(norm):
    gamma, beta, mean, variance = (
        ops.convert_to_numpy(getattr(norm, name))
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def axial_by_loops(x, layer):
    """Along axis 1 of one map [H, W, C]."""
    height, width = x.shape[:2]
    key, value = KEY // HEADS, VALUE // HEADS
    scale, shift = affine(layer.similarity)
    out_scale, out_shift = affine(layer.retrieved)
    tables = [ops.convert_to_numpy(t) for t in (layer.query_rpe, layer.key_rpe, layer.value_rpe)]
    result = np.zeros((height, width, VALUE))
    for column in range(width):
        for head in range(HEADS):
            q, k = (x[:, column, start + head * key :][:, :key] for start in (0, KEY))
            v = x[:, column, 2 * KEY + head * value :][:, :value]
            for i in range(height):
                rows = [j - i + attention.SPAN - 1 for j in range(height)]
                terms = [
                    np.array([q[i] @ k[j] for j in range(height)]),
                    np.array([q[i] @ tables[0][row] for row in rows]),
                    np.array([k[j] @ tables[1][row] for j, row in enumerate(rows)]),
                ]
                logits = sum(term * scale[n, head] + shift[n, head] for n, term in enumerate(terms))
                weights = softmax(logits)
                found = weights @ v, weights @ tables[2][rows]
                for n, each in enumerate(found):
                    each = each * out_scale[n, head] + out_shift[n, head]
                    result[i, column, head * value :][:value] += each
    return result


@pytest.mark.parametrize("axis", [1, 2])
def test_attention_along_an_axis(axis):
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 2 * KEY + VALUE)).astype("float32")
    layer = randomized(AxialAttention(HEADS, KEY, VALUE, axis), [f32(x)])
    found = ops.convert_to_numpy(layer(f32(x)))
    for image, result in zip(x, found, strict=True):
        if axis == 1:
            expected = axial_by_loops(image, layer)
        else:
            expected = axial_by_loops(image.swapaxes(0, 1), layer).swapaxes(0, 1)
        assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_positions_beyond_the_span_share_an_embedding():
    table = f32(np.arange(2 * attention.SPAN - 1)[:, None])
    found = ops.convert_to_numpy(attention.relative_embeddings(table, attention.SPAN + 3))[..., 0]
    assert found[0, 0] == found[9, 9] == attention.SPAN - 1
    assert found[1, 3] == attention.SPAN + 1  # two behind the query
    assert found[0, attention.SPAN - 1 :].tolist() == [2 * attention.SPAN - 2] * 4
    assert found[-1, 0] == found[-1, 3] == 0


def cross_by_loops(own, others, layer):
    """Of one map [H, W, C] to the places of several."""
    key, value = KEY // HEADS, VALUE // HEADS
    scale, shift = affine(layer.similarity)
    out_scale, out_shift = affine(layer.retrieved)
    places = np.concatenate([other.reshape(-1, other.shape[-1]) for other in others])
    result = np.zeros((*own.shape[:2], VALUE))
    for i in np.ndindex(own.shape[:2]):
        for head in range(HEADS):
            q = own[i][head * key :][:key]
            k = places[:, KEY + head * key :][:, :key]
            v = places[:, 2 * KEY + head * value :][:, :value]
            found = softmax(k @ q * scale[0, head] + shift[0, head]) @ v
            result[i][head * value :][:value] = found * out_scale[0, head] + out_shift[0, head]
    return result


def test_attention_to_several_maps():
    rng = np.random.default_rng(0)
    pixels, memory = (
        rng.normal(size=(2, *sides, 2 * KEY + VALUE)).astype("float32")
        for sides in ((3, 2), (1, 5))
    )
    maps = f32(memory), [f32(pixels), f32(memory)]
    layer = randomized(CrossAttention(HEADS, KEY, VALUE), maps)
    found = ops.convert_to_numpy(layer(*maps))
    assert found.shape == (2, 1, 5, VALUE)
    for i in range(2):
        expected = cross_by_loops(memory[i], [pixels[i], memory[i]], layer)
        assert_allclose(found[i], expected, rtol=1e-4, atol=1e-5)
    weights = ops.convert_to_numpy(layer.attention_weights(*maps))
    assert weights.shape == (2, HEADS, 5, 3 * 2 + 5)
    assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_training_normalises_by_the_batch_and_moves_the_averages():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 2 * KEY + VALUE)).astype("float32")
    layer = randomized(AxialAttention(HEADS, KEY, VALUE, 1, norm={"train_bn": True}), [f32(x)])
    before = affine(layer.retrieved)
    out = layer(f32(x), training=True)
    # With gamma 1 and beta 0 what was retrieved has mean 0 for each channel, twice.
    layer.retrieved.gamma.assign(np.ones_like(before[0]))
    layer.retrieved.beta.assign(np.zeros_like(before[0]))
    out = ops.convert_to_numpy(layer(f32(x), training=True))
    assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    assert 0.5 < out.var() < 4
    assert np.abs(affine(layer.retrieved)[1] - before[1]).max() > 1e-3
    fixed = AxialAttention(HEADS, KEY, VALUE, 1, norm={"train_bn": False})
    fixed(f32(x))
    fixed.set_weights(layer.get_weights())
    assert_allclose(fixed(f32(x), training=True), fixed(f32(x)), rtol=1e-6)


def test_moving_averages_by_hand():
    norm = AttentionNorm((1, 2), train_bn=True)
    norm.build()
    # Two channels of values 0, 2 and 4, 4: means 1 and 4, variances 1 and 0.
    terms = [f32([[[0.0], [4.0]], [[2.0], [4.0]]])]
    scale, shift = (ops.convert_to_numpy(x) for x in norm.scale_and_shift(terms, axes=(0, 2)))
    assert_allclose(scale, [[1 / np.sqrt(1.001), 1 / np.sqrt(0.001)]], rtol=1e-5)
    assert_allclose(shift, -scale * [[1, 4]], rtol=1e-5)
    assert_allclose(ops.convert_to_numpy(norm.moving_mean), [[0.01, 0.04]], rtol=1e-5)
    assert_allclose(ops.convert_to_numpy(norm.moving_variance), [[1.0, 0.99]], rtol=1e-5)


def test_statistics_of_each_image_by_hand():
    norm = AttentionNorm((1, 1), per_image=True)
    norm.build()
    assert [weight.name for weight in norm.weights] == ["gamma", "beta"]
    # Two lines of each of two images, of values 0, 2 and 4, 12: means 1 and 8, variances 1 and 16.
    terms = [f32([[[0.0]], [[2.0]], [[4.0]], [[12.0]]])]
    found = norm.scale_and_shift(terms, axes=(0, 2), images=2)
    scale, shift = (ops.convert_to_numpy(x)[0, :, 0] for x in found)
    assert_allclose(scale, 1 / np.sqrt([1.001, 1.001, 16.001, 16.001]), rtol=1e-5)
    assert_allclose(shift, -scale * [1, 1, 8, 8], rtol=1e-5)


@pytest.mark.parametrize("axis", [1, 2, None])
def test_with_statistics_of_each_image_a_batch_changes_nothing(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 2, 2 * KEY + VALUE)).astype("float32")
    x *= np.reshape([1, 5, 0.1], (3, 1, 1, 1))
    norm = {"per_image": True, "train_bn": False}
    if axis is None:
        layer = CrossAttention(HEADS, KEY, VALUE, norm=norm)
    else:
        layer = AxialAttention(HEADS, KEY, VALUE, axis, norm=norm)

    def found(x, training):
        given = (f32(x[:, :1]), [f32(x)]) if axis is None else (f32(x),)
        return ops.convert_to_numpy(layer(*given, training=training))

    together = found(x, training=True)
    for i in range(3):
        alone = found(x[i : i + 1], training=False)
        assert_allclose(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_channels_that_heads_cannot_share_are_refused():
    with pytest.raises(ValueError, match="8 heads can share, not 12"):
        AxialAttention(8, 16, 12, 1)


def test_resizing_leaves_the_corners():
    x = f32(np.array([[0, 2], [4, 6]])[None, :, :, None])
    found = ops.convert_to_numpy(resize_corners(x, (3, 5)))[0, :, :, 0]
    assert_allclose(found, [[0, 0.5, 1, 1.5, 2], [2, 2.5, 3, 3.5, 4], [4, 4.5, 5, 5.5, 6]])
    # One pixel is everywhere; the same size is the same.
    assert_allclose(ops.convert_to_numpy(resize_corners(x[:, :1, :1], (2, 2))), 0)
    assert_allclose(ops.convert_to_numpy(resize_corners(x, (2, 2))), ops.convert_to_numpy(x))


def test_layers_survive_saving():
    x = f32(np.random.default_rng(0).normal(size=(1, 3, 3, 2 * KEY + VALUE)))
    for layer in (AxialAttention(HEADS, KEY, VALUE, 2), CrossAttention(HEADS, KEY, VALUE)):
        arguments = [x] if isinstance(layer, AxialAttention) else [x, [x]]
        copy = type(layer).from_config(layer.get_config())
        randomized(layer, arguments)
        copy(*arguments)
        copy.set_weights(layer.get_weights())
        assert_allclose(
            ops.convert_to_numpy(copy(*arguments)), ops.convert_to_numpy(layer(*arguments))
        )
        assert keras.saving.get_registered_name(type(layer)) == f"mrcnn>{type(layer).__name__}"
