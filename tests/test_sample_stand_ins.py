"""The painted data sets of the samples are read by the samples' own code."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from samples.balloon.balloon import BalloonDataset
from samples.balloon.stand_in import write_balloons
from samples.nucleus.nucleus import NucleusDataset
from samples.nucleus.stand_in import write_nuclei


def load_balloons(folder, subset):
    dataset = BalloonDataset()
    dataset.load_balloon(folder, subset)
    dataset.prepare()
    return dataset


def load_nuclei(folder, subset):
    dataset = NucleusDataset()
    dataset.load_nucleus(folder, subset)
    dataset.prepare()
    return dataset


def test_balloons_can_be_loaded(tmp_path):
    write_balloons(tmp_path, train=4, val=2, height=48, width=64)
    train, val = load_balloons(tmp_path, "train"), load_balloons(tmp_path, "val")
    assert (len(train.image_ids), len(val.image_ids)) == (4, 2)
    for image_id in train.image_ids:
        masks, class_ids = train.load_mask(image_id)
        assert train.load_image(image_id).shape == (48, 64, 3)
        assert 1 <= len(class_ids) <= 5
        assert masks.any(axis=(0, 1)).all()


def test_nuclei_can_be_loaded_and_share_no_pixel(tmp_path):
    write_nuclei(tmp_path, ["one", "two"], train=2)
    dataset = load_nuclei(tmp_path, "stage1_train")
    assert [info["id"] for info in dataset.image_info] == sorted(
        ["one", "two", "stand_in_000", "stand_in_001"]
    )
    for image_id in dataset.image_ids:
        masks, _ = dataset.load_mask(image_id)
        assert masks.shape[:2] == dataset.load_image(image_id).shape[:2]
        assert masks.any(axis=(0, 1)).all()
        assert masks.sum(axis=-1, dtype=int).max() == 1


@pytest.mark.parametrize(
    ("write", "load"),
    [
        (lambda folder, seed: write_balloons(folder, 1, 1, 48, 64, seed), load_balloons),
        (lambda folder, seed: write_nuclei(folder, [], 1, seed), load_nuclei),
    ],
)
def test_a_seed_repeats_its_pictures(tmp_path, write, load):
    subset = {"load_balloons": "train", "load_nuclei": "stage1_train"}[load.__name__]
    folders = [write(tmp_path / str(i), seed) for i, seed in enumerate((3, 3, 4))]
    first, again, other = (load(folder, subset).load_image(0) for folder in folders)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()
