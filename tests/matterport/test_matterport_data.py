"""matterport's NumPy targets and generator under its signatures."""

import numpy as np
import pytest
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tiny import TinyConfig, shapes

from mrcnn import utils
from mrcnn.config import Config
from mrcnn.data.shapes import ShapesDataset
from mrcnn.image import compose_image_meta
from mrcnn.matterport import generator as modellib
from mrcnn.matterport import random_rois
from mrcnn.model import DataGenerator, compute_backbone_shapes, load_image_gt
from mrcnn.ops import targets
from mrcnn.ops.anchors import generate_pyramid_anchors


def config_of(base=Config, **keys):
    return type("TestConfig", (base,), {"NAME": "test", **keys})()


# ---- images and metas


def test_molding_takes_its_numbers_from_the_config():
    config = config_of(MEAN_PIXEL=np.array([10.0, 20, 30]), STD_PIXEL=2.0)
    image = np.array([[[0, 20, 255]]], "uint8")
    molded = modellib.mold_image(image, config)
    assert molded.dtype == np.float32 and molded.tolist() == [[[-5, 0, 112.5]]]
    assert_array_equal(modellib.unmold_image(molded, config), image)
    # Back from 0.6 above 10: matterport cut it to 10.
    unmolded = modellib.unmold_image(np.array([[[0.3, 0, 0]]]), config)
    assert unmolded.dtype == np.uint8 and unmolded.tolist() == [[[11, 20, 30]]]


def test_parsed_metas_index_lists():
    meta = modellib.compose_image_meta(7, (4, 6, 3), (8, 8, 3), (1, 0, 7, 8), 1.5, [1, 0])
    parts = modellib.parse_image_meta(np.stack([meta, meta]))
    assert list(range(10))[parts["image_id"][0]] == 7
    assert parts["scale"].tolist() == [1.5, 1.5]
    assert {k: v[0].tolist() for k, v in parts.items() if k != "scale"} == {
        "image_id": 7,
        "original_image_shape": [4, 6, 3],
        "image_shape": [8, 8, 3],
        "window": [1, 0, 7, 8],
        "active_class_ids": [1, 0],
    }
    assert all(part.dtype == np.int32 for name, part in parts.items() if name != "scale")


# ---- build_rpn_targets

OBJECT, AWAY = [0, 0, 10, 10], [50, 50, 60, 60]
# IoU with the object 1, 0.8, 0.4 and 0.
ANCHORS = np.array([OBJECT, [0, 0, 10, 8], [0, 0, 10, 4], AWAY], "float32")


def rpn_targets(count, anchors=ANCHORS, ids=(1,), boxes=(OBJECT,)):
    config = config_of(RPN_TRAIN_ANCHORS_PER_IMAGE=count)
    match, bbox = modellib.build_rpn_targets(
        (64, 64, 3), anchors, np.array(ids), np.array(boxes), config
    )
    assert (match.dtype, bbox.dtype) == (np.int32, np.float32)
    assert match.shape == (len(anchors),) and bbox.shape == (count, 4)
    return match, bbox


def test_rpn_targets_by_hand():
    match, bbox = rpn_targets(4)
    assert match.tolist() == [1, 1, 0, -1]
    # dx (5 - 4) / 8 / 0.1, log dw log(10 / 8) / 0.2
    assert_allclose(bbox, [[0] * 4, [0, 1.25, 0, 1.1157178], [0] * 4, [0] * 4], atol=1e-5)


def test_rpn_targets_draw_half_positives_at_most():
    np.random.seed(0)
    drawn = np.array([rpn_targets(2)[0] for _ in range(40)])
    assert (drawn == 1).sum(axis=1).tolist() == [1] * 40
    assert (drawn == -1).sum(axis=1).tolist() == [1] * 40
    assert set(np.argmax(drawn, axis=1)) == {0, 1}  # either
    # Two backgrounds of three, where a pair has room for four and two are objects.
    anchors = np.append(ANCHORS, [AWAY, AWAY], axis=0)
    drawn = np.array([rpn_targets(4, anchors)[0] for _ in range(40)])
    assert (drawn[:, :3] == [1, 1, 0]).all()
    assert (drawn == -1).sum(axis=1).tolist() == [2] * 40
    assert (drawn[:, 3:] == -1).any(axis=0).all()


