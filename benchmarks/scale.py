"""What a training step takes on more devices: a model of it, and what this machine says of it.

python benchmarks/scale.py --image-seconds 3.26                    # a plan for 8, 64, 512 devices
KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
    python benchmarks/scale.py --measure 1 2 4 8                   # devices of this processor

A step lasts as long as its slowest part: computing the images of a device and adding the gradients
of all devices in a ring; or reading the images of a host. Nothing is taken to overlap but reading.

Measured is the demonstration's network in one global batch on more and more virtual devices,
which share the processor's cores: computing takes as long for all of them as for one. Link and
latency are fitted by two sums of different bytes on the smallest number above one; with them the
plan says what a step takes on each number, and how far that is from what was measured. Idle is what
is neither computing, as on one, nor adding, as that sum alone. Times are medians; the cases
take turns. The bytes that devices exchange are read from the compiled step.
"""

import argparse
import dataclasses
import math
import re
import statistics
import time

DEVICES = 8, 64, 512
LARGEST = 512  # batch that docs/scale.md has a recipe for
MORE = 4  # times as many bytes are in the second sum
_COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\("
)
_ARRAY = re.compile(r"(pred|[suf]8|b?[suf]16|[suf]32|[suf]64)\[([\d,]*)\]")


def ring_seconds(devices, bytes_, link, latency):
    """Seconds that a ring of devices takes to add up arrays of so many bytes.

    Each sends 2 (N - 1) / N of them over its link, in 2 (N - 1) messages.
    """
    return 2 * (devices - 1) * (bytes_ / devices / link + latency)


def fit_link(devices, sums):
    """What two sums say of a ring's link.

    Args:
        devices: int, of the ring.
        sums: list of two (bytes, seconds).

    Returns:
        (Bytes a second, seconds of a message), with which `ring_seconds` gives both.

    Raises:
        ValueError: more bytes took no longer.
    """
    (few, short), (many, long) = sums
    if long <= short:
        raise ValueError(f"{many} bytes took {long} s, {few} took {short} s: take more --steps")
    messages = 2 * (devices - 1)
    link = messages * (many - few) / devices / (long - short)
    return link, short / messages - few / devices / link


def plan(devices, arguments, images):
    """The parts of a step of so many images a device, seconds, and `step`, what it takes in all;
    `rate`, images a second; `efficiency` against one device."""
    a = arguments
    bytes_, inside = 4 * a.parameters, min(devices, a.devices_per_host)
    hosts = devices // inside
    computing = images * a.image_seconds
    adding = ring_seconds(inside, bytes_, a.link * 1e9, a.latency)
    adding += ring_seconds(hosts, bytes_, a.network * 1e9, a.latency)
    reading = images * inside * a.load_seconds / a.cores
    step = max(computing + adding, reading)
    rate = devices * images / step
    return {
        "computing": computing,
        "adding": adding,
        "reading": reading,
        "step": step,
        "rate": rate,
        "efficiency": rate * a.image_seconds / devices,
    }


