"""What a training step takes on more devices: a model of it, and what this machine says of it.

python benchmarks/scale.py --image-seconds 0.13                    # a plan for 8, 64, 512 devices
KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
    python benchmarks/scale.py --measure 1 2 4 8                   # devices of this processor

A step lasts as long as its slowest part: computing the images of a device and adding the gradients
of all devices in a ring; or reading the images of a host. Nothing is taken to overlap but reading.

Measured is the demonstration's network in one global batch on more and more virtual devices, which
share the processor's cores: computing takes as long for all of them, and what is added is the sum
of the gradients. Its time is that of the same sum alone; the bytes that devices exchange are read
from the compiled step. The cases take turns, and each time is a median.
"""

import argparse
import math
import re
import statistics
import time

DEVICES = 8, 64, 512
_COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\("
)
_ARRAY = re.compile(r"(pred|[suf]8|b?[suf]16|[suf]32|[suf]64)\[([\d,]*)\]")


def ring_seconds(devices, bytes_, link, latency):
    """Seconds that a ring of devices takes to add up arrays of so many bytes.

    Each sends 2 (N - 1) / N of them over its link, in 2 (N - 1) messages.
    """
    return 2 * (devices - 1) * (bytes_ / devices / link + latency)


def plan(devices, arguments):
    """The parts of a step, seconds; `rate`, images a second; `efficiency` against one device."""
    a = arguments
    bytes_, inside = 4 * a.parameters, min(devices, a.devices_per_host)
    hosts = devices // inside
    computing = a.images * a.image_seconds
    adding = ring_seconds(inside, bytes_, a.link * 1e9, a.latency)
    adding += ring_seconds(hosts, bytes_, a.network * 1e9, a.latency)
    reading = a.images * inside * a.load_seconds / a.cores
    step = max(computing + adding, reading)
    rate = devices * a.images / step
    one = 1 / a.image_seconds
    return {
        "computing": computing,
        "adding": adding,
        "reading": reading,
        "rate": rate,
        "efficiency": rate / (devices * one),
    }


def print_plan(arguments):
    print("| devices | batch | computing, s | adding, s | reading, s | images/s | efficiency |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for devices in DEVICES:
        found = plan(devices, arguments)
        parts = " | ".join(f"{found[name]:.3f}" for name in ("computing", "adding", "reading"))
        batch, rate = devices * arguments.images, found["rate"]
        print(f"| {devices} | {batch} | {parts} | {rate:.0f} | {found['efficiency']:.2f} |")


class Case:
    """Steps of one batch on some devices.

    Args:
        devices: int.
        batch: int, images on all of them.
    """

    def __init__(self, devices, batch):
        import machine  # noqa: F401  finds mrcnn in this clone

        from mrcnn.demo import DemoConfig, shapes
        from mrcnn.model import MaskRCNN

        keys = {"GPU_COUNT": devices, "BATCH_SIZE": batch, "SEED": 0}
        self.devices = devices
        self.model = MaskRCNN("training", type("Scale", (DemoConfig,), keys)(), "unused")
        self.model.set_trainable(".*", verbose=0)
        self.model.compile(0.01, 0.9)
        generator = self.model.generator_type(
            shapes(batch, self.model.config, 0), self.model.settings
        )
        self.batch = self.model.devices.place(*generator[0], batch)
        self.model_seconds, self.sum_seconds = [], []
        self.sum = self._sum()
        self.run(), self.add()  # compiled
        self.model_seconds, self.sum_seconds = [], []

    def run(self):
        began = time.perf_counter()
        with self.model.devices.tracing():
            self.model.keras_model.train_on_batch(*self.batch)
        self.model_seconds.append(time.perf_counter() - began)

    def add(self):
        began = time.perf_counter()
        self.sum()
        self.sum_seconds.append(time.perf_counter() - began)

    def exchanged(self):
        """(Bytes that a step has the devices exchange, those of the gradients)."""
        import jax

        model = self.model.keras_model
        kinds = ("trainable", "non_trainable", "optimizer", "metrics")
        state = model._get_jax_state(**{f"{kind}_variables": True for kind in kinds})
        with self.model.devices.scope():
            step = jax.jit(model.train_step, out_shardings=(None, model._get_state_sharding_spec()))
        data = (*self.batch, None, None)[:3]
        with self.model.devices.tracing():
            text = step.lower(state, data).compile().as_text()
        gradients = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        return exchanged_bytes(text), 4 * gradients

    def _sum(self):
        """A function that adds arrays like the gradients over the devices."""
        if self.devices == 1:
            return lambda: None
        import jax
        import numpy as np

        mesh = jax.sharding.Mesh(np.array(jax.devices()[: self.devices]), ("devices",))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("devices"))
        shapes = [weight.shape for weight in self.model.keras_model.trainable_weights]
        arrays = [
            jax.device_put(np.ones((self.devices, *shape), np.float32), split) for shape in shapes
        ]
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        add = jax.jit(lambda xs: [x.sum(axis=0) for x in xs], out_shardings=everywhere)
        return lambda: jax.block_until_ready(add(arrays))


def exchanged_bytes(text):
    """Bytes of the results of all collectives of a program, its text as XLA prints it."""
    found = filter(None, map(_COLLECTIVE.search, text.splitlines()))
    arrays = [array for match in found for array in _ARRAY.findall(match[1])]
    return sum(_item_bytes(kind) * _items(shape) for kind, shape in arrays)


def _items(shape):
    return math.prod(int(side) for side in shape.split(",") if side)


def _item_bytes(kind):
    return int(kind.lstrip("bsuf")) // 8 if kind != "pred" else 1


def measure(arguments):
    cases = [Case(devices, arguments.batch) for devices in arguments.measure]
    for _ in range(arguments.steps):
        for case in cases:
            case.run(), case.add()
    one = statistics.median(cases[0].model_seconds)
    print(
        "| devices | step, s | predicted, s | measured / predicted | adding, s | MB, of gradients |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for case in cases:
        step, adding = map(statistics.median, (case.model_seconds, case.sum_seconds))
        predicted = one + adding
        sent, gradients = case.exchanged() if case.devices > 1 else (0, 0)
        print(
            f"| {case.devices} | {step:.3f} | {predicted:.3f} | {step / predicted:.2f} "
            f"| {adding:.4f} | {sent / 1e6:.3f}, {gradients / 1e6:.3f} |"
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", type=int, nargs="+", metavar="DEVICES")
    parser.add_argument("--batch", type=int, default=8, help="images that are measured")
    parser.add_argument("--steps", type=int, default=20, help="of each case")
    group = parser.add_argument_group("the plan")
    group.add_argument("--image-seconds", type=float, default=0.13, help="of a step, one device")
    group.add_argument("--images", type=int, default=2, help="of each device")
    group.add_argument("--parameters", type=float, default=44.4e6, help="that are trained")
    group.add_argument("--devices-per-host", type=int, default=8)
    group.add_argument("--link", type=float, default=100, help="GB/s between devices of a host")
    group.add_argument("--network", type=float, default=12.5, help="GB/s between hosts")
    group.add_argument("--latency", type=float, default=2e-5, help="seconds of a message")
    group.add_argument("--load-seconds", type=float, default=0.0365, help="of an image, one core")
    group.add_argument("--cores", type=int, default=32, help="of a host")
    arguments = parser.parse_args()
    (measure if arguments.measure else print_plan)(arguments)


if __name__ == "__main__":
    main()
