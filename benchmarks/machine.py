"""What the benchmarks share: the machine's own rates, a network's multiply-adds, compiled calls.

They import this before Keras: it finds `mrcnn` in this clone and keeps the terminal quiet.
"""

import collections
import datetime
import importlib.metadata
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mrcnn.startup import quiet  # noqa: E402

quiet.install()
if any(argument.startswith("--peer") for argument in sys.argv):
    try:
        import torchvision  # noqa: F401  before TensorFlow: else it, or PyTorch 2.14, crashes
    except ModuleNotFoundError:
        sys.exit("--peer torchvision needs it: pip install torch torchvision")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers, ops  # noqa: E402

from mrcnn.network.folding import FoldedConv  # noqa: E402


def compiled(function, xla=False):
    """A function of tensors as the backend runs it inside a model."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=xla, autograph=False)


def compiled_model(model, xla=False):
    """A model's call in inference mode, compiled: flat list of tensors -> flat list of tensors."""

    def pack(tensors):
        return keras.tree.pack_sequence_as(model.input, tensors)

    if keras.backend.backend() == "tensorflow":
        call = compiled(lambda *x: keras.tree.flatten(model(pack(x), training=False)), xla)
        return lambda tensors: call(*tensors)
    trainable = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]
    call = compiled(
        lambda t, f, *x: keras.tree.flatten(model.stateless_call(t, f, pack(x), training=False)[0])
    )
    return lambda tensors: call(trainable, fixed, *tensors)


def wait(tensors):
    """Returns when the tensors are computed."""
    for tensor in keras.tree.flatten(tensors):
        if hasattr(tensor, "block_until_ready"):
            tensor.block_until_ready()
        elif keras.ops.is_tensor(tensor):  # TensorFlow on a GPU returns early
            np.asarray(ops.reshape(tensor, (-1,))[:1])


def seconds(function, repeats=5, warmup=1):
    """Median seconds of a call, after a warm-up, and the result of the last one."""
    for _ in range(warmup):
        wait(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        wait(result)
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def in_turn(ways, repeats=5):
    """Median seconds of several functions, called one after the other in each round."""
    times = {name: [] for name in ways}
    for function in ways.values():
        wait(function())
    for _ in range(repeats):
        for name, function in ways.items():
            times[name].append(seconds(function, 1, warmup=0)[0])
    return {name: statistics.median(found) for name, found in times.items()}


def rates(dtypes=("float32", "bfloat16"), repeats=7):
    """The machine's best rates in FLOP/s: a dict of "matmul float32", "conv3x3 bfloat16", ...

    Squares of 8192 rows on a GPU, of 2048 elsewhere; the convolution has 256 channels.
    """
    on_gpu = bool(describe()["gpu"])
    side, batch = (8192, 16) if on_gpu else (2048, 1)
    found = {}
    for dtype in dtypes:
        rng = np.random.default_rng(0)

        def random(*shape, rng=rng, dtype=dtype):
            return ops.cast(ops.convert_to_tensor(rng.normal(size=shape).astype("float32")), dtype)

        a, b = random(side, side), random(side, side)
        x, kernel = random(batch, 128, 128, 256), random(3, 3, 256, 256)
        multiply, convolve = compiled(ops.matmul), compiled(lambda x, k: ops.conv(x, k, 1, "same"))
        cases = {
            f"matmul {dtype}": (lambda f=multiply, a=a, b=b: f(a, b), 2 * side**3),
            f"conv3x3 {dtype}": (
                lambda f=convolve, x=x, k=kernel: f(x, k),
                2 * batch * 128**2 * 9 * 256**2,
            ),
        }
        for name, (function, flops) in cases.items():
            wait(function())
            best = min(seconds(function, 1, warmup=0)[0] for _ in range(repeats))
            found[name] = flops / best
    return found


def rate_dtypes(precision):
    """What `rates` measures beside a network of a precision: always two dtypes, and its own."""
    return list(dict.fromkeys(["float32", "bfloat16", keras.DTypePolicy(precision).compute_dtype]))


def best_rates(before, after):
    """The better of two measurements of `rates`."""
    return {name: max(before[name], after[name]) for name in before}


def show_rates(gflops):
    """One line of text for the GFLOP/s of `rates`."""
    return "machine: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in gflops.items())


def multiply_adds(model, inputs=None):
    """Counts the multiply-adds of convolutions and dense layers, from their shapes.

    Args:
        model: functional `keras.Model`.
        inputs: symbolic tensors like the model's, of known shapes; its own by default.

    Returns:
        `collections.Counter`: name of the layer -> multiply-adds of all its calls.
    """
    counts = collections.Counter()

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.Model):
            counts.update(multiply_adds(layer, args[0]))
        result = layer(*args, **kwargs)
        owner = layer.conv if isinstance(layer, FoldedConv) else layer
        kernel = getattr(owner, "kernel", None)
        if kernel is not None:
            places = args[0] if isinstance(owner, layers.Conv2DTranspose) else result
            counts[owner.name] += math.prod(places.shape[:-1]) * math.prod(kernel.shape)
        return result

    plain = keras.Model(model.input, model.output)
    keras.models.clone_model(plain, inputs, clone_function=lambda x: x, call_function=call)
    return counts


def sized(model, batch, sides):
    """Symbolic inputs of a model for a batch of images of one size (H, W), without RPN targets."""

    def fix(tensor):
        shape = [batch, *tensor.shape[1:]]
        if None in shape:
            shape[1:-1] = sides if len(shape) == 4 else [0]
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name)

    return keras.tree.map_structure(fix, model.input)


def describe():
    """The machine, the versions, the commit and the date, as a dict of text."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        gpus = [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    else:
        import tensorflow as tf

        gpus = [device.name for device in tf.config.list_physical_devices("GPU")]
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return {
        "cpu": f"{os.cpu_count()} cores, {_cpu_name()}",
        "gpu": ", ".join(gpus),
        "software": f"keras {keras.__version__}, {backend} {importlib.metadata.version(backend)}",
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "date": f"{datetime.date.today():%d %B %Y}",
    }


def _cpu_name():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
