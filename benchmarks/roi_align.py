"""How long pooling takes, by TensorFlow's sparse product and by the portable path.

python benchmarks/roi_align.py
KERAS_BACKEND=jax python benchmarks/roi_align.py

Prints the median milliseconds of several runs, the paths in turn. "inference": 1000 boxes of 7 x 7
bins and 100 of 14 x 14 from one picture. "training": 200 and 66 from each of two pictures a quarter
the size, with the gradient to the features. Boxes are log-uniform from 16 to 800 pixels, with
height to width from 1/3 to 3, cut at the picture's edge; 256 channels.
"""

import argparse
import json

import machine
import keras
import numpy as np
from keras import ops

from mrcnn.ops import roi_align

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
MODES = ("crop_and_resize", "2 x 2 samples", "adaptive")
# By name: whether to use TensorFlow's kernels, and whether XLA compiles.
PATHS = {"portable, XLA": (False, True)}
if ON_TENSORFLOW:
    PATHS = {"native": (True, False), "portable": (False, False), **PATHS}


def pyramid(rng, batch, height, width, dtype):
    """P2 to P5 of noise."""
    sides = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
    return [ops.cast(rng.standard_normal((batch, *side, 256), "float32"), dtype) for side in sides]


def random_boxes(rng, batch, count, height, width):
    """float [batch, count, 4], normalised to the picture's edges."""
    size = np.exp(rng.uniform(np.log(16), np.log(800), (batch, count, 1)))
    stretch = np.exp(rng.uniform(-np.log(3) / 2, np.log(3) / 2, (batch, count)))
    half = size * np.stack([stretch, 1 / stretch], axis=-1) / 2
    center = rng.uniform(0, [height, width], (batch, count, 2))
    boxes = np.concatenate([center - half, center + half], axis=-1)
    sides = np.array([height, width, height, width])
    return np.clip(boxes / sides, 0, 1).astype("float32")


def pooling(mode, native, shapes):
    """A function of features and boxes: the pooled features of box and mask head."""

    def pool(features, boxes, pool_size):
        levels = roi_align.roi_levels(boxes, shapes, len(features))
        if mode == "crop_and_resize":
            return roi_align.pyramid_crop_and_resize(features, boxes, levels, pool_size, native)
        return roi_align.pyramid_roi_align(
            *(features, boxes, levels, pool_size, shapes),
            sampling_ratio=0 if mode == "adaptive" else 2,
            native=native,
            box_offset=0,
        )

    return lambda features, boxes, masks: (pool(features, boxes, 7), pool(features, masks, 14))


def with_gradient(function, upstream):
    """The gradient of `function` to its first argument, given that of its results."""

    def total(features, *args):
        results = function(features, *args)
        pairs = zip(results, upstream, strict=True)
        return sum(ops.sum(ops.cast(result, "float32") * grad) for result, grad in pairs)

    if not ON_TENSORFLOW:
        import jax

        return jax.grad(total)
    import tensorflow as tf

    def gradient(features, *args):
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = total(features, *args)
        return tape.gradient(loss, features)

    return gradient


def cases(mode, height, width, dtype):
    """By name: a function of no arguments for each path, by its name."""
    rng = np.random.default_rng(0)
    found = {}
    for name, batch, counts, side in (
        ("inference", 1, (1000, 100), (height, width)),
        ("training", 2, (200, 66), (height // 2, width // 2)),
    ):
        features = pyramid(rng, batch, *side, dtype)
        boxes = [ops.convert_to_tensor(random_boxes(rng, batch, n, *side)) for n in counts]
        shapes = ops.convert_to_tensor(np.full((batch, 2), side, "float32"))
        upstream = [
            ops.convert_to_tensor(rng.standard_normal((batch, n, p, p, 256), "float32"))
            for n, p in zip(counts, (7, 14), strict=True)
        ]
        found[name] = {}
        for path, (native, xla) in PATHS.items():
            function = pooling(mode, native, shapes)
            if name == "training":
                function = with_gradient(function, upstream)
            function = machine.compiled(function, xla)
            found[name][path] = lambda f=function, args=(features, *boxes): f(*args)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--mode", choices=MODES, action="append", help="all unless given")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = {}
    for mode in args.mode or MODES:
        results[mode] = {}
        for case, functions in cases(mode, args.height, args.width, args.dtype).items():
            times = machine.in_turn(functions, args.repeats)
            results[mode][case] = {path: 1000 * seconds for path, seconds in times.items()}
    if args.json:
        print(json.dumps({"machine": machine.describe(), "milliseconds": results}, indent=2))
        return
    for mode, found in results.items():
        for case, times in found.items():
            for path, spent in times.items():
                print(f"{mode:16} {case:10} {path:14} {spent:8.1f} ms")
    print(machine.describe())


if __name__ == "__main__":
    main()