def test_rpn_targets_leave_crowds_alone():
    match, _ = rpn_targets(4, ids=(-1, 2), boxes=(OBJECT, AWAY))
    assert match.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "none", [((), np.zeros((0, 4))), ((-1,), [[90, 90, 95, 95]]), ((0,), [[0, 0, 0, 0]])]
)
def test_image_without_objects_is_background(none):
    match, bbox = rpn_targets(8, ids=none[0], boxes=none[1])
    assert match.tolist() == [-1] * 4
    assert not bbox.any()


def test_rpn_targets_are_those_of_the_graph():
    rng = np.random.default_rng(3)
    anchors = generate_pyramid_anchors([16, 32], [0.5, 1, 2], [(8, 8), (4, 4)], [8, 16], 1)
    boxes = rng.integers(0, 40, (6, 4))
    boxes[:, 2:] = boxes[:, :2] + rng.integers(4, 24, (6, 2))
    ids = np.array([1, 2, 3, -1, 2, 1], "int32")
    count = 2 * len(anchors)  # nothing is drawn
    match, bbox = rpn_targets(count, anchors, ids, boxes)
    batch = (x[None].astype(t) for x, t in ((anchors, "float32"), (ids, "int32")))
    graph = targets.rpn_targets(
        *batch, boxes[None].astype("float32"), count, [0.1, 0.1, 0.2, 0.2], seed=1
    )
    index, label, deltas = (
        convert_to_numpy(graph[f"target_rpn_{key}"])[0] for key in ("index", "class", "deltas")
    )
    positive, negative = index[label == 1], index[label == 0]
    assert len(positive) >= 5 and len(negative) > 100
    assert_array_equal(np.flatnonzero(match == 1), np.sort(positive))
    assert_array_equal(np.flatnonzero(match == -1), np.sort(negative))
    assert_allclose(bbox[: len(positive)], deltas[label == 1][np.argsort(positive)])
    assert not bbox[len(positive) :].any()


# ---- build_detection_targets


def detection_config(**keys):
    numbers = {"NUM_CLASSES": 3, "TRAIN_ROIS_PER_IMAGE": 4, "ROI_POSITIVE_RATIO": 0.5}
    return config_of(**{**numbers, "MASK_SHAPE": [2, 2], **keys})


def test_detection_targets_by_hand():
    # The ROI ends at 0.8 of the object: its last column is 7 of 9, in the mini-mask 7 / 9 * 5 = 3.9
    rois = np.array([AWAY, [0, 0, 10, 8]], "int32")
    mask = np.zeros((2, 6, 1), bool)
    mask[:, [0, 1, 2, 5]] = True
    found = modellib.build_detection_targets(
        rois, np.array([2]), np.array([OBJECT]), mask, detection_config()
    )
    drawn, class_ids, bboxes, masks = found
    assert [x.dtype for x in found] == [np.int32, np.int32, np.float32, np.float32]
    # The one negative fills up.
    assert_array_equal(drawn, [[0, 0, 10, 8], AWAY, AWAY, AWAY])
    assert class_ids.tolist() == [2, 0, 0, 0]
    expected = np.zeros((4, 3, 4))
    expected[0, 2] = [0, 1.25, 0, 1.1157178]
    assert_allclose(bboxes, expected, atol=1e-5)
    assert masks.shape == (4, 2, 2, 3)
    assert masks[0, :, :, 2].tolist() == [[1, 0], [1, 0]]
    assert masks.sum() == 2


