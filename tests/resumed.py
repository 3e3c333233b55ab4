"""A training that is interrupted anywhere and resumed, beside the same one undisturbed.

As a script: `python resumed.py FOLDER KEYS [STEP]` trains in FOLDER, resumes what it finds there,
and writes the final weights to FOLDER/final.npz. With STEP the process kills itself before it.
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
    callbacks = [Signal(signal.SIGKILL, int(step[0]))] if step else []
    model = MaskRCNN("training", config(json.loads(keys)), folder)
    train(model, callbacks)
    np.savez(os.path.join(folder, "final.npz"), *weights(model))


if __name__ == "__main__":
    main()
