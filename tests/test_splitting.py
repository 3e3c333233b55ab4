"""Splits of a data set, and classes numbered alike."""

import numpy as np
import pytest

from mrcnn.data import Dataset
from mrcnn.data.splitting import number_classes, split


def pictures(names, classes=("cat", "dog")):
    dataset = Dataset()
    for name in classes:
        dataset.add_class("pets", f"id {name}", name)
    for name in names:
        dataset.add_image("pets", name, f"{name}.png")
    dataset.prepare()
    return dataset


def names_of(dataset):
    return [info["id"] for info in dataset.image_info]


@pytest.mark.parametrize(
    "count, share, validating",
    [(10, 0.2, 2), (10, 0.25, 2), (7, 0.5, 4), (3, 0.01, 1), (2, 0.99, 1)],
)
def test_split_counts(count, share, validating):
    train, val = split(pictures(range(count)), share)
    assert (train.num_images, val.num_images) == (count - validating, validating)
    assert sorted(names_of(train) + names_of(val)) == list(range(count))
    assert train.class_names == val.class_names == ["BG", "cat", "dog"]


def test_split_depends_on_names_and_seed_alone():
    names = [f"{i}.jpg" for i in range(40)]
    val = set(names_of(split(pictures(names), 0.25, seed=3)[1]))
    assert set(names_of(split(pictures(names[::-1]), 0.25, seed=3)[1])) == val
    assert set(names_of(split(pictures(names), 0.25, seed=4)[1])) != val


@pytest.mark.parametrize(
    "count, share, message",
    [
        (4, 0, "above 0 and below 1 for the split, received 0"),
        (4, 1, "above 0 and below 1 for the split, received 1"),
        (1, 0.2, "two pictures or more to split, received 1"),
    ],
)
def test_splits_that_cannot_be(count, share, message):
    with pytest.raises(ValueError, match=message):
        split(pictures(range(count)), share)


def test_classes_are_numbered_as_the_models():
    dataset = number_classes(pictures(["a"], ("dog", "cat")), ["BG", "cat", "cow", "dog", "N/A"])
    assert dataset.class_names == ["BG", "cat", "cow", "dog", "N/A"]
    assert dataset.map_source_class_id("pets.id dog") == 3
    np.testing.assert_array_equal(dataset.source_class_ids["pets"], [0, 1, 2, 3, 4])
    same = pictures(["a"])
    assert number_classes(same, ["BG", "cat", "dog"]) is same


@pytest.mark.parametrize(
    "own, model, names",
    [
        (("object",), ["BG", "balloon"], ["BG", "balloon"]),  # a file that names no class
        (("object",), ["BG", "object"], ["BG", "object"]),
        (("object",), ["BG", "object", "cat"], ["BG", "object", "cat"]),
    ],
)
def test_objects_without_a_class_are_of_the_only_one(own, model, names):
    dataset = number_classes(pictures(["a"], own), model)
    assert dataset.class_names == names and dataset.map_source_class_id("pets.id object") == 1


def test_objects_without_a_class_are_of_no_class_of_two():
    with pytest.raises(ValueError, match=r"\['cat', 'dog'\], received other classes, \['object'\]"):
        number_classes(pictures(["a"], ("object",)), ["BG", "cat", "dog"])


@pytest.mark.parametrize(
    "classes, message",
    [
        (
            ("cat", "Dog"),
            r"of the trained classes \['cat', 'dog'\], received other classes, \['Dog'\]",
        ),
        (("cat", "cat"), r"received two classes of one name, \['cat'\]"),
    ],
)
def test_classes_that_do_not_fit(classes, message):
    dataset = pictures(["a"])
    dataset.class_info[1:] = [{"source": "pets", "id": i, "name": x} for i, x in enumerate(classes)]
    dataset.prepare()
    with pytest.raises(ValueError, match=message):
        number_classes(dataset, ["BG", "cat", "dog"])


def streets(things, stuff):
    dataset = pictures(["a"], (*things, *stuff))
    dataset.num_stuff_classes = len(stuff)
    return dataset


@pytest.mark.parametrize("count", [2, None])
def test_stuff_is_counted_as_the_models(count):
    names = ["BG", "car", "road", "sky"]
    dataset = number_classes(streets(["car"], ["sky"]), names, count)
    assert dataset.class_names == names
    # Without a count the road, of which nothing is known here, is a thing.
    assert dataset.thing_names == (["BG", "car"] if count else ["BG", "car", "road"])
    assert number_classes(streets(["car"], []), names, 2).num_stuff_classes == 2
    assert number_classes(streets(["car"], []), names).num_stuff_classes == 0


def test_a_thing_that_is_trained_as_stuff_is_named():
    with pytest.raises(ValueError, match=r"things \['car'\] and stuff \['road', 'sky'\].*'road'"):
        number_classes(streets(["car", "road"], ["sky"]), ["BG", "car", "road", "sky"], 2)