def test_detection_targets_of_whole_masks():
    # Corners of the ROI's last pixels: columns 0 and 7.
    mask = np.zeros((64, 64, 1), bool)
    mask[0, 7] = mask[9, 0] = True
    _, _, _, masks = modellib.build_detection_targets(
        np.array([[0, 0, 10, 8]]),
        np.array([1]),
        np.array([OBJECT]),
        mask,
        detection_config(USE_MINI_MASK=False),
    )
    assert masks[0, :, :, 1].tolist() == [[0, 1], [1, 0]]


def test_detection_targets_take_the_configs_mask_target():
    # An ROI as large as its object, over a mini-mask whose first of four columns is off. The left
    # target has samples at 0.5 and 1.5, of values 0.5 and 1; one sample at the corner would be 0.
    mask = np.array([[[0], [1], [1], [1]]] * 2, bool)
    config = detection_config(MASK_TARGET="roi_align", BOX_OFFSET=0)
    roi = np.array([OBJECT])
    _, _, _, masks = modellib.build_detection_targets(roi, np.array([1]), roi, mask, config)
    assert_allclose(masks[0, :, :, 1], [[0.75, 1.0]] * 2, atol=1e-5)


def test_detection_targets_without_a_side():
    config = detection_config()
    mask = np.ones((2, 2, 1), bool)
    only_positive = (np.array([OBJECT]), np.array([1]), np.array([OBJECT]), mask)
    rois, class_ids, _, _ = modellib.build_detection_targets(*only_positive, config)
    assert_array_equal(rois, [OBJECT, [0] * 4, [0] * 4, [0] * 4])
    assert class_ids.tolist() == [1, 0, 0, 0]
    # A crowd: its ROI is neither.
    crowd = (np.array([OBJECT, AWAY]), np.array([-1]), np.array([OBJECT]), mask)
    rois, class_ids, bboxes, masks = modellib.build_detection_targets(*crowd, config)
    assert_array_equal(rois, [AWAY] * 4)
    assert not class_ids.any() and not bboxes.any() and not masks.any()


# ---- generate_random_rois


def test_nine_of_ten_random_rois_lie_around_objects():
    np.random.seed(0)
    boxes = np.array([[100, 200, 110, 220], [0, 0, 30, 40], [0, 0, 0, 0]])
    rois = modellib.generate_random_rois((300, 400, 3), 100, np.array([1, 1, 0]), boxes)
    assert rois.shape == (100, 4) and rois.dtype == np.int32
    assert (rois[:, 2:] > rois[:, :2]).all()
    assert (rois >= 0).all() and (rois[:, 2] <= 300).all() and (rois[:, 3] <= 400).all()

    def inside(rois, y1, x1, y2, x2):
        return (rois[:, :2] >= [y1, x1]).all() and (rois[:, 2:] <= [y2, x2]).all()

    # 0.9 * 100 / 2 = 45 within a box size around each.
    assert inside(rois[:45], 90, 180, 120, 240) and not inside(rois[45:90], 90, 180, 120, 240)
    assert inside(rois[45:90], 0, 0, 60, 80)
    assert rois[90:, 3].max() > 240
    np.random.seed(0)
    again = modellib.generate_random_rois((300, 400, 3), 100, np.array([1, 1, 0]), boxes)
    assert_array_equal(again, rois)


def test_random_rois_without_objects():
    rois = modellib.generate_random_rois((8, 8, 3), 10, np.zeros(0), np.zeros((0, 4)))
    assert rois.shape == (10, 4)


def test_every_interval_is_drawn():
    np.random.seed(0)
    pairs = random_rois._intervals(2, 4, 300)
    assert {tuple(pair) for pair in pairs.T} == {(2, 3), (2, 4), (3, 4)}


# ---- data_generator


class HandConfig(TinyConfig):
    SEED = None


def batches(dataset, config=None, count=1, **options):
    config = config or HandConfig()
    generator = modellib.data_generator(dataset, config, **{"shuffle": False, **options})
    return [next(generator) for _ in range(count)]


