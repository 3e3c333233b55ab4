"""What a training step takes on more devices: a model of it, and what this machine says of it.

python benchmarks/scale.py --image-seconds 3.26                    # a plan for 8, 64, 512 devices
KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
    python benchmarks/scale.py --measure 1 2 4 8                   # devices of this processor
python benchmarks/scale.py --processes 2 4                         # which talk over sockets

A step lasts as long as its slowest part: computing the images of a device and adding the gradients
of all devices in a ring; or reading the images of a host. Nothing is taken to overlap but reading.

Measured is the demonstration's network in one global batch on more and more virtual devices, or
processes, which share the processor's cores: computing takes as long for all of them as for one.
Link and latency are fitted by two sums of different bytes on the smallest number above one; with
them the plan says what a step takes on each number, and how far that is from what was measured.
Idle is what is neither computing, as on one, nor adding, as that sum alone. Times are medians; the
cases take turns. The bytes that devices exchange are read from the compiled step.
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import time

DEVICES = 8, 64, 512
LARGEST = 512  # batch that docs/scale.md has a recipe for
MORE = 4  # times as many bytes are in the second sum
_COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\("
)
_ANSWER = re.compile(r"measured: (.*)")  # of a process
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
        exchanged: int, bytes that a step has the devices exchange.
    """

    devices: int
    step: float
    sums: list
    exchanged: int


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
        exchanged = case.exchanged / 1e6
        print(
            f"| {case.devices} | {case.step:.4f} | {planned['step']:.4f} | {100 * error:+.1f} % "
            f"| {adding:.4f} | {planned['adding']:.4f} | {100 * idle:.1f} % | {exchanged:.3f} |"
        )


class Case:
    """A training step of one batch on all devices of all hosts, and sums of such gradients.

    Args:
        devices: int.
        batch: int, images on all of them.

    Attributes:
        exchanged: int, bytes that a step has the devices exchange.
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
        weights = self.model.keras_model.trainable_weights
        self.bytes = 4 * sum(math.prod(weight.shape) for weight in weights)
        step, self.exchanged = self._step(shapes(batch, self.model.config, 0))
        self._functions = step, self._sum(1), self._sum(MORE)
        self.run()  # once without the clock: the sums are compiled

    def run(self):
        """Seconds of a step and of each sum."""
        found = []
        for function in self._functions:
            began = time.perf_counter()
            function()
            found.append(time.perf_counter() - began)
        return found

    def _step(self, data):
        """A function that runs a training step, and the bytes that the devices exchange in it."""
        import jax

        devices = self.model.devices
        generator = self.model.generator_type(data, self.model.settings, share=devices.share)
        batch = devices.place(*generator[0], generator.images_of(0))
        data = (*batch, None, None)[:3]  # what is given, targets, weights of the images
        model = self.model.keras_model
        kinds = ("trainable", "non_trainable", "optimizer", "metrics")
        state = model._get_jax_state(**{f"{kind}_variables": True for kind in kinds})
        with devices.scope():
            step = jax.jit(model.train_step, out_shardings=(None, model._get_state_sharding_spec()))
        with devices.tracing():
            compiled = step.lower(state, data).compile()
        run = functools.partial(compiled, state, data)
        return lambda: jax.block_until_ready(run()), exchanged_bytes(compiled.as_text())

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


class Processes:
    """A `Case` on processes of one device each, which wait for their turn.

    Args:
        count: int.
        batch: int, images on all of them.
    """

    def __init__(self, count, batch):
        self.devices = count
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "{}:{}".format(*free.getsockname())
        self._started = [self._start(index, address, batch) for index in range(count)]
        self.bytes, self.exchanged = self._read()[0]

    def run(self):
        """Seconds of a step and of each sum, of the process that took longest."""
        for process in self._started:
            print(file=process.stdin, flush=True)
        return list(map(max, zip(*self._read(), strict=True)))

    def end(self):
        """Ends them."""
        for process in self._started:
            process.stdin.close()
        for process in self._started:
            process.wait()

    def _start(self, index, address, batch):
        words = [sys.executable, __file__, "--batch", str(batch), "--process", str(index)]
        words += [str(self.devices), address]
        environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": ""}
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, env=environment, text=True)

    def _read(self):
        """The next answer of each process; what else they print is left out."""
        found = [next(filter(None, map(_ANSWER.match, x.stdout)), None) for x in self._started]
        if None in found:
            sys.exit("a process ended without an answer; what it said stands above")
        return [json.loads(answer[1]) for answer in found]


def work(arguments):
    """One of `Processes`."""
    index, count, address = arguments.process
    if int(count) > 1:
        import machine  # noqa: F401  finds mrcnn in this clone

        from mrcnn.parallel import hosts

        hosts.join([address] * int(count), int(index))
    case = Case(int(count), arguments.batch)
    print("measured:", [case.bytes, case.exchanged], flush=True)
    for _ in sys.stdin:
        print("measured:", case.run(), flush=True)


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
    """Cases by turns, and what the plan says of each."""
    kind, counts = (
        (Case, arguments.measure) if arguments.measure else (Processes, arguments.processes)
    )
    cases = [kind(count, arguments.batch) for count in sorted({1, *counts})]
    seconds = [[case.run() for case in cases] for _ in range(arguments.steps)]
    found = []
    for case, times in zip(cases, zip(*seconds, strict=True), strict=True):
        step, *sums = map(statistics.median, zip(*times, strict=True))
        sums = list(zip((case.bytes, MORE * case.bytes), sums, strict=True))
        found.append(Measured(case.devices, step, sums, case.exchanged))
    print_measured(found, arguments.batch)
    for case in cases if arguments.processes else []:
        case.end()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--measure", type=int, nargs="+", metavar="DEVICES", help="of this process")
    what.add_argument("--processes", type=int, nargs="+", metavar="N", help="of a device each")
    what.add_argument("--process", nargs=3, help=argparse.SUPPRESS)
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
    if arguments.process:
        work(arguments)
    elif arguments.measure or arguments.processes:
        measure(arguments)
    else:
        print_plan(arguments)


if __name__ == "__main__":
    main()
