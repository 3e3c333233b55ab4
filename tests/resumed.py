"""A training that is interrupted anywhere and resumed, beside the same one undisturbed.

As a script: `python resumed.py FOLDER KEYS [STEP]` trains in FOLDER/killed, and goes on with what
it finds there. With STEP the process kills itself in that step; without it prints whether the
weights are those of an undisturbed training, in FOLDER/undisturbed.
"""

import json
import os
import signal
import sys

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
    """Sends this process a signal while its n-th step runs, or its n-th evaluation."""

    def __init__(self, number, step=None, test=None):
        super().__init__()
        self.number, self.left, self.tests = number, step, test

    def on_train_batch_begin(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
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
    folder, keys, *step = sys.argv[1:]
    fresh = Fresh(json.loads(keys), folder)
    model = fresh(os.path.join(folder, "killed"))
    train(model, [Signal(signal.SIGKILL, int(step[0]))] if step else [])
    killed = weights(model)
    train(fresh(os.path.join(folder, "undisturbed")))
    print("same" if same(killed, weights(model)) else "different")


if __name__ == "__main__":
    main()