@pytest.mark.parametrize(
    ("rounding", "first"),
    [(True, [-23, -11, 23, 11]), (False, [-22.627417, -11.313708, 22.627417, 11.313708])],
)
def test_anchors_of_batches_are_rounded_as_the_config_says(monkeypatch, rounding, first):
    # Around (0, 0): sides 32 / sqrt(0.5) = 45.254834 and 32 * sqrt(0.5) = 22.627417.
    class Rounded(HandConfig):
        RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)
        RPN_ANCHOR_RATIOS = (0.5, 1, 2)
        RPN_ANCHOR_ROUNDING = rounding

    used, build = [], modellib.build_rpn_targets
    monkeypatch.setattr(
        modellib, "build_rpn_targets", lambda *args: used.append(args[1]) or build(*args)
    )
    batches(shapes(1), Rounded())
    assert_allclose(used[0][0], first, rtol=1e-6)


def test_data_generator_class_yields_rpn_targets_of_no_anchors():
    (batch,) = DataGenerator(shapes(2), HandConfig())[0]
    assert list(batch) == [
        *("input_image", "input_image_meta", "input_rpn_match", "input_rpn_bbox"),
        *("input_gt_class_ids", "input_gt_boxes", "input_gt_masks"),
    ]
    found = batch["input_rpn_match"], batch["input_rpn_bbox"]
    assert [(x.shape, x.dtype) for x in found] == [((2, 0, 1), np.int32), ((2, 0, 4), np.float32)]


def test_batch_has_matterports_arrays():
    data, config = shapes(3), HandConfig()
    ((inputs, outputs),) = batches(data, batch_size=2)
    assert outputs == []
    assert [(x.shape, x.dtype.name) for x in inputs] == [
        ((2, 64, 64, 3), "float32"),
        ((2, 16), "float32"),
        ((2, 1023, 1), "int32"),
        ((2, 256, 4), "float32"),
        ((2, 6), "int32"),
        ((2, 6, 4), "int32"),
        ((2, 56, 56, 6), "bool"),
    ]
    (expected,) = DataGenerator(data, config, shuffle=False)[0]
    images, metas, match, bbox, ids, boxes, masks = inputs
    assert_array_equal(images, expected["input_image"])
    assert_array_equal(metas, expected["input_image_meta"])
    assert_array_equal(ids, expected["input_gt_class_ids"])
    assert_array_equal(boxes, expected["input_gt_boxes"])
    assert_array_equal(masks, expected["input_gt_masks"])
    assert ((match == 1).sum(axis=(1, 2)) == bbox.any(axis=2).sum(axis=1)).all()
    shape = config.IMAGE_SHAPE
    anchors = generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        compute_backbone_shapes(config, shape),
        config.BACKBONE_STRIDES,
        1,
    )
    for i in (0, 1):
        count = (ids[i] > 0).sum()
        whole, _ = modellib.build_rpn_targets(
            shape,
            anchors,
            ids[i, :count],
            boxes[i, :count],
            config_of(RPN_TRAIN_ANCHORS_PER_IMAGE=5000),
        )
        drawn = match[i, :, 0]
        assert (drawn[drawn != 0] == whole[drawn != 0]).all()
        assert (drawn != 0).sum() == 256


def test_passes_go_round_and_are_shuffled():
    data = shapes(3)
    in_order = [int(inputs[1][0, 0]) for inputs, _ in batches(data, count=7)]
    assert in_order == [0, 1, 2, 0, 1, 2, 0]
    np.random.seed(0)
    shuffled = [int(inputs[1][0, 0]) for inputs, _ in batches(data, count=30, shuffle=True)]
    passes = [tuple(shuffled[i : i + 3]) for i in range(0, 30, 3)]
    assert {tuple(sorted(ids)) for ids in passes} == {(0, 1, 2)}
    assert len(set(passes)) > 2
    np.random.seed(0)
    again = [int(inputs[1][0, 0]) for inputs, _ in batches(data, count=30, shuffle=True)]
    assert again == shuffled
    assert data.image_ids.tolist() == [0, 1, 2]


