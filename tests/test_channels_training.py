"""Pictures of 1, 2, 4 and 6 channels reach the network whole; one kind trains and detects."""

import csv
import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny import TinyConfig

from mrcnn import cli
from mrcnn.augment import named
from mrcnn.data import DataGenerator, Dataset, pixel_statistics
from mrcnn.data.image_loading import load_annotated
from mrcnn.data.shapes import ShapesDataset
from mrcnn.image.molding import MoldedImages
from mrcnn.image.resizing import resize_by
from mrcnn.reports.run_folder import draw_batches
from mrcnn.settings import Settings


class Channeled(ShapesDataset):
    """Shapes whose channels are scaled copies of the grey picture."""

    def __init__(self, scales, dtype, offset=0.0):
        super().__init__()
        self.scales, self.dtype, self.offset = np.array(scales), dtype, offset
        self.load_shapes(4, 64, 64)
        self.prepare()

    def load_image(self, image_id):
        grey = super().load_image(image_id).mean(axis=2, keepdims=True)
        return (grey * self.scales + self.offset).astype(self.dtype)


def config_of(dataset, count):
    class ChanneledConfig(TinyConfig):
        IMAGE_CHANNEL_COUNT = count

    config, keys = ChanneledConfig(), pixel_statistics(dataset).normalising()
    for key, values in keys.items():
        setattr(config, key, np.array(values))
    return config


KINDS = [
    ([16.0], "uint16", 0.0),  # 12 bits in 16
    ([0.01, -0.02], "float32", 300.0),  # far from 0
    ([1.0, 1.0, 0.5, 0.1], "uint8", 0.0),
    ([0.001, 0.01, 0.1, 1.0, 10.0, 100.0], "float32", 0.0),
]


@pytest.mark.parametrize("augmentation", ["flip", "photo"])
@pytest.mark.parametrize(("scales", "dtype", "offset"), KINDS)
def test_batches_can_be_seen(tmp_path, scales, dtype, offset, augmentation):
    dataset = Channeled(scales, dtype, offset)
    draw_batches(dataset, config_of(dataset, len(scales)), named(augmentation), tmp_path)
    assert np.ptp(np.asarray(Image.open(tmp_path / "train_batch0.jpg"))) > 200


@pytest.mark.parametrize(("scales", "dtype", "offset"), KINDS)
def test_the_network_meets_values_of_mean_0_and_deviation_1(scales, dtype, offset):
    """Nothing on the way, through resizing and padding to 128, cuts a value off."""
    dataset = Channeled(scales, dtype, offset)
    config = config_of(dataset, len(scales))
    config.IMAGE_MAX_DIM = 128
    (batch,) = DataGenerator(dataset, config, shuffle=False)[0]
    images = batch["input_image"]
    assert images.shape == (2, 128, 128, len(scales)) and images.dtype == np.float32
    inside = images[:, 32:96, 32:96]
    assert np.abs(inside).max() < 10 and (inside.std(axis=(0, 1, 2)) > 0.3).all()
    assert not images[:, :32].any() and not images[:, :, 96:].any()  # padding: the mean
    molded = MoldedImages([dataset.load_image(0)], Settings.from_config(config).image)[0]
    np.testing.assert_allclose(molded["image"][32:96, 32:96], inside[0], atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nothing_black_comes_in_at_the_border_when_pictures_are_made_larger(dtype):
    config = config_of(Channeled([1.0, 1.0], dtype), 2)
    config.IMAGE_MIN_DIM = config.IMAGE_MAX_DIM = 128
    image = np.full((64, 64, 2), [0, 200], dtype)
    settings = Settings.from_config(config).image
    resized = resize_by(settings, image, settings.resize_mode)[0]
    assert resized.shape == (128, 128, 2) and resized.dtype == dtype and (resized == [0, 200]).all()


def write_thermal(folder, count):
    """LabelMe: a bright square of 330 K before a wall of 290 K, in floats."""
    folder.mkdir(parents=True)
    for i in range(count):
        color, heat = np.full((64, 64, 3), 60, np.uint8), np.full((64, 64), 290, np.float32)
        color[10:40, 10 + i : 40 + i], heat[10:40, 10 + i : 40 + i] = (200, 90, 30), 330
        Image.fromarray(color).save(folder / f"{i}.png")
        tifffile.imwrite(folder / f"{i}_heat.tif", heat)
        points = [[10 + i, 10], [40 + i, 10], [40 + i, 40], [10 + i, 40]]
        shape = {"label": "box", "shape_type": "polygon", "points": points}
        content = {"imagePath": f"{i}.png", "imageHeight": 64, "imageWidth": 64}
        content |= {"version": "5.0", "flags": {}, "imageData": None, "shapes": [shape]}
        (folder / f"{i}.json").write_text(json.dumps(content))


@pytest.mark.thorough
@pytest.mark.slow
def test_colour_and_heat_from_the_command_line(tmp_path, capsys):
    write_thermal(tmp_path / "data" / "train", 2)
    write_thermal(tmp_path / "data" / "val", 2)
    data, runs = str(tmp_path / "data"), str(tmp_path / "runs")
    channels = ["IMAGE_CHANNEL_COUNT=4", "IMAGE_CHANNEL_FILES=_heat"]
    assert cli.main(["stats", data, *channels]) == 0
    keys = capsys.readouterr().out.splitlines()[-1].split()
    tiny = ["--config", str(__file__).replace("test_channels_training", "tiny")]
    line = ["train", data, *tiny, *channels, *keys, "STEPS_PER_EPOCH=1", "--epochs", "1"]
    assert cli.main([*line, "--weights", "none", "--augment", "photo", "--out", runs]) == 0
    with open(f"{runs}/train/results.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert np.isfinite(float(row["loss"]))
    for name in ("train_batch0", "val_batch0_pred"):  # neither black nor white
        assert np.ptp(np.asarray(Image.open(f"{runs}/train/{name}.jpg"))) > 200
    out = tmp_path / "scores"
    line = ["evaluate", f"{runs}/train", data, *tiny, *channels, *keys, "--out", str(out)]
    assert cli.main(line) == 0
    again = ["evaluate", str(out), data, *channels, "--out", str(tmp_path / "again")]
    assert cli.main(again) == 0  # without a network, and yet with pictures
    found = tmp_path / "found"
    line = ["detect", f"{runs}/train", f"{data}/val", *tiny, *channels, *keys, "--out", str(found)]
    assert cli.main(line) == 0
    assert sorted(x.name for x in (found / "overlays").iterdir()) == ["0.jpg", "1.jpg"]
    overlay = np.asarray(Image.open(found / "overlays" / "0.jpg"))
    assert abs(int(overlay[60, 60].mean()) - 60) < 40  # the wall, as the colour file shows it


def test_a_data_set_without_its_channels_says_the_fix(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    dataset = Dataset()
    dataset.add_image("x", "a", str(tmp_path / "a.png"))
    dataset.prepare()
    settings = Settings.from_config(config_of(Channeled([1, 1, 1, 1], "uint8"), 4))
    with pytest.raises(ValueError, match=r"a\.png.*expected 4 channels, received 3.*read_as"):
        load_annotated(dataset, settings, 0)
