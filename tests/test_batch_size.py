"""`IMAGES_PER_GPU = -1`: how many images fit, worked out by hand, and measured."""

import types

import numpy as np
import pytest
from tiny import TinyConfig, shapes

from mrcnn.architectures.training import ModelTraining
from mrcnn.model import MaskRCNN
from mrcnn.settings import Settings
from mrcnn.training.batch_size import StepMemory, largest_batch
from mrcnn.training.resuming import check_same
from mrcnn.training.state import Position


@pytest.mark.parametrize(
    ("base", "image", "limit", "size"),
    [
        (100, 50, 1000, 14),  # 100 + 14 * 50 = 800, which is 80 % of 1000
        (100, 50, 1050, 14),  # 840 are 14.8 images
        (100, 800, 1000, 1),  # two do not fit, one does
        (0, 1, 10**6, 64),  # no more than that
    ],
)
def test_batches_take_four_fifths_of_the_memory(base, image, limit, size):
    assert largest_batch(lambda images: base + image * images, limit) == size


def test_what_was_there_before_may_hide_small_batches():
    # The peak stays 500 up to 8 images of 50 beside 100; 16 need 900, 400 more for 15 more.
    def measure(images):
        return max(500, 100 + 50 * images)

    assert largest_batch(measure, 2000) == 1 + (1600 - 500) // (400 / 15)


def test_no_image_fits():
    with pytest.raises(MemoryError, match=r"a step of one image needs more than 1.0 GiB"):
        largest_batch(lambda images: images * 2**31, 2**30)


@pytest.mark.thorough
@pytest.mark.slow
def test_a_training_takes_what_fits_and_is_what_it_was(tmp_path, monkeypatch, capsys):
    config = TinyConfig()
    config.IMAGES_PER_GPU, config.STEPS_PER_EPOCH = -1, 1
    model = MaskRCNN("training", config, tmp_path)
    before = [np.array(weight) for weight in model.keras_model.get_weights()]
    measured = []

    def measure(self, images):
        measured.append(StepMemory_measure(self, images))
        return 2**20 * images

    StepMemory_measure = StepMemory.measure
    monkeypatch.setattr(StepMemory, "measure", measure)
    monkeypatch.setattr("mrcnn.training.device_memory._Process.limit", lambda self: 5 * 2**20)
    seen = []
    monkeypatch.setattr(
        "mrcnn.architectures.training.fit",
        lambda model, generator, *_: seen.append((model.get_weights(), generator.batch_size)),
    )
    model.train(shapes(8), None, 0.01, 1, "heads")
    ((weights, size),) = seen
    assert size == config.IMAGES_PER_GPU == 4  # 80 % of 5
    assert "IMAGES_PER_GPU = 4: as many as fit" in capsys.readouterr().out
    assert len(measured) == 2 and all(bytes_ > 2**26 for bytes_ in measured)
    for a, b in zip(before, weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_that_goes_on_has_its_batch_on_any_number_of_devices():
    # 18 images fitted; 4 x 4 = 16 would be another training.
    config = TinyConfig()
    config.IMAGES_PER_GPU, config.GPU_COUNT = -1, 4
    devices = types.SimpleNamespace(count=4, share="of one of two hosts")
    model = types.SimpleNamespace(
        config=config, settings=Settings.from_config(config), devices=devices
    )
    saved = "state", Position({"images of a batch": 18})
    ModelTraining._fit_batch(model, saved, ".*", None, {})
    assert model.settings.runtime.batch_size == config.BATCH_SIZE == 18
    assert config.IMAGES_PER_GPU == 4 and not model.settings.runtime.measured
    with pytest.raises(ValueError, match="IMAGES_PER_GPU is -1, as many as fit, which each host"):
        ModelTraining._fit_batch(model, None, ".*", None, {})


def test_another_batch_is_told_with_the_key_that_sets_it():
    # GPU_COUNT = 2 in place of 8, with IMAGES_PER_GPU = 2.
    message = r"images of a batch 16, now 4\): resume with what it was given, BATCH_SIZE = 16, or"
    with pytest.raises(ValueError, match=message):
        check_same("state", Position({"images of a batch": 16}), {"images of a batch": 4})