def test_random_rois_and_their_targets():
    data = shapes(2)
    np.random.seed(0)
    (((*first, rois), outputs),) = batches(data, batch_size=2, random_rois=50)
    assert len(first) == 7 and outputs == []
    assert rois.shape == (2, 50, 4) and rois.dtype == np.int32
    ((inputs, outputs),) = batches(data, batch_size=2, random_rois=50, detection_targets=True)
    assert len(inputs) == 9 and inputs[8].shape == (2, 12, 4)
    assert [x.shape for x in outputs] == [(2, 12, 1), (2, 12, 4, 4), (2, 12, 28, 28, 4)]
    assert (outputs[0] > 0).any() and (outputs[1][outputs[0][..., 0] == 0] == 0).all()
    # matterport's notebook leaves `detection_targets` on when it sets `random_rois` to 0.
    ((inputs, outputs),) = batches(data, detection_targets=True)
    assert len(inputs) == 7 and outputs == []


def test_at_most_so_many_instances():
    data, config = shapes(4), config_of(HandConfig, MAX_GT_INSTANCES=1)
    for inputs, _ in batches(data, config, count=4):
        _, _, ids, boxes, _ = load_image_gt(data, config, int(inputs[1][0, 0]))
        (kept,) = np.flatnonzero((boxes == inputs[5][0, 0]).all(axis=1))
        assert ids[kept] == inputs[4][0, 0]
        # The RPN learns all of them.
        assert (inputs[2] == 1).sum() >= len(ids)


class Spoilt(ShapesDataset):
    """Shapes whose pictures of some ids fail, and others have no object."""

    failing, empty = (), ()

    def load_image(self, image_id):
        if image_id in self.failing:
            raise OSError("disk on fire")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        masks, ids = super().load_mask(image_id)
        return (masks[:, :, :0], ids[:0]) if image_id in self.empty else (masks, ids)


def spoilt(count, failing=(), empty=()):
    dataset = Spoilt()
    dataset.load_shapes(count, 64, 64)
    dataset.prepare()
    dataset.failing, dataset.empty = failing, empty
    return dataset


def test_images_without_objects_are_left_out():
    found = batches(spoilt(4, empty=(0, 2)), count=3)
    assert [int(inputs[1][0, 0]) for inputs, _ in found] == [1, 3, 1]
    config = config_of(HandConfig, INCLUDE_EMPTY_IMAGES=True)
    ((inputs, _),) = batches(spoilt(2, empty=(0,)), config, random_rois=9)
    assert inputs[1][0, 0] == 0 and not inputs[4].any()
    assert (inputs[2] == -1).sum() == 256 and not (inputs[2] == 1).any()


def test_no_object_in_any_image():
    with pytest.raises(ValueError, match="object in at least one image, received 2 images"):
        batches(spoilt(2, empty=(0, 1)))
    with pytest.raises(ValueError, match="at least one image, received an empty"):
        batches(spoilt(0))


def test_classes_are_checked_before_any_image():
    with pytest.raises(ValueError, match="Set NUM_CLASSES = 4"):
        batches(shapes(1), config_of(HandConfig, NUM_CLASSES=3))


def test_five_failing_images_in_a_row_are_left_out():
    with pytest.warns(UserWarning, match="disk on fire") as warned:
        found = batches(spoilt(7, failing=range(5)), count=4)
    assert [int(inputs[1][0, 0]) for inputs, _ in found] == [5, 6, 5, 6]
    assert [str(w.message)[:30] for w in warned][:2] == [
        "An image is left out: Image 0 ",
        "An image is left out: Image 1 ",
    ]
    assert len(warned) == 10


