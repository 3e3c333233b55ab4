"""Batches that threads make ahead: all workers at once, in order, and no more than needed."""

import threading
import time

import keras
import pytest
from tiny import TinyConfig, shapes

from mrcnn.data.generator import DataGenerator
from mrcnn.training.loop import load_ahead, to_tf_dataset


class Numbered:
    """A generator of numbers that says how many threads make them at once."""

    def __init__(self, count, workers):
        self.count, self.workers, self.asked = count, workers, []
        self.together = threading.Barrier(workers) if workers > 1 else None

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        if self.together:  # breaks after its seconds unless all workers are here at once
            self.together.wait(10)
        time.sleep(0.01 * (index % 2 == 0))  # an even one is ready after the odd one that follows
        return (index,)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_made_by_the_workers_and_come_in_order(workers):
    assert list(load_ahead(Numbered(6, workers))) == [(i,) for i in range(6)]


def test_few_batches_are_made_ahead():
    generator = Numbered(100, 1)
    batches = load_ahead(generator)
    next(batches)
    batches.close()  # an epoch that ends early waits for no others
    # One in work and one in line; those after them are never made.
    assert len(generator.asked) <= 2


def test_an_error_of_a_worker_is_raised_at_its_batch():
    class Broken(Numbered):
        def __getitem__(self, index):
            if index == 2:
                raise ValueError("batch 2")
            return (index,)

    batches = load_ahead(Broken(6, 2))
    assert next(batches) == (0,) and next(batches) == (1,)
    with pytest.raises(ValueError, match="batch 2"):
        next(batches)


def test_batches_of_open_sizes_do_not_depend_on_the_workers():
    """As `fit` takes them: two epochs, each of its own order."""
    config = TinyConfig()
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM, config.IMAGES_PER_GPU = "pad64", None, 1
    epochs = {}
    for workers in (1, 4):
        generator = DataGenerator(shapes(8), config, workers=workers)
        inputs = [
            keras.Input((None, None, 3), name="input_image"),
            keras.Input((12 + config.NUM_CLASSES,), name="input_image_meta"),
        ]
        dataset = to_tf_dataset(generator, inputs)
        epochs[workers] = [
            [batch["input_image_meta"].numpy()[0, 0] for (batch,) in dataset] for _ in range(2)
        ]
    assert epochs[1] == epochs[4] and epochs[1][0] != epochs[1][1]
    assert sorted(epochs[1][0]) == list(range(8))
