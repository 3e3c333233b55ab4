"""Passes over a data set, and rare classes more often."""

from collections import Counter

import numpy as np
import pytest
from format_examples import write_example
from tiny import TinyConfig

from mrcnn.data import Dataset
from mrcnn.data.generator import DataGenerator
from mrcnn.data.loading import load
from mrcnn.data.sampling import Passes, repeat_factors
from mrcnn.image.meta import parse_image_meta


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        # Class 1 is in 4 of 5 pictures, 2 in 1 of 5; of 3 there is a crowd alone.
        (0.8, [1, 1, 1, 2, 1]),  # sqrt(0.8 / 0.2) = 2 for class 2, sqrt(0.8 / 0.8) = 1 for class 1
        (0.2, [1, 1, 1, 1, 1]),
        (1.0, [1.25**0.5] * 3 + [5**0.5, 1]),  # sqrt(1 / 0.8) and sqrt(1 / 0.2)
    ],
)
def test_repeat_factors_by_hand(threshold, expected):
    class_ids = [[1], [1, 1], [1], [1, 2], [-3]]
    np.testing.assert_allclose(repeat_factors(class_ids, threshold), expected)


def test_repeat_factors_of_nothing():
    assert repeat_factors([[], []], 0.5).tolist() == [1, 1]


def test_passes_without_factors_are_permutations():
    ids = np.array([4, 5, 6, 7])
    passes = Passes(ids, seed=3)
    assert len(passes) == 4
    expected = ids[np.random.default_rng([3, 9]).permutation(4)]
    assert passes.order(9).tolist() == expected.tolist()
    assert Passes(ids, 3, shuffled=False).order(9).tolist() == [4, 5, 6, 7]


def test_passes_repeat_as_often_as_their_factors():
    factors = np.array([1, 2.5, 1, 1.5])
    passes = Passes(np.array([4, 5, 6, 7]), seed=0, factors=factors)
    assert len(passes) == 6
    counts = [Counter(passes.order(number).tolist()) for number in range(400)]
    assert all(sum(count.values()) == 6 for count in counts)
    # 5 is there 2 or 3 times, 7 once or twice; of the two halves one is drawn in each pass.
    pairs = Counter((count[5], count[7]) for count in counts)
    assert pairs.keys() == {(3, 1), (2, 2)} and min(pairs.values()) > 150
    assert all(count[4] == count[6] == 1 for count in counts)
    again = Passes(np.array([4, 5, 6, 7]), seed=0, factors=factors)
    assert again.order(7).tolist() == passes.order(7).tolist()
    assert len({tuple(passes.order(number).tolist()) for number in range(20)}) > 15


def test_what_is_drawn_is_as_probable_as_the_rest_is_large():
    passes = Passes(np.array([4, 5]), seed=0, factors=np.array([1.9, 1.1]))
    twice = [Counter(passes.order(number).tolist())[4] == 2 for number in range(400)]
    assert 340 <= sum(twice) <= 380  # 0.9 * 400 = 360, standard deviation 6


class Rare(Dataset):
    """Four pictures; class 2 is in the last alone. Ids of the third cannot be read."""

    def __init__(self):
        super().__init__()
        self.add_class("rare", 1, "common")
        self.add_class("rare", 2, "rare")
        for i in range(4):
            self.add_image("rare", i, f"{i}.png")
        self.prepare()

    def load_image(self, image_id):
        return np.zeros((64, 64, 3), np.uint8)

    def load_mask(self, image_id):
        return np.ones((64, 64, 1), bool), np.array([1 + (image_id == 3)], np.int32)

    def image_class_ids(self, image_id):
        if image_id == 2:
            raise ValueError("broken")
        return super().image_class_ids(image_id)


class RareConfig(TinyConfig):
    NUM_CLASSES = 3
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    IMAGES_PER_GPU = 1
    SEED = 0
    REPEAT_FACTOR_THRESHOLD = 1.0


def image_ids(generator):
    metas = [generator[i][0]["input_image_meta"] for i in range(len(generator))]
    return [int(parse_image_meta(meta)["image_id"][0]) for meta in metas]


def test_a_generator_shows_rare_classes_more_often():
    # f = 2/4 of class 1: sqrt(2) = 1.41; 1/4 of class 2: 2; the one that fails 1. 5.83 are 6.
    generator = DataGenerator(Rare(), RareConfig())
    assert len(generator) == 6
    counts = Counter(image_ids(generator))
    assert counts[3] == 2 and counts[2] == 1 and counts[0] + counts[1] == 3
    first = image_ids(generator)
    generator.epoch = 1
    assert image_ids(generator) != first
    generator.epoch = 0
    assert image_ids(generator) == first


def test_validation_repeats_nothing():
    assert image_ids(DataGenerator(Rare(), RareConfig(), shuffle=False)) == [0, 1, 2, 3]


@pytest.mark.parametrize("format", ["coco", "via", "voc"])
def test_class_ids_of_annotations_are_those_of_the_masks(tmp_path, format):
    write_example(format, tmp_path / format)
    dataset = load(tmp_path / format, verbose=0)
    for image_id in dataset.image_ids:
        expected = dataset.load_mask(image_id)[1]
        assert dataset.image_class_ids(image_id).tolist() == expected.tolist()