def test_the_sixth_failing_image_raises_with_its_name():
    with (
        pytest.warns(UserWarning, match="disk on fire"),
        pytest.raises(RuntimeError, match=r"Image 5 .*load_image: OSError: disk on fire"),
    ):
        batches(spoilt(7, failing=range(6)))


def test_failing_targets_name_the_image():
    config = config_of(HandConfig, RPN_TRAIN_ANCHORS_PER_IMAGE=None)
    with (
        pytest.warns(UserWarning, match=r"Image \d .*: TypeError"),
        pytest.raises(RuntimeError, match=r"Image 1 .*: TypeError"),
    ):
        batches(shapes(2), config)


def test_augmentation_but_not_of_excluded_sources():
    def darken(image, masks):
        return image // 2, masks

    data, config = shapes(1), HandConfig()
    ((plain, _),) = batches(data)
    ((dark, _),) = batches(data, augmentation=darken)
    ((excluded, _),) = batches(data, augmentation=darken, no_augmentation_sources=["shapes"])
    mean = config.MEAN_PIXEL.astype("float32")
    assert_allclose(dark[0], (plain[0] + mean) // 2 - mean, atol=1e-3)
    assert_array_equal(excluded[0], plain[0])
    with pytest.warns(FutureWarning, match="augment"):
        flipped = {batches(data, augment=True)[0][0][0].tobytes() for _ in range(12)}
    assert flipped == {plain[0].tobytes(), plain[0][:, :, ::-1].tobytes()}


def test_images_of_one_batch_have_one_shape():
    dataset = ShapesDataset()
    dataset.load_shapes(1, 64, 64)
    dataset.load_shapes(1, 64, 128)
    dataset.prepare()
    config = config_of(HandConfig, IMAGE_RESIZE_MODE="pad64", IMAGE_MIN_DIM=64)
    with pytest.raises(ValueError, match=r"\[64, 64, 3\], \[64, 128, 3\]\] in mode 'pad64'"):
        batches(dataset, config, batch_size=2)
    # One by one each has its own anchors: twice the columns, twice as many, but for P6.
    found = [inputs[2].shape[1] for inputs, _ in batches(dataset, config, count=2)]
    assert found == [3 * (256 + 64 + 16 + 4 + 1), 3 * (512 + 128 + 32 + 8 + 2)]


def test_every_name_is_there():
    assert sorted(modellib.__all__) == modellib.__all__
    assert all(hasattr(modellib, name) for name in modellib.__all__)
    assert modellib.compose_image_meta is compose_image_meta


# ---- Dataset, load_image_gt


def test_append_data():
    first, other = utils.Dataset(), utils.Dataset()
    first.add_class("a", 1, "cat")
    first.add_image("a", "p", "p.png")
    other.add_class("b", 1, "dog")
    other.add_image("b", "q", "q.png")
    first.append_data(other.class_info, other.image_info)
    first.prepare()
    assert first.class_names == ["BG", "cat", "dog"]
    assert first.image_from_source_map == {"a.p": 0, "b.q": 1}


class OneBox(utils.Dataset):
    """A picture of 64 x 64 with an object in rows 8..15 and columns 16..31."""

    def __init__(self):
        super().__init__()
        self.add_class("box", 1, "box")
        self.add_image("box", 0, None)
        self.prepare()

    def load_image(self, image_id):
        return np.zeros((64, 64, 3), "uint8")

    def load_mask(self, image_id):
        masks = np.zeros((64, 64, 1), bool)
        masks[8:16, 16:32] = True
        return masks, np.array([1])


def test_augment_is_deprecated_and_flips_at_random():
    config, seen = config_of(NUM_CLASSES=2, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64), set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        with pytest.warns(FutureWarning, match="augmentation"):
            boxes = load_image_gt(OneBox(), config, 0, augment=True, rng=rng)[3]
        seen.add(boxes[0, 1].item())
    assert seen == {16, 32}  # flipped, columns 64 - 32 .. 64 - 16
