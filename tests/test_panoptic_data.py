"""The truth of things and stuff: checked, moved with its picture, and in batches."""

import numpy as np
import pytest
from tiny import TinyConfig

from mrcnn.augment import (
    CopyPaste,
    ElasticTransform,
    FlipLeftRight,
    FlipUpDown,
    Rotate90,
    ScaleJitter,
)
from mrcnn.data import Dataset
from mrcnn.data.augmentation import Adapter
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.label_generator import LabelGenerator, PanopticGenerator
from mrcnn.data.panoptic import (
    class_labels,
    instance_labels,
    joined_segments,
    load_labels,
    load_map,
    load_segments,
)
from mrcnn.data.sample import Sample, augment_sample
from mrcnn.image.label_maps import VOID, labels_to_masks, masks_to_labels, resize_labels

IDS = np.array([[4, 4, 0, 9], [4, 7, 7, 9]])
SEGMENTS = [
    {"id": 4, "class_id": 1, "is_thing": True},
    {"id": 7, "class_id": 2, "is_thing": True, "is_crowd": True},
    {"id": 9, "class_id": 3, "is_thing": False},
]


class Own(Dataset):
    """A picture with the segments above."""

    num_stuff_classes = 1

    def __init__(self, ids=IDS, segments=SEGMENTS):
        super().__init__()
        self.found = ids, segments
        for i, name in enumerate(("cat", "dog", "sky"), start=1):
            self.add_class("own", i, name)
        self.add_image("own", 0, None)
        self.prepare()

    def load_image(self, image_id):
        return np.zeros((2, 4, 3), np.uint8)

    def load_panoptic(self, image_id):
        return self.found


def test_things_are_the_instances():
    masks, class_ids = Own().load_mask(0)
    assert class_ids.tolist() == [1, -2] and masks.dtype == bool
    assert masks[:, :, 0].tolist() == [[True, True, False, False], [True, False, False, False]]
    assert masks[:, :, 1].tolist() == [[False] * 4, [False, True, True, False]]


def test_the_class_of_each_pixel():
    assert class_labels(IDS, SEGMENTS).tolist() == [[1, 1, VOID, 3], [1, 2, 2, 3]]
    assert load_labels(Own(), 0, (2, 4)).tolist() == [[1, 1, VOID, 3], [1, 2, 2, 3]]
    assert (class_labels(np.zeros((2, 2), int), []) == VOID).all()


def test_instances_alone_lie_on_background():
    masks = np.zeros((1, 4, 2), bool)
    masks[0, :3, 1], masks[0, 1, 0] = True, True  # the small one is seen, a crowd is of its class
    assert instance_labels(masks, [2, -1], (1, 4)).tolist() == [[1, 2, 1, 0]]


def test_labels_and_instances_as_a_map():
    labels = np.array([[1, 1, VOID, 3], [1, 2, 0, 3]])
    masks = np.zeros((2, 4, 2), bool)
    masks[0, :2, 0] = masks[1, 1:3, 1] = True  # a cat, and a crowd of dogs partly on nothing
    ids, segments = joined_segments(labels, 3, (masks, np.array([1, -2])))
    # The thing without a mask, lower left, is nothing; ids of instances follow the last class.
    assert ids.tolist() == [[4, 4, 0, 3], [0, 5, 5, 3]]
    facts = [(each["id"], each["class_id"], each["is_thing"]) for each in segments]
    assert facts == [(3, 3, False), (4, 1, True), (5, 2, True)]
    ids, segments = joined_segments(labels, 3)
    assert ids.tolist() == [[1, 1, 0, 3], [1, 2, 0, 3]]
    facts = [(each["id"], each["class_id"], each["is_thing"]) for each in segments]
    assert facts == [(1, 1, True), (2, 2, True), (3, 3, False)]


def test_the_map_of_an_image_with_and_without_segments():
    found = load_map(Own(), 0, (2, 4))
    assert found["segmentation"] is IDS and [each["id"] for each in found["segments"]] == [4, 7, 9]
    dataset = Own()
    dataset.load_panoptic = lambda image_id: None
    masks = np.zeros((2, 4, 1), bool)
    masks[1, 1:, 0] = True
    dataset.load_mask = lambda image_id: (masks, np.array([2]))
    found = load_map(dataset, 0, (2, 4))
    assert found["segmentation"].tolist() == [[0] * 4, [0, 2, 2, 2]]
    assert found["segments"] == [{"id": 2, "class_id": 2, "is_thing": True}]


