"""What the gradients of depthwise convolutions cost in float32 and in bfloat16, on TensorFlow.

python benchmarks/depthwise.py

Convolutions of EfficientNet-Lite0 on 2 pictures of 384 x 384, each in milliseconds, the median of
`--repeats`, the two precisions in turn: what `mrcnn.network.folding` decides by.
"""

import argparse
import statistics
import time

import machine
import tensorflow as tf

# Side of the features, channels, side of the kernel, stride.
CASES = ((192, 96, 3, 2), (96, 144, 5, 2), (96, 144, 3, 1), (48, 240, 5, 1), (24, 672, 5, 1))


def gradients(side, channels, kernel, stride, dtype):
    """Two compiled functions without arguments: the gradient by the kernel, and by the features."""
    x = tf.cast(tf.random.normal([2, side, side, channels]), dtype)
    weights = tf.cast(tf.random.normal([kernel, kernel, channels, 1]), dtype)
    options = {"strides": [1, stride, stride, 1], "padding": "SAME"}
    upstream = tf.nn.depthwise_conv2d(x, weights, **options)

    def by_kernel():
        shape = weights.shape
        return tf.nn.depthwise_conv2d_backprop_filter(x, shape, upstream, **options)

    def by_features():
        return tf.nn.depthwise_conv2d_backprop_input(x.shape, weights, upstream, **options)

    return machine.compiled(by_kernel), machine.compiled(by_features)


def milliseconds(functions, repeats):
    """The median of each, called in turn after a call to warm up."""
    times = [[] for _ in functions]
    for turn in range(repeats + 1):
        for function, found in zip(functions, times, strict=True):
            start = time.perf_counter()
            function().numpy()
            if turn:
                found.append(1e3 * (time.perf_counter() - start))
    return map(statistics.median, times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    print("| features | kernel, stride | by the kernel: float32, bfloat16 | by the features |")
    print("| --- " * 4 + "|")
    for side, channels, kernel, stride in CASES:
        functions = [
            function
            for dtype in ("float32", "bfloat16")
            for function in gradients(side, channels, kernel, stride, dtype)
        ]
        kernel32, features32, kernel16, features16 = milliseconds(functions, args.repeats)
        print(
            f"| {side} x {side} x {channels} | {kernel}, {stride} | "
            f"{kernel32:.1f}, {kernel16:.1f} | {features32:.1f}, {features16:.1f} |"
        )
    print(machine.describe())


if __name__ == "__main__":
    main()
