"""Mean, standard deviation and range of a data set's channels, and `mrcnn stats`."""

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn import cli
from mrcnn.config import Config
from mrcnn.config_values import apply_assignments
from mrcnn.data import Dataset, pixel_statistics
from mrcnn.data import pixel_values as module
from mrcnn.presets import PRESETS
from mrcnn.weights.families import input_spread


class Arrays(Dataset):
    """Pictures that are arrays in memory."""

    def __init__(self, *images):
        super().__init__()
        self.images = images
        for i in range(len(images)):
            self.add_image("x", i, None)
        self.prepare()

    def load_image(self, image_id):
        return self.images[image_id]


def test_two_pictures_by_hand():
    # Channel 0: 1, 3, 5, 7: mean 4, squares 9 + 1 + 1 + 9 = 20, 20 / 4 = 5. Channel 1: 2 always.
    found = pixel_statistics(
        Arrays(np.array([[[1, 2], [3, 2], [5, 2]]], np.uint8), np.array([[[7.0, 2.0]]], np.float32))
    )
    assert found.mean.tolist() == [4, 2] and found.std.tolist() == [5**0.5, 0]
    assert found.low.tolist() == [1, 2] and found.high.tolist() == [7, 2]
    assert (found.pictures, found.pixels, found.dtypes) == (2, 4, ("float32", "uint8"))
    assert found.constant == [1]
    # 5 ** 0.5 = 2.2361; over a spread of 50: 0.044721
    assert found.normalising() == {"MEAN_PIXEL": [4.0, 2.0], "STD_PIXEL": [2.2361, 1.0]}
    assert found.normalising(50)["STD_PIXEL"] == [0.044721, 1.0]


def test_blocks_and_pictures_are_as_numpy_has_all_at_once(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    images = [rng.normal(3, 2, (5, 4, 2)), rng.normal(-1, 9, (2, 9, 2)), rng.random((1, 1, 2))]
    images = [image.astype(np.float32) for image in images]
    found = pixel_statistics(Arrays(*images))
    pixels = np.concatenate([x.reshape(-1, 2) for x in images]).astype(np.float64)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-12)


def test_a_large_mean_loses_nothing():
    # Of 2**26 and 2**26 + 8 the squares have no room for the difference: E[x^2] - E[x]^2 of them in
    # float64 is 16 plus or minus their last place, which is 1, over thousands of pixels far more.
    far = [np.full((50, 50, 1), value, np.float32) for value in (2.0**26, 2.0**26 + 8)]
    found = pixel_statistics(Arrays(*far))
    assert found.mean.tolist() == [2.0**26 + 4] and found.std.tolist() == [4.0]


def test_values_are_those_that_reach_the_network():
    # 16 bits are divided by 257: 514 and 1028 become 2 and 4.
    deep = Arrays(np.array([[[514, 1028]]], np.uint16))
    assert pixel_statistics(deep).mean.tolist() == [2, 4]
    # Grey is repeated where the config has three channels, and rounded: 300 / 257 = 1.17.
    grey = Arrays(np.array([[300, 1028]], np.uint16))
    with pytest.warns(UserWarning, match="grey levels"):
        assert pixel_statistics(grey, Config()).mean.tolist() == [2.5] * 3
    assert pixel_statistics(grey).mean.tolist() == pytest.approx([664 / 257])


def test_pictures_of_other_channels_are_named():
    with pytest.raises(ValueError, match=r"^Image 1 .*expected 1, 2 .*channels, received 5"):
        pixel_statistics(Arrays(np.zeros((2, 2)), np.zeros((2, 2, 5))))
    with pytest.raises(ValueError, match="with pictures"):
        pixel_statistics(Arrays())


def test_weights_expect_the_spread_that_they_were_trained_on():
    assert input_spread(Config()) == pytest.approx(57.63)  # STD_PIXEL 1
    preset = PRESETS["torchvision/maskrcnn_resnet50_fpn"]()
    assert input_spread(preset) == pytest.approx(1, abs=1e-3)  # 57.63 / 57.63
    preset.BACKBONE = "efficientnet_lite0"
    assert input_spread(preset) == pytest.approx(57.63 / 128)


@pytest.fixture
def rgbd(tmp_path):
    """LabelMe: two pictures of colours 0 and 100, with depths of 16 bits."""
    for i, name in enumerate("ab"):
        Image.fromarray(np.full((2, 2, 3), 100 * i, np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(np.full((2, 2), 257 * i, np.uint16)).save(tmp_path / f"{name}_depth.png")
        shape = {"label": "box", "shape_type": "polygon", "points": [[0, 0], [2, 0], [2, 2]]}
        content = {"imagePath": f"{name}.png", "imageHeight": 2, "imageWidth": 2}
        content |= {"version": "5.0", "flags": {}, "imageData": None, "shapes": [shape]}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


CHANNELS = ("IMAGE_CHANNEL_COUNT=4", "IMAGE_CHANNEL_FILES=_depth")


def test_the_command_prints_what_train_takes(rgbd, capsys):
    assert cli.main(["stats", str(rgbd), *CHANNELS]) == 0
    printed = capsys.readouterr()
    last = printed.out.splitlines()[-1]
    # Of 0 and 100 mean and std are 50, of 0 and 1 they are 0.5; 50 / 57.63 = 0.86760.
    assert last == (
        "IMAGE_CHANNEL_COUNT=4 MEAN_PIXEL=50,50,50,0.5 STD_PIXEL=0.8676,0.8676,0.8676,0.008676"
    )
    config = apply_assignments(Config(), [*last.split(), CHANNELS[1], "NAME=x", "NUM_CLASSES=2"])
    config.validate()
    assert "2 pictures, 8 pixels, float32" in printed.out and "Warning" not in printed.err


def test_the_command_prints_json_and_warns_of_constant_channels(rgbd, capsys):
    for path in rgbd.glob("*_depth.png"):
        Image.fromarray(np.full((2, 2), 514, np.uint16)).save(path)
    assert cli.main(["stats", str(rgbd), *CHANNELS, "--json"]) == 0
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert facts["mean"] == [50, 50, 50, 2] and facts["constant"] == [3]
    assert facts["STD_PIXEL"][3] == 1.0 and "one value alone" in printed.err


def test_check_reads_the_channels_of_the_config(rgbd, capsys):
    assert cli.main(["check", str(rgbd), *CHANNELS]) == 0
    printed = capsys.readouterr().out
    assert "cannot be read" not in printed and "no annotation names" not in printed
    (rgbd / "b_depth.png").unlink()
    assert cli.main(["check", str(rgbd), *CHANNELS]) == 1
    assert "IMAGE_CHANNEL_FILES has '_depth', found none" in capsys.readouterr().out
