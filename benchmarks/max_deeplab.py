"""How near MaX-DeepLab comes to the machine's arithmetic limit, and what axial attention saves.

python benchmarks/max_deeplab.py
KERAS_BACKEND=jax python benchmarks/max_deeplab.py --side 641

MaX-DeepLab-S with 134 classes and 128 masks, random weights, one picture. The floor is the time
that its multiply-adds, those of attention included, take at the rate of this machine's own float32
matrix product, measured in the same run before and after. "axial attention" is one layer of stage
5, by itself, in turn with the same done naively: an embedding for each head and pair of places, and
every similarity kept until it is normalised. Times are medians after a warm-up; memory is the
process's peak.
"""

import argparse
import json
import resource

import machine
import keras
import numpy as np
from keras import ops
from skimage import data
from skimage.transform import resize

from mrcnn.model import create
from mrcnn.network.attention import AxialAttention, CrossAttention
from mrcnn.ops import attention
from mrcnn.presets import PRESETS


def make_config(side, precision, xla):
    class BenchmarkConfig(PRESETS["deeplab2/max_deeplab_s_os16_res641_100k"]):
        NAME = "benchmark"
        IMAGE_MAX_DIM = side
        PRECISION = precision
        JIT_COMPILE = xla

    return BenchmarkConfig()


def attention_multiply_adds(model, inputs):
    """Those of the attention layers, for symbolic inputs of known shapes."""
    total = 0

    def call(layer, *args, **kwargs):
        nonlocal total
        if isinstance(layer, AxialAttention):
            height, width = args[0].shape[1:3]
            pairs = height * width * (height, width)[layer.axis - 1]
            total += pairs * (3 * layer.key_depth + 2 * layer.value_depth)
        elif isinstance(layer, CrossAttention):
            places = [int(np.prod(x.shape[1:3])) for x in (args[0], *args[1])]
            total += places[0] * sum(places[1:]) * (layer.key_depth + layer.value_depth)
        return layer(*args, **kwargs)

    plain = keras.Model(model.input, model.output)
    keras.models.clone_model(plain, inputs, clone_function=lambda x: x, call_function=call)
    return total


def naive_attention(layer, x):
    """What a layer of attention along an axis computes, step by step."""
    heads, depth = layer.heads, layer.key_depth
    query, key, value = (
        attention.lines_of(part, layer.axis, heads)
        for part in (x[..., :depth], x[..., depth : 2 * depth], x[..., 2 * depth :])
    )
    length = ops.shape(x)[layer.axis]
    of_query, of_key, of_value = (
        ops.tile(attention.relative_embeddings(table, length)[None], (heads, 1, 1, 1))
        for table in (layer.query_rpe, layer.key_rpe, layer.value_rpe)
    )
    terms = ops.stack(
        [
            ops.einsum("bhld,bhmd->bhlm", query, key),
            ops.einsum("bhld,hlmd->bhlm", query, of_query),
            ops.einsum("bhmd,hlmd->bhlm", key, of_key),
        ]
    )
    scale, shift = layer.similarity.scale_and_shift()
    logits = ops.sum(terms * scale[:, None, :, None, None] + shift[:, None, :, None, None], axis=0)
    weights = ops.softmax(logits, axis=-1)
    found = ops.stack(
        [
            ops.einsum("bhlm,bhmd->bhld", weights, value),
            ops.einsum("bhlm,hlmd->bhld", weights, of_value),
        ]
    )
    scale, shift = layer.retrieved.scale_and_shift()
    found = ops.sum(found * scale[:, None, :, None] + shift[:, None, :, None], axis=0)
    return attention.map_of(found, layer.axis, x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--side", type=int, default=641)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    dtypes = machine.rate_dtypes(arguments.precision)
    before = machine.rates(dtypes)
    config = make_config(arguments.side, arguments.precision, arguments.xla)
    model = create("inference", config, ".")
    side = arguments.side
    picture = (resize(data.astronaut(), (side, side)) * 255).astype(np.uint8)
    molded, metas, _ = model.mold_inputs([picture])
    graph = model.graphs["detection"]
    shapes = machine.sized(graph, 1, (side, side))
    products = sum(machine.multiply_adds(graph, shapes).values())
    pairs = attention_multiply_adds(graph, shapes)
    tensors = [ops.convert_to_tensor(x) for x in (molded, metas)]
    call = machine.compiled_model(graph, arguments.xla)
    network, _ = machine.seconds(lambda: call(tensors), arguments.repeats)
    detect, _ = machine.seconds(lambda: model.detect([picture]), arguments.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    layer = graph.get_layer("stage5_block1_attention_height_axis")
    length = -(-side // 16)
    width = 2 * layer.key_depth + layer.value_depth
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.normal(size=(1, length, length, width)).astype("float32"))
    x = ops.cast(x, layer.compute_dtype)
    ours, naive = (
        machine.compiled(function, arguments.xla)
        for function in (layer, lambda y: naive_attention(layer, ops.cast(y, "float32")))
    )
    if arguments.precision == "float32":
        found, expected = (ops.convert_to_numpy(function(x)) for function in (ours, naive))
        np.testing.assert_allclose(found, expected, atol=1e-3)
    turns = machine.in_turn({"ours": lambda: ours(x), "naive": lambda: naive(x)}, 15)
    rates = machine.best_rates(before, machine.rates(dtypes))
    floor = 2 * (products + pairs) / rates["matmul float32"]
    print(machine.show_rates({name: rate / 1e9 for name, rate in rates.items()}))
    print(
        f"multiply-adds: {products / 1e9:.1f} G of convolutions, {pairs / 1e9:.2f} G of attention; "
        f"floor {1e3 * floor:.0f} ms"
    )
    print(f"network: {1e3 * network:.0f} ms, {network / floor:.2f} of the floor")
    print(f"detect: {1e3 * detect:.0f} ms, {detect / floor:.2f} of the floor")
    print(f"memory: {peak:.2f} GiB at most")
    print(
        f"axial attention: {1e3 * turns['ours']:.1f} ms, naively {1e3 * turns['naive']:.1f} ms: "
        f"{turns['naive'] / turns['ours']:.2f} times as long"
    )
    facts = {"products": products, "pairs": pairs, "network_s": network, "detect_s": detect}
    print(json.dumps({**machine.describe(), **facts, "floor_s": floor, "peak_gib": peak, **turns}))


if __name__ == "__main__":
    main()
