"""What a training has in memory at the end of each epoch.

python benchmarks/training_memory.py
KERAS_BACKEND=jax python benchmarks/training_memory.py

The demonstration's network, with everything that a training may do at the end of an epoch:
validation, evaluation with pictures, a checkpoint, of which the last two are kept, and the state.
Prints a row an epoch, and by how much the later half of them grew in a hundred steps. Needs Linux.
"""

import argparse
import gc
import tempfile
from pathlib import Path

import machine
import keras
import numpy as np

from mrcnn.demo import DemoConfig, shapes
from mrcnn.model import MaskRCNN
from mrcnn.training import EvaluateCallback


def resident():
    """Bytes of this process that lie in memory now, and the most that ever did."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return [1024 * int(found[name].split()[0]) for name in ("VmRSS", "VmHWM")]


class Watch(keras.callbacks.Callback):
    """Notes `resident` when an epoch is over and what it left is collected."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_begin(self, epoch, logs=None):
        gc.collect()
        self.rows.append(resident())

    def on_train_end(self, logs=None):
        self.on_epoch_begin(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50, help="of an epoch; default 50")
    arguments = parser.parse_args()
    config = DemoConfig()
    config.STEPS_PER_EPOCH, config.VALIDATION_STEPS = arguments.steps, 5
    config.CHECKPOINTS_KEPT = 2
    watch, val = Watch(), shapes(20, config, 1)
    with tempfile.TemporaryDirectory() as folder:
        model = MaskRCNN("training", config, folder)
        model.train(
            *(shapes(200, config, 0), val, 0.01, arguments.epochs, "all"),
            custom_callbacks=[EvaluateCallback(model, val), watch],
        )
    print(" | ".join(f"{name}: {text}" for name, text in machine.describe().items() if text))
    print("| after epoch | in memory, MB | at most until then, MB |")
    print("| --- | --- | --- |")
    for epoch, (now, most) in enumerate(watch.rows):
        print(f"| {epoch} | {now / 1e6:.0f} | {most / 1e6:.0f} |")
    later = [now / 1e6 for now, _ in watch.rows][len(watch.rows) // 2 :]
    slope = np.polyfit(np.arange(len(later)), later, 1)[0] / arguments.steps * 100
    print(f"the later half grew by {slope:.2f} MB in a hundred steps")


if __name__ == "__main__":
    main()
