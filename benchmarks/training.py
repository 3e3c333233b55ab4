"""How near a training step comes to the machine's arithmetic limit.

python benchmarks/training.py
KERAS_BACKEND=jax python benchmarks/training.py --sides 1024 --batch 8 --steps 20 --peer torchvision

ResNet-50 in matterport's numerics, 81 classes, all layers trained, BatchNorm fixed, 200 ROIs an
image, mask head on the 66 that may be positive, random weights; 70 objects an image, so that
torchvision, whose mask head runs on the positives it finds, has as many. The floor is the time of
the multiply-adds of the network and of its two gradients (by features and by weights; the first
convolution has only the second) at the rate of this machine's own float32 matrix product. Every
case is a process of its own, for its peak memory; stock `fit`, median of several epochs of
`--steps` steps, after one to warm up. With `--peer` the epochs of ours and of the peer alternate in
that process. The peer's peak memory is known only on a GPU, where each library counts its own.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import signal
import statistics
import time

import peer

CLASSES, ROIS, OBJECTS = 81, 200, 70


def make_config(side, precision, batch, xla, again):
    from mrcnn.config import Config

    class BenchmarkConfig(Config):
        NAME = "benchmark"
        BACKBONE = "resnet50"
        NUM_CLASSES = CLASSES
        IMAGE_MIN_DIM = IMAGE_MAX_DIM = side
        IMAGES_PER_GPU = batch
        TRAIN_ROIS_PER_IMAGE = ROIS
        PRECISION = precision
        JIT_COMPILE = xla
        REMATERIALIZE = again

    return BenchmarkConfig()


def make_batch(config):
    """Random images and objects, as `DataGenerator` gives them."""
    import numpy as np

    from mrcnn.image import compose_image_meta

    rng, side = np.random.default_rng(0), config.IMAGE_MAX_DIM
    batch, limit = config.BATCH_SIZE, config.MAX_GT_INSTANCES
    class_ids, boxes = np.zeros((batch, limit), np.int32), np.zeros((batch, limit, 4), np.float32)
    class_ids[:, :OBJECTS] = rng.integers(1, CLASSES, (batch, OBJECTS))
    size = np.exp(rng.uniform(np.log(16), np.log(side / 2), (batch, OBJECTS, 2)))
    corner = rng.uniform(0, side - size)
    boxes[:, :OBJECTS] = np.around(np.concatenate([corner, corner + size], axis=-1))
    shape = (side, side, 3)
    active = np.ones(CLASSES, np.int32)
    meta = compose_image_meta(0, shape, shape, (0, 0, side, side), 1.0, active)
    return {
        "input_image": rng.normal(0, 50, (batch, *shape)).astype(np.float32),
        "input_image_meta": np.stack([meta] * batch),
        "input_gt_class_ids": class_ids,
        "input_gt_boxes": boxes,
        "input_gt_masks": np.ones((batch, *config.MINI_MASK_SHAPE, limit), bool),
    }


def step_multiply_adds(model, config):
    """Of the losses and their gradients."""
    import machine
    import keras

    losses = model.outputs[-len(model.loss_names) :]
    graph = keras.Model(model.inputs, losses)
    sides = (config.IMAGE_MAX_DIM, config.IMAGE_MAX_DIM)
    counts = machine.multiply_adds(graph, machine.sized(graph, config.BATCH_SIZE, sides))
    return 3 * sum(counts.values()) - counts["conv1"]


def our_epochs(config, batch, steps):
    """Our network, and a function that trains an epoch: its seconds and its losses by name."""
    import keras

    from mrcnn.model import MaskRCNN

    model = MaskRCNN("training", config, "logs")
    model.set_trainable(".*", verbose=0)
    # So slow that random weights stay finite.
    model.compile(1e-7, config.LEARNING_MOMENTUM)

    class Constant(keras.utils.PyDataset):
        def __len__(self):
            return steps

        def __getitem__(self, index):
            return (batch,)

    class Watch(keras.callbacks.Callback):
        # Not from on_epoch_begin: Keras then deletes the iterator of the epoch before, which
        # blocks for up to seconds. Not on_train_batch_end: Keras would wait for every step.
        def on_train_batch_begin(self, index, logs=None):
            if index == 0:
                self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.start

    network, data, watch = model.keras_model, Constant(), Watch()

    def train():
        history = network.fit(data, verbose=0, callbacks=[watch]).history
        return watch.seconds, {name: value for name, (value,) in history.items()}

    return network, train


def peer_epochs(side, precision, batch, steps):
    """A function that trains an epoch of the peer's network: its seconds."""
    objects = batch["input_gt_boxes"][:, :OBJECTS], batch["input_gt_class_ids"][:, :OBJECTS]
    images = batch["input_image"] / 255 + 0.5
    take_steps = peer.trainer(side, CLASSES, ROIS, precision, images, *objects)

    def train():
        start = time.perf_counter()
        take_steps(steps)
        return time.perf_counter() - start

    return train