@pytest.mark.parametrize(
    ("ids", "segments", "message"),
    [
        (IDS[:1], SEGMENTS, r"expected ids of segments, integers \[2, 4\] .* \[1, 4\]"),
        (IDS, [*SEGMENTS[:2], {"id": 9}], "segment 2 of the list has no class_id"),
        (IDS, [*SEGMENTS[:2], {"id": 9, "class_id": 3}], "segment 2 of the list has no is_thing"),
        (IDS / 1.0, SEGMENTS, "integers .* received float64"),
        (IDS, SEGMENTS[:2], r"received segments \[4, 7\] and ids \[9\] of none"),
        (IDS, [*SEGMENTS, SEGMENTS[0]], r"segments \[4, 4, 7, 9\]"),
        (IDS, [*SEGMENTS[:2], {"id": 9, "class_id": 3, "is_thing": True}], "9 is a thing of cla"),
        (IDS, [*SEGMENTS[:2], {"id": 9, "class_id": 2, "is_thing": False}], "is stuff of class 2"),
    ],
)
def test_segments_that_cannot_be_used_are_named(ids, segments, message):
    with pytest.raises(ValueError, match=rf"Image 0 .*load_panoptic.*{message}"):
        load_segments(Own(ids, segments), 0, (2, 4, 3))


def test_stuff_where_no_class_is_stuff_is_named():
    dataset = Own()
    dataset.num_stuff_classes = 0
    with pytest.raises(ValueError, match=r"stuff of class 3; expected of stuff none.* = 0 of 4"):
        load_segments(dataset, 0, (2, 4, 3))


def test_labels_are_resized_by_the_pixel_under_the_centre():
    # Three of two pixels: centres at 1/3, 1, 5/3 of them; then a column of padding each side.
    labels = np.array([[1, 2]])
    found = resize_labels(labels, 1, [(0, 1), (1, 0), (0, 0)], size=(1, 3))
    assert found.tolist() == [[VOID, 1, 2, 2], [VOID] * 4]
    cropped = resize_labels(np.array([[1, 2, 3, 4]]), 1, [(0, 0)] * 3, crop=(0, 1, 1, 2))
    assert cropped.tolist() == [[2, 3]]


def test_labels_as_masks_and_back():
    labels = np.array([[3, VOID], [0, 3]])
    masks, values = labels_to_masks(labels)
    assert values.tolist() == [0, 3] and masks[:, :, 1].tolist() == [[True, False], [False, True]]
    np.testing.assert_array_equal(masks_to_labels(masks, values), labels)


class Shift(Adapter):
    """As a library that knows masks alone: all to the right by one pixel."""

    def transform(self, image, masks, points, rng):
        moved = np.zeros_like(masks)
        moved[:, 1:] = masks[:, :-1]
        return np.roll(image, 1, axis=1), moved, points


def sample(side=6):
    """A picture whose first channel is its labels, and an instance where they are 1."""
    labels = np.arange(side * side).reshape(side, side) // 5 % 4
    image = np.repeat(labels[:, :, None], 3, axis=2).astype(np.uint8)
    return Sample(image, labels[:, :, None] == 1, np.array([1]), labels=labels)


@pytest.mark.parametrize("step", [FlipLeftRight(1), FlipUpDown(1), Rotate90()])
def test_labels_move_with_the_picture(step):
    found = augment_sample(step, sample(), np.random.default_rng(3))
    np.testing.assert_array_equal(found.labels, found.image[:, :, 0])
    np.testing.assert_array_equal(found.labels == 1, found.masks[:, :, 0])


def test_labels_bend_with_the_picture():
    given = sample(64)
    masks, values = labels_to_masks(given.labels)
    given = given.replace(masks=masks, class_ids=values, window=(0, 0, 64, 48))
    given.labels[:, 48:], given.masks[:, 48:] = VOID, False
    found = augment_sample(ElasticTransform(2, 16), given, np.random.default_rng(0))
    assert (found.labels != given.labels).mean() > 0.1
    np.testing.assert_array_equal(found.labels, masks_to_labels(found.masks, values))
    assert (found.labels[:, 48:] == VOID).all() and found.labels.dtype == given.labels.dtype


def test_labels_move_with_masks_of_other_libraries():
    found = augment_sample(Shift(), sample(), np.random.default_rng(0))
    np.testing.assert_array_equal(found.labels[:, 1:], sample().labels[:, :-1])
    assert (found.labels[:, 0] == VOID).all() and found.labels.dtype == sample().labels.dtype
    np.testing.assert_array_equal(found.labels == 1, found.masks[:, :, 0])


def test_labels_are_zoomed_with_the_picture():
    found = augment_sample(ScaleJitter((0.5, 0.5)), sample(8), np.random.default_rng(0))
    y1, x1, y2, x2 = found.window
    assert (y2 - y1, x2 - x1) == (4, 4)
    # Of two pixels the second lies under the centre.
    np.testing.assert_array_equal(found.labels[y1:y2, x1:x2], sample(8).labels[1::2, 1::2])
    assert np.count_nonzero(found.labels == VOID) == 64 - 16


