"""What a user is told when memory runs out."""

import pytest

from mrcnn.config import Config
from mrcnn.settings import Settings
from mrcnn.training.memory import advice, is_out_of_memory


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (ResourceExhaustedError("OOM when allocating tensor with shape[8,256,512,512]"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes"), True),
        (ValueError("Image 3 has room for improvement"), False),
    ],
    ids=["python", "tensorflow", "jax", "another"],
)
def test_which_errors_are_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_advice_names_what_can_be_changed():
    config = Config()
    config.NAME, config.NUM_CLASSES, config.IMAGES_PER_GPU = "x", 2, 4
    text = advice(Settings.from_config(config))
    assert "IMAGES_PER_GPU = 1 (it is 4), with ACCUMULATION_STEPS = 4" in text
    assert 'PRECISION = "mixed_bfloat16"' in text and "TRAIN_ROIS_PER_IMAGE below 200" in text
    assert "IMAGE_MAX_DIM = 512 (it is 1024): a quarter" in text and "USE_MINI_MASK" not in text
    config.IMAGES_PER_GPU, config.PRECISION, config.IMAGE_MAX_DIM = 1, "mixed_bfloat16", 320
    config.IMAGE_MIN_DIM, config.USE_MINI_MASK = 320, False
    text = advice(Settings.from_config(config))
    assert "IMAGES_PER_GPU" not in text and "PRECISION" not in text and "USE_MINI_MASK" in text
    assert "IMAGE_MAX_DIM = 128 (it is 320)" in text