def measure(side, precision, xla, again, args):
    """One case, in a process of its own: a dict of numbers."""
    import machine
    import keras

    keras.utils.set_random_seed(0)
    dtypes = machine.rate_dtypes(precision)
    before = machine.rates(dtypes)
    config = make_config(side, precision, args.batch, xla, again)
    batch = make_batch(config)
    network, train = our_epochs(config, batch, args.steps)
    first, losses = train()
    if args.peer:
        memory = peak_memory()  # before the peer takes its own
        train_peer = peer_epochs(side, precision, batch, args.steps)
        train_peer()
    times, processor_times, peer_times = [], [], []
    for _ in range(args.repeats):
        began = time.process_time()
        seconds, losses = train()
        processor_times.append((time.process_time() - began) / args.steps)
        times.append(seconds / args.steps)
        if args.peer:
            peer_times.append(train_peer() / args.steps)
    if not args.peer:
        memory = peak_memory()
    gmac = step_multiply_adds(network, config) / 1e9
    rates = machine.best_rates(before, machine.rates(dtypes))
    step = statistics.median(times)
    floor = 2e9 * gmac / rates["matmul float32"]
    dtype = keras.DTypePolicy(precision).compute_dtype
    row = {
        "side": side,
        "precision": precision,
        "xla": xla,
        "rematerialize": again,
        "batch": args.batch,
        "first_epoch_s": first,
        "step_s": step,
        "processor_s": statistics.median(processor_times),
        "images_per_s": args.batch / step,
        "gmac": gmac,
        "floor_s": floor,
        "ratio": step / floor,
        "share_of_peak": 2e9 * gmac / step / rates[f"matmul {dtype}"],
        "losses": losses,
        "peak_memory_gb": memory / 1e9,
        "rates_gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "machine": machine.describe(),
    }
    if args.peer:
        peer_step, memory = statistics.median(peer_times), peer_peak_memory()
        row |= {
            "torchvision_s": peer_step,
            "times_torchvision": peer_step / step,
            "torchvision_peak_memory_gb": memory and memory / 1e9,
        }
    return row


def in_own_process(function, *args):
    """What a function returns in a new process; exits with what became of it if it died.

    Its own error is on the terminal by then.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, args))
    process.start()
    sender.close()  # the process holds the only one now: without it there is an end of file
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise SystemExit(f"The process of {args} died with {how}.") from None


def _send(sender, function, args):
    sender.send(function(*args))


def peak_memory():
    """Bytes: of the GPU where there is one, else resident in main memory."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        found = jax.devices()[0].memory_stats()
        if found:
            return found["peak_bytes_in_use"]
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peer_peak_memory():
    """Bytes of the GPU; None without one: resident memory is that of both networks."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def kind_of(row):
    """How a row's steps were computed."""
    again = ", REMATERIALIZE" if row["rematerialize"] else ""
    return row["precision"] + (", XLA" if row["xla"] else "") + again


def show(row):
    print(
        f"| ours, {kind_of(row)} | {row['side']} | {row['batch']} | {row['step_s']:.2f} | "
        f"{row['processor_s']:.1f} | {row['floor_s']:.2f} | {row['ratio']:.2f} | "
        f"{row['images_per_s']:.2f} | {row['peak_memory_gb']:.1f} |",
        flush=True,
    )
    if "torchvision_s" in row:
        step, memory = row["torchvision_s"], row["torchvision_peak_memory_gb"]
        print(
            f"| torchvision, {row['precision']}: {row['times_torchvision']:.2f} times ours | "
            f"{row['side']} | {row['batch']} | {step:.2f} | | | | {row['batch'] / step:.2f} | "
            f"{'' if memory is None else f'{memory:.1f}'} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[512])
    parser.add_argument(
        "--precisions", nargs="+", default=["float32", "mixed_bfloat16"], metavar="PRECISION"
    )
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1, help="of an epoch; more on a GPU")
    parser.add_argument("--repeats", type=int, default=5, help="epochs that are timed")
    parser.add_argument("--xla", action="store_true", help="both with and without XLA")
    parser.add_argument(
        "--rematerialize", action="store_true", help="both without and with REMATERIALIZE"
    )
    parser.add_argument("--peer", choices=["torchvision"], help="its epochs in turn with ours")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()

    if args.peer:
        peer.share_gpu()  # the processes below inherit it
    cases = [
        (side, precision, xla, again, args)
        for side, precision in itertools.product(args.sides, args.precisions)
        for xla in ([False, True] if args.xla else [False])
        for again in ([False, True] if args.rematerialize else [False])
    ]
    if not args.json:
        print(
            "| step | side | batch | s | s of the processor | floor, s | ratio | images/s | "
            "peak memory, GB |"
        )
        print("| --- " * 9 + "|", flush=True)
    rows = []
    for case in cases:
        rows.append(in_own_process(measure, *case))
        if not args.json:
            show(rows[-1])
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print("\nlosses of the last epoch:")
    for row in rows:
        values = ", ".join(f"{name} {value:.4f}" for name, value in row["losses"].items())
        print(f"{kind_of(row)}: {values}")
    print(rows[0]["machine"])


if __name__ == "__main__":
    main()
