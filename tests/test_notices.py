"""What is said of the data after the first epoch, by hand."""

import numpy as np
import pytest
from tiny import TinyConfig, shapes

from mrcnn.config import Config
from mrcnn.data.generator import DataGenerator
from mrcnn.data.seen import Seen
from mrcnn.data.shapes import ShapesDataset
from mrcnn.settings import Settings
from mrcnn.training.notices import Notices, notices


def told(seen, names=("BG", "cat", "dog"), **keys):
    config = Config()
    vars(config).update({"NUM_CLASSES": len(names), **keys})
    return list(notices(seen, Settings.from_config(config), names))


def seen_of(*sides, class_id=1, dropped=0):
    """So many images with 20 squares around (256, 256), of each side, as an anchor lies there."""
    seen = Seen(3)
    for side in sides:
        box = [256 - side / 2, 256 - side / 2, 256 + side / 2, 256 + side / 2]
        seen.add(np.full(20, class_id, np.int32), np.array([box] * 20), dropped)
    return seen


def test_good_data_is_not_talked_about():
    both = seen_of(32, 64, 128, 256, 512)
    both.add(np.array([2]), np.zeros((1, 4)), 0)
    assert told(both) == []


def test_objects_that_are_left_out():
    texts = told(seen_of(32, 64, 128, 256, 512, dropped=3))
    assert texts[0].startswith("MAX_GT_INSTANCES = 100 was too small for 5 images of the first")
    assert "15 objects were drawn to be left out" in texts[0]


def test_classes_that_do_not_appear():
    assert told(seen_of(32, 64, 128, 256, 512))[0] == ("No object of the first epoch was of 'dog'")
    # A crowd is no object.
    assert "'cat', 'dog'" in told(seen_of(32, class_id=-1))[0]


@pytest.mark.parametrize(
    ("side", "near"), [(64, ["64"]), (73, ["64"]), (80, []), (32 / 0.7**0.5 - 0.1, ["32"])]
)
def test_anchors_near_nothing(side, near):
    """A square of 64 / sqrt(0.7) = 76.5 pixels has an IoU of 0.7 with an anchor of 64."""
    texts = told(seen_of(side), RPN_ANCHOR_RATIOS=[1])
    (text,) = [text for text in texts if "(RPN_ANCHOR_SCALES)" in text]
    unused = text.removeprefix("Anchors of ").split(" pixels")[0].split(", ")
    assert [x for x in ("32", "64", "128", "256", "512") if x not in unused] == near


def test_few_objects_tell_nothing_of_anchors():
    seen = Seen(2)
    seen.add(np.ones(19, int), np.array([[0, 0, 900, 900]] * 19), 0)
    assert told(seen, names=("BG", "cat")) == []


def test_batches_are_counted():
    config = TinyConfig()
    config.MAX_GT_INSTANCES = 1
    dataset = shapes(6)
    generator = DataGenerator(dataset, config)
    for index in range(len(generator)):
        generator[index]
    objects = [dataset.load_mask(i)[1] for i in dataset.image_ids]
    assert generator.seen.counts.sum() == sum(map(len, objects)) == len(generator.seen.boxes)
    assert generator.seen.crowded == sum(len(ids) > 1 for ids in objects)
    assert generator.seen.dropped == sum(len(ids) - 1 for ids in objects if len(ids))


def ended(notices, generator, first_step, batches):
    """What `Notices` print after an epoch that begins with a step, of which batches are made."""
    generator.first_step = first_step
    for index in batches:
        generator[index]
    notices.on_epoch_end(0)
    generator.first_step = 0
    notices.on_epoch_begin(1)


@pytest.fixture
def generator():
    """Of four batches; no object is of the last class."""
    dataset = ShapesDataset()
    dataset.load_shapes(4, 64, 64)
    dataset.add_class("shapes", 4, "rare")
    dataset.prepare()
    config = TinyConfig()
    config.NUM_CLASSES, config.IMAGES_PER_GPU, config.STEPS_PER_EPOCH = 5, 1, None
    return DataGenerator(dataset, config)


def test_the_rest_of_an_epoch_tells_nothing(generator, capsys):
    """Resumed behind its third batch, an epoch has one picture. The next one, whole, tells."""
    told = Notices(generator)
    ended(told, generator, 3, [0])
    assert capsys.readouterr().out == "" and not told.get_state()["told"]
    ended(told, generator, 0, range(4))
    assert "'rare'\n" in capsys.readouterr().out
    assert told.get_state()["told"]


def test_what_was_told_is_not_told_again_after_a_resume(generator, capsys):
    first, second = Notices(generator), Notices(generator)
    ended(first, generator, 0, range(4))
    assert "'rare'" in capsys.readouterr().out
    second.set_state(first.get_state())
    ended(second, generator, 0, range(4))
    assert capsys.readouterr().out == ""
