"""The first convolution for another channel count: the sum over channels stays."""

import numpy as np
import pytest
from keras import layers
from tiny import TinyConfig

from mrcnn.model import MaskRCNN
from mrcnn.network.named_weights import named_weights
from mrcnn.weights.input_channels import adapt_channels, differs_in_channels


def kernel(*values):
    """[1, 1, C, 1]."""
    return np.reshape(np.array(values, np.float32), (1, 1, -1, 1))


@pytest.mark.parametrize(
    ("before", "count", "after"),
    [
        ([1, 2, 6], 1, [9]),  # the sum
        ([1, 2, 6], 2, [4.5, 4.5]),
        ([1, 2, 6], 4, [0.75, 1.5, 4.5, 2.25]),  # (1, 2, 6 and their mean 3) * 3 / 4
        ([1, 2, 6], 6, [0.5, 1, 3, 1.5, 1.5, 1.5]),  # * 3 / 6
        ([9], 3, [3, 3, 3]),
        ([4, 2], 4, [1.5] * 4),
        ([1, 2, 6, 3], 3, [2, 3, 7]),  # the fourth's 3 is shared by three
        ([1, 2, 6, 3, 3], 4, [1.75, 2.75, 6.75, 3.75]),
    ],
)
def test_kernels_by_hand(before, count, after):
    found = adapt_channels(kernel(*before), count)
    np.testing.assert_allclose(found.ravel(), after, rtol=1e-6)
    assert found.shape == (1, 1, count, 1) and found.dtype == np.float32
    assert sum(after) == sum(before)  # equal channels are answered as before


def test_each_output_and_place_is_adapted_by_itself():
    before = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)
    found = adapt_channels(before, 4)
    # At (0, 0) output 1 has 1, 3, 5: * 3 / 4, and their mean 3.
    np.testing.assert_allclose(found[0, 0, :, 1], [0.75, 2.25, 3.75, 2.25])
    np.testing.assert_allclose(found.sum(axis=2), before.sum(axis=2))


def test_only_input_channels_may_differ():
    assert differs_in_channels((3, 3, 3, 8), (3, 3, 4, 8))
    assert not differs_in_channels((3, 3, 3, 9), (3, 3, 4, 8))
    assert not differs_in_channels((3, 8), (4, 8))


def rgb_backbone(input_image, stage5=True, train_bn=None):
    """A first convolution without padding effects: 1x1, then one pooling a stage."""
    x, features = layers.Conv2D(4, 1, name="first")(input_image), []
    for _ in range(5):
        x = layers.AveragePooling2D(2)(x)
        features.append(x)
    return features


def model_of(count, folder, mode="training"):
    class Channeled(TinyConfig):
        BACKBONE = rgb_backbone
        IMAGE_CHANNEL_COUNT = count
        MEAN_PIXEL = np.full(count, 100.0)

    return MaskRCNN(mode, Channeled(), folder)


@pytest.fixture(scope="module")
def rgb(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rgb")
    model = model_of(3, folder)
    model.save_weights(folder / "rgb.h5")
    return model, folder / "rgb.h5"


@pytest.mark.slow
def test_a_grey_model_gives_what_the_rgb_model_gave(rgb, tmp_path):
    model, path = rgb
    grey = model_of(1, tmp_path)
    with pytest.warns(UserWarning, match=r"adapted to IMAGE_CHANNEL_COUNT, first/kernel: file 3"):
        report = grey.load_weights(path)
    assert report["adapted"] == ["first/kernel: file 3, model 1 channels"]
    assert "first/kernel" in report["loaded"] and not report["missing"]
    assert "1 adapted" in repr(report)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    expected, found = model.detect([picture])[0], grey.detect([picture])[0]
    assert len(expected["rois"])
    np.testing.assert_array_equal(found["rois"], expected["rois"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    np.testing.assert_array_equal(found["masks"], expected["masks"])


@pytest.mark.slow
def test_own_checkpoints_of_other_counts_and_strict_otherwise(rgb, tmp_path):
    four = model_of(4, tmp_path)
    with pytest.warns(UserWarning, match="file 3, model 4 channels"):
        four.load_weights(rgb[1])
    weights = {name: weight.numpy() for name, weight in named_weights(four.keras_model).items()}
    before = named_weights(rgb[0].keras_model)["first/kernel"].numpy()
    np.testing.assert_allclose(weights["first/kernel"][:, :, :3], before * 0.75, rtol=1e-6)
    four.save_weights(tmp_path / "four.h5")
    with pytest.warns(UserWarning, match="file 4, model 3 channels"):
        model_of(3, tmp_path).load_weights(tmp_path / "four.h5")
    same = model_of(4, tmp_path).load_weights(tmp_path / "four.h5")  # no warning: nothing adapted
    assert not same["adapted"]
    with pytest.raises(ValueError, match=r"of another shape: first/kernel: file \(1, 1, 4, 4\)"):
        model_of(3, tmp_path, "inference").load_weights(tmp_path / "four.h5")
