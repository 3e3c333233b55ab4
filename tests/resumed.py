"""A training that is interrupted anywhere and resumed, beside the same one undisturbed.

As a script: `python resumed.py FOLDER KEYS` trains in FOLDER/killed, and goes on with what it finds
there. With `--kill-in-step` the process kills itself in that step, or some seconds after it began;
without it prints whether the weights are those of an undisturbed training, in FOLDER/undisturbed.
"""

import argparse
import json
import os
import signal
import threading

import keras
import numpy as np
from tiny import TinyConfig, shapes

from mrcnn.model import MaskRCNN

EPOCHS, STEPS = 3, 4


def config(keys):
    return type("Resumed", (TinyConfig,), {"STEPS_PER_EPOCH": STEPS, **keys})()


class Fresh:
    """One model, whose step is traced once, made new again for each training."""

    def __init__(self, keys, folder):
        self.keys, self.model = keys, MaskRCNN("training", config(keys), folder)
        self.variables = self.model.keras_model.variables
        self.values = [np.array(keras.ops.convert_to_numpy(x)) for x in self.variables]

    def __call__(self, folder, **keys):
        """The model as if it had been built now, to write into `folder`."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)
        given = {"STEPS_PER_EPOCH": STEPS, **NOTHING, **self.keys, **keys}
        vars(self.model.config).update(given)
        self.model.model_dir = str(folder)
        self.model.set_log_dir()
        return self.model


NOTHING = {"EARLY_STOPPING": None, "CHECKPOINT_MINUTES": 10, "LEARNING_SCHEDULE": "constant"}


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def weights(model):
    return [np.array(weight) for weight in model.keras_model.get_weights()]


class Signal(keras.callbacks.Callback):
    """Sends this process a signal while its n-th step runs, or its n-th evaluation; or some seconds
    after that step began, whatever happens then."""

    def __init__(self, number, step=None, test=None, seconds=0.0):
        super().__init__()
        self.number, self.left, self.tests, self.seconds = number, step, test, seconds

    def on_train_batch_begin(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if self.left == 0 and self.seconds:
                send = threading.Timer(self.seconds, os.kill, (os.getpid(), self.number))
                send.start()
            elif self.left == 0:
                os.kill(os.getpid(), self.number)

    def on_test_batch_begin(self, batch, logs=None):
        if self.tests is not None:
            self.tests -= 1
            if self.tests == 0:
                os.kill(os.getpid(), self.number)


def train(model, callbacks=(), epochs=EPOCHS, rate=0.01, resume=True):
    """Trains all layers, and returns Keras's history."""
    return model.train(
        *(shapes(6), shapes(2, seed=5), rate, epochs, "all"),
        augmentation=flip,
        custom_callbacks=list(callbacks),
        resume=resume,
    )


def flip(image, masks, rng):
    return (image[:, ::-1], masks[:, ::-1]) if rng.random() < 0.5 else (image, masks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("keys", type=json.loads)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--kill-in-step", type=int)
    parser.add_argument("--seconds", type=float, default=0.0)
    args = parser.parse_args()
    fresh = Fresh(args.keys, args.folder)
    model = fresh(os.path.join(args.folder, "killed"))
    kill = Signal(signal.SIGKILL, args.kill_in_step, seconds=args.seconds)
    train(model, [kill], args.epochs)
    killed = weights(model)
    train(fresh(os.path.join(args.folder, "undisturbed")), epochs=args.epochs)
    print("same" if same(killed, weights(model)) else "different")


if __name__ == "__main__":
    main()