def test_pasted_objects_are_of_their_class():
    other = sample()
    given = sample().replace(other=lambda rng: (other.replace(class_ids=np.array([2])), 1.0))
    step = CopyPaste(scale=(1, 1), flip=0, p=1, min_visible=0)
    found = augment_sample(step, given, np.random.default_rng(0))
    assert found.class_ids[-1] == 2
    np.testing.assert_array_equal(found.labels[found.masks[:, :, -1]], 2)
    untouched = ~found.masks[:, :, -1]
    np.testing.assert_array_equal(found.labels[untouched], given.labels[untouched])
    assert given.labels.max() == 3 and given is not found


def test_padding_stays_void():
    padded = sample().replace(window=(0, 0, 6, 4))
    found = augment_sample(FlipLeftRight(1), padded, np.random.default_rng(0), picture_alone=True)
    np.testing.assert_array_equal(found.labels[:, :4], padded.labels[:, 3::-1])
    assert (found.labels[:, 4:] == VOID).all()


def test_functions_of_masks_cannot_move_labels():
    with pytest.raises(ValueError, match="expected an augmentation that moves labels of pixels"):
        augment_sample(lambda image, masks: (image, masks), sample(), np.random.default_rng(0))


# ---- batches


class PanopticConfig(TinyConfig):
    NUM_CLASSES = 6
    NUM_STUFF_CLASSES = 2


def grounds(count=2, height=64, width=64):
    dataset = GroundsDataset()
    dataset.load_shapes(count, height, width)
    dataset.prepare()
    return dataset


def test_batches_have_the_class_of_each_pixel():
    data = grounds()
    (batch,) = PanopticGenerator(data, PanopticConfig(), shuffle=False)[0]
    assert batch["input_gt_labels"].shape == (2, 64, 64)
    assert batch["input_gt_labels"].dtype == np.int32
    for i in (0, 1):
        labels = class_labels(*data.load_panoptic(i))
        np.testing.assert_array_equal(batch["input_gt_labels"][i], labels)
        assert batch["input_gt_class_ids"][i].any()
    (alone,) = LabelGenerator(data, PanopticConfig(), shuffle=False)[0]
    assert set(alone) == {"input_image", "input_image_meta", "input_gt_labels"}
    np.testing.assert_array_equal(alone["input_gt_labels"], batch["input_gt_labels"])


def test_padding_of_a_batch_is_void():
    config = type("Open", (PanopticConfig,), {"IMAGE_RESIZE_MODE": "shortest_edge"})()
    data = grounds(1, 64, 96)
    data.load_shapes(1, 80, 64)
    data.prepare()
    config.IMAGE_MAX_DIM = 128
    (batch,) = PanopticGenerator(data, config, shuffle=False)[0]
    assert batch["input_gt_labels"].shape == (2, 96, 96)
    assert (batch["input_gt_labels"][0, 64:] == VOID).all()
    assert (batch["input_gt_labels"][1, :80, 64:] == VOID).all()
    assert (batch["input_gt_labels"][1, :80, :64] != VOID).all()


def test_pictures_without_things_take_part():
    ids = np.full((2, 4), 9)
    config = type("Sky", (PanopticConfig,), {"NUM_CLASSES": 4, "NUM_STUFF_CLASSES": 1})()
    data = Own(ids, SEGMENTS[2:])
    (batch,) = PanopticGenerator(data, config)[0]
    assert not batch["input_gt_class_ids"].any()
    assert set(np.unique(batch["input_gt_labels"])) == {VOID, 3}  # void is the padding


def test_instances_alone_are_labels_too():
    class Instances(Own):
        num_stuff_classes = 0

        def load_panoptic(self, image_id):
            return None

        def load_mask(self, image_id):
            return IDS[:, :, None] == 9, np.array([3])

    config = type("Four", (PanopticConfig,), {"NUM_CLASSES": 4, "NUM_STUFF_CLASSES": 0})()
    (batch,) = LabelGenerator(Instances(), config)[0]
    assert set(np.unique(batch["input_gt_labels"])) == {VOID, 0, 3}
    message = "segments of things and stuff, .*returned None"
    with pytest.warns(UserWarning, match=message), pytest.raises(ValueError, match=message):
        PanopticGenerator(Instances(), config)[0]


def test_a_data_set_of_other_stuff_is_refused():
    config = type("None", (PanopticConfig,), {"NUM_STUFF_CLASSES": 1})()
    with pytest.raises(ValueError, match=r"Set NUM_STUFF_CLASSES = 2"):
        PanopticGenerator(grounds(), config)


def test_grounds_are_covered_by_their_segments():
    data = grounds()
    data.load_shapes(0, 64, 64, seed=7)  # adds none, and changes none
    assert data.image_info[0]["ground_seed"] == [0, 0, 1]
    assert data.class_names == ["BG", "square", "circle", "triangle", "waves", "sand"]
    ids, segments = load_segments(data, 0, (64, 64))
    assert (ids > 0).all() and {x["is_thing"] for x in segments} == {True, False}
    masks, class_ids = data.load_mask(0)
    assert len(class_ids) == sum(x["is_thing"] for x in segments)
    assert (masks.sum(axis=2) <= 1).all()
