"""The RGB-D sample: painted pictures of four channels, trained on and detected in."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from skimage.io import imread

sys.path.append(str(Path(__file__).resolve().parents[1]))

from samples.rgbd import rgbd
from samples.rgbd.stand_in import write_tables


@pytest.fixture
def tables(tmp_path):
    return write_tables(tmp_path / "tables", train=4, val=2, height=64, width=96)


def load(folder, subset="train"):
    dataset = rgbd.RGBDDataset()
    dataset.load_rgbd(folder, subset)
    dataset.prepare()
    return dataset.read_as(rgbd.RGBDConfig())


def test_colours_and_depth_are_one_picture(tables):
    dataset = load(tables)
    assert len(dataset.image_ids) == 4 and dataset.class_names == ["BG", "object"]
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        path = dataset.image_info[image_id]["path"]
        depth = imread(path.replace(".png", "_depth.png"))
        assert image.shape == (64, 96, 4) and depth.dtype == np.uint16
        np.testing.assert_array_equal(image[:, :, :3], imread(path))
        np.testing.assert_allclose(image[:, :, 3], depth / 257, rtol=1e-6)  # 65535 becomes 255


def test_objects_lie_higher_than_the_table_and_share_no_pixel(tables):
    dataset = load(tables)
    for image_id in dataset.image_ids:
        masks, class_ids = dataset.load_mask(image_id)
        assert masks.shape == (64, 96, len(class_ids)) and set(class_ids) == {1}
        assert 1 <= len(class_ids) <= 5 and masks.sum(axis=-1, dtype=int).max() == 1
        depth, ground = dataset.load_image(image_id)[:, :, 3] * 257, ~masks.any(axis=-1)
        rows, columns = np.indices(depth.shape)
        places = np.stack([rows, columns, np.ones_like(rows)], axis=-1)
        table = places @ np.linalg.lstsq(places[ground], depth[ground], rcond=None)[0]
        for mask in np.moveaxis(masks, -1, 0):
            # 40 to 150 mm, of a ball two thirds on average.
            assert 20 < (table - depth)[mask].mean() < 155


def test_a_seed_repeats_its_pictures(tmp_path):
    folders = [
        write_tables(tmp_path / str(i), 1, 1, 32, 32, seed) for i, seed in enumerate((3, 3, 4))
    ]
    first, again, other = (load(folder).load_image(0) for folder in folders)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_folder_without_objects_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a_objects\.png in the folder .*train"):
        load(tmp_path)


def test_without_weights_nothing_is_detected(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rgbd.py", "detect"])
    with pytest.raises(SystemExit):
        rgbd.main()
    assert "detect needs --weights" in capsys.readouterr().err


@pytest.mark.slow
def test_two_steps_and_what_they_find(tables, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rgbd.py", *arguments, "--logs", str(tmp_path)])
        rgbd.main()

    monkeypatch.setattr(rgbd.quiet, "install", lambda: None)
    # Without --dataset the painted pictures below the logs are taken: here those of `tables`.
    monkeypatch.setitem(sys.modules, "stand_in", sys.modules["samples.rgbd.stand_in"])
    monkeypatch.setattr("samples.rgbd.stand_in.write_tables", lambda folder: folder)
    keras.utils.set_random_seed(0)
    run("train", "--steps", "2", "--epochs", "1")
    run("detect", "--weights", "last")
    said = capsys.readouterr().out
    assert "segm" in said and f"Wrote {tmp_path / 'rgbd.png'}" in said
    assert np.ptp(imread(tmp_path / "rgbd.png")) > 0
    config = rgbd.config_for(None, load(tables))
    assert config.IMAGE_CHANNEL_COUNT == 4 and config.MEAN_PIXEL.shape == (4,)
    # Depths of about 1000 mm, and 57.6 is the deviation of what matterport's networks see.
    assert 3.5 < config.MEAN_PIXEL[3] < 4.2 and 0 < config.STD_PIXEL[3] < 0.02