def print_plan(arguments):
    print("| devices | batch | computing, s | adding, s | reading, s | images/s | efficiency |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows = [(devices, arguments.images) for devices in DEVICES]
    rows += [(devices, 1) for devices, images in rows if devices * images > LARGEST >= devices]
    for devices, images in rows:
        found = plan(devices, arguments, images)
        parts = " | ".join(f"{found[name]:.3f}" for name in ("computing", "adding", "reading"))
        rate, efficiency = found["rate"], found["efficiency"]
        print(f"| {devices} | {devices * images} | {parts} | {rate:.1f} | {efficiency:.2f} |")


@dataclasses.dataclass
class Measured:
    """Medians of a case, seconds.

    Attributes:
        devices: int.
        step: float, of a training step.
        sums: list of two (bytes, seconds): of the gradients, and of `MORE` times as many bytes.
        exchanged: int, bytes that a step has the devices exchange; None where nobody looked.
    """

    devices: int
    step: float
    sums: list
    exchanged: int | None = None


def print_measured(found, batch):
    """A row for each case beside what the plan says of it; the first has one device.

    Args:
        found: list of `Measured`, by number of devices.
        batch: int, images of a step on all of them.
    """
    one = found[0].step
    link, latency = fit_link(found[1].devices, found[1].sums)
    print(f"link {link / 1e9:.3f} GB/s, latency {1e6 * latency:.0f} us, by {found[1].devices}")
    print("| devices | step, s | plan, s | error | adding, s | plan, s | idle | exchanged, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in found:
        bytes_, adding = case.sums[0]
        # Their cores are shared: an image takes a device as many times as long.
        given = argparse.Namespace(
            image_seconds=one / batch * case.devices,
            parameters=bytes_ / 4,
            devices_per_host=case.devices,
            link=link / 1e9,
            network=math.inf,
            latency=latency,
            load_seconds=0,
            cores=1,
        )
        planned = plan(case.devices, given, batch / case.devices)
        error, idle = planned["step"] / case.step - 1, 1 - (one + adding) / case.step
        exchanged = "" if case.exchanged is None else f"{case.exchanged / 1e6:.3f}"
        print(
            f"| {case.devices} | {case.step:.4f} | {planned['step']:.4f} | {100 * error:+.1f} % "
            f"| {adding:.4f} | {planned['adding']:.4f} | {100 * idle:.1f} % | {exchanged} |"
        )


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
        weights = self.model.keras_model.trainable_weights
        self.bytes = 4 * sum(math.prod(weight.shape) for weight in weights)
        self._sums = [self._sum(1), self._sum(MORE)]
        self._seconds = [], [], []  # of the step and of each sum
        self.run()  # compiled
        self._seconds = [], [], []

    def run(self):
        """A step, and each sum."""
        with self.model.devices.tracing():
            self._time(0, lambda: self.model.keras_model.train_on_batch(*self.batch))
        for i, add in enumerate(self._sums, start=1):
            self._time(i, add)

    def _time(self, index, function):
        began = time.perf_counter()
        function()
        self._seconds[index].append(time.perf_counter() - began)

    def measured(self):
        """`Measured`, of what was run."""
        step, *sums = map(statistics.median, self._seconds)
        sums = zip((self.bytes, MORE * self.bytes), sums, strict=True)
        return Measured(self.devices, step, list(sums))

    def exchanged(self):
        """Bytes that a step has the devices exchange."""
        import jax

        model = self.model.keras_model
        kinds = ("trainable", "non_trainable", "optimizer", "metrics")
        state = model._get_jax_state(**{f"{kind}_variables": True for kind in kinds})
        with self.model.devices.scope():
            step = jax.jit(model.train_step, out_shardings=(None, model._get_state_sharding_spec()))
        data = (*self.batch, None, None)[:3]
        with self.model.devices.tracing():
            text = step.lower(state, data).compile().as_text()
        return exchanged_bytes(text)

    def _sum(self, times):
        """A function that adds so many arrays as the gradients are over the devices."""
        if self.devices == 1:
            return lambda: None
        import jax
        import numpy as np

        mesh = jax.sharding.Mesh(np.array(jax.devices()[: self.devices]), ("devices",))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("devices"))
        shapes = [weight.shape for weight in self.model.keras_model.trainable_weights]
        arrays = [
            jax.make_array_from_callback(
                (self.devices, *shape),
                split,
                lambda _, shape=shape: np.ones((1, *shape), "float32"),
            )
            for shape in shapes * times
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
    cases = [Case(devices, arguments.batch) for devices in sorted({1, *arguments.measure})]
    for _ in range(arguments.steps):
        for case in cases:
            case.run()
    found = [case.measured() for case in cases]
    for case, each in zip(cases, found, strict=True):
        each.exchanged = case.exchanged() if case.devices > 1 else 0
    print_measured(found, arguments.batch)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", type=int, nargs="+", metavar="DEVICES")
    parser.add_argument("--batch", type=int, default=8, help="images that are measured")
    parser.add_argument("--steps", type=int, default=20, help="of each case")
    group = parser.add_argument_group("the plan")
    group.add_argument("--image-seconds", type=float, default=3.26, help="of a step, one device")
    group.add_argument("--images", type=int, default=2, help="of each device")
    group.add_argument("--parameters", type=float, default=44.4e6, help="that are trained")
    group.add_argument("--devices-per-host", type=int, default=1)
    group.add_argument("--link", type=float, default=100, help="GB/s between devices of a host")
    group.add_argument("--network", type=float, default=12.5, help="GB/s between hosts")
    group.add_argument("--latency", type=float, default=2e-5, help="seconds of a message")
    group.add_argument("--load-seconds", type=float, default=0.0365, help="of an image, one core")
    group.add_argument("--cores", type=int, default=2, help="of a host")
    arguments = parser.parse_args()
    (measure if arguments.measure else print_plan)(arguments)


if __name__ == "__main__":
    main()
