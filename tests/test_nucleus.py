import importlib.util
import os
import types
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread, imsave

from mrcnn.image import extract_bboxes

DATA = os.environ.get("MRCNN_DATA")


@pytest.fixture(scope="module")
def nucleus():
    path = Path(__file__).parents[1] / "samples" / "nucleus" / "nucleus.py"
    spec = importlib.util.spec_from_file_location("nucleus", path)
    sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sample)
    return sample


def write_image(folder, name, masks, size=(8, 6)):
    (folder / name / "images").mkdir(parents=True)
    image = np.full((*size, 4), (50, 60, 70, 255), np.uint8)
    imsave(folder / name / "images" / f"{name}.png", image, check_contrast=False)
    (folder / name / "masks").mkdir()
    for i, mask in enumerate(masks):
        path = folder / name / "masks" / f"{i}.png"
        imsave(path, mask.astype(np.uint8) * 255, check_contrast=False)


@pytest.fixture
def data_dir(tmp_path, nucleus):
    """Three images to train on, "a" to "c", and one to validate."""
    mask = np.zeros((8, 6), bool)
    mask[1:4, 2:5] = True
    for name in ("b", "a", "c", nucleus.VAL_IMAGE_IDS[3]):
        write_image(tmp_path / "stage1_train", name, [mask, ~mask])
    return tmp_path


class Model:
    """Stands in for `MaskRCNN`: detects the two masks of `data_dir`, records what it is told."""

    def __init__(self, config):
        self.config, self.calls = config, []

    def detect(self, images, verbose=0):
        assert images[0].shape == (8, 6, 3)
        mask = np.zeros((8, 6), bool)
        mask[1:4, 2:5] = True
        masks = np.stack([mask, ~mask], axis=-1)
        boxes, scores = extract_bboxes(masks), np.array([0.9, 0.8])
        return [{"rois": boxes, "masks": masks, "class_ids": np.array([1, 1]), "scores": scores}]

    def train(self, training, validation, **kwargs):
        self.calls.append((training, validation, kwargs))

    def find_last(self):
        return "newest.h5"

    def load_weights(self, path):
        self.calls.append(path)


def test_rle_by_hand(nucleus):
    # Columns are read top to bottom, left to right, from 1:  1 3 5 7
    #                                                          2 4 6 8
    mask = np.array([[1, 1, 0, 0], [0, 1, 0, 1]])
    assert nucleus.rle_encode(mask) == "1 1 3 2 8 1"
    np.testing.assert_array_equal(nucleus.rle_decode("1 1 3 2 8 1", (2, 4)), mask)


@pytest.mark.parametrize("value", [True, False])
def test_rle_of_full_and_empty_masks(nucleus, value):
    mask = np.full((3, 5), value)
    assert nucleus.rle_encode(mask) == ("1 15" if value else "")
    np.testing.assert_array_equal(nucleus.rle_decode(nucleus.rle_encode(mask), (3, 5)), mask)


def test_rle_round_trip(nucleus):
    mask = np.random.default_rng(0).random((13, 7)) < 0.5
    decoded = nucleus.rle_decode(nucleus.rle_encode(mask), mask.shape)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


def test_a_pixel_belongs_to_the_best_mask(nucleus):
    # Numbers as above, 2 x 3: masks 0: 1 2 3 4, 1: 3 4 5 6, 2: 3 4. By score: 1, then 0 without
    # 3 and 4, and nothing is left of 2.
    masks = np.zeros((2, 3, 3), bool)
    masks[:, :2, 0] = masks[:, 1:, 1] = masks[:, 1, 2] = True
    lines = nucleus.mask_to_rle("x", masks, np.array([0.5, 0.9, 0.4]))
    assert lines == "x,3 4\nx,1 2"
    assert nucleus.mask_to_rle("x", masks[:, :, :0], np.zeros(0)) == "x,"


def test_configs_have_matterports_values(nucleus):
    config = nucleus.NucleusConfig()
    expected = {
        "NAME": "nucleus",
        "BATCH_SIZE": 6,
        "NUM_CLASSES": 2,
        "STEPS_PER_EPOCH": 105,  # (657 - 25) // 6
        "VALIDATION_STEPS": 4,  # 25 // 6
        "DETECTION_MIN_CONFIDENCE": 0,
        "BACKBONE": "resnet50",
        "IMAGE_RESIZE_MODE": "crop",
        "IMAGE_MIN_DIM": 512,
        "IMAGE_MIN_SCALE": 2.0,
        "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128),
        "POST_NMS_ROIS_TRAINING": 1000,
        "POST_NMS_ROIS_INFERENCE": 2000,
        "RPN_NMS_THRESHOLD": 0.9,
        "RPN_TRAIN_ANCHORS_PER_IMAGE": 64,
        "TRAIN_ROIS_PER_IMAGE": 128,
        "MAX_GT_INSTANCES": 200,
        "DETECTION_MAX_INSTANCES": 400,
    }
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.MEAN_PIXEL.tolist() == [43.53, 39.56, 48.22]
    config.validate()
    inference = nucleus.NucleusInferenceConfig()
    assert (inference.BATCH_SIZE, inference.IMAGE_RESIZE_MODE) == (1, "pad64")
    assert inference.RPN_NMS_THRESHOLD == 0.7
    inference.validate()


def names(dataset):
    return [info["id"] for info in dataset.image_info]


def test_subsets(nucleus, data_dir, capsys):
    validation = nucleus.VAL_IMAGE_IDS[3]
    for subset, expected in [
        ("train", ["a", "b", "c"]),
        ("val", [validation]),
        ("stage1_train", sorted(["a", "b", "c", validation])),
    ]:
        dataset = nucleus.NucleusDataset()
        dataset.load_nucleus(data_dir, subset)
        assert names(dataset) == expected
    assert capsys.readouterr().out.count("Skipped 24 validation images") == 1
    dataset = nucleus.NucleusDataset()
    dataset.load_nucleus(data_dir, "train", limit=2)
    assert names(dataset) == ["a", "b"]


def test_missing_folder_wrong_subset_and_no_images(nucleus, tmp_path):
    dataset = nucleus.NucleusDataset()
    with pytest.raises(ValueError, match="stage1_test"):
        dataset.load_nucleus(tmp_path, "stage1_test")
    with pytest.raises(ValueError, match="'test'"):
        dataset.load_nucleus(tmp_path, "test")
    (tmp_path / "stage1_train").mkdir()
    with pytest.raises(ValueError, match="found none"):
        dataset.load_nucleus(tmp_path, "val")


def test_load_image_and_mask(nucleus, data_dir):
    write_image(data_dir / "stage1_test", "unlabelled", [])
    dataset = nucleus.NucleusDataset()
    dataset.load_nucleus(data_dir, "train")
    dataset.load_nucleus(data_dir, "stage1_test")
    dataset.prepare()
    assert dataset.class_names == ["BG", "nucleus"]
    assert dataset.load_image(0)[0, 0].tolist() == [50, 60, 70]
    masks, class_ids = dataset.load_mask(0)
    assert masks.dtype == bool
    assert masks.sum(axis=(0, 1)).tolist() == [9, 48 - 9]
    assert class_ids.tolist() == [1, 1]
    assert dataset.image_reference(0) == "a"
    masks, class_ids = dataset.load_mask(3)
    assert masks.shape == (8, 6, 0)
    assert class_ids.shape == (0,)


@pytest.mark.parametrize("shape", [(8, 8), (8, 6)])
def test_augment_moves_image_and_masks_alike(nucleus, shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[1:3, 2:5] = 100
    masks = np.zeros((*shape, 1), bool)
    masks[1:3, 2:5] = True
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        new_image, new_masks = nucleus.augment(image, masks, rng)
        assert new_image.shape == image.shape
        assert new_image.dtype == np.uint8
        assert new_masks.shape == masks.shape
        assert new_masks.sum() == 6
        if len(np.unique(new_image)) == 2:  # not blurred
            # 0.8 to 1.5 times 100
            assert 80 <= new_image[new_masks[..., 0]].min() <= new_image.max() <= 150
            assert (new_image[~new_masks[..., 0]] == 0).all()
        seen.add(new_masks.tobytes())
    # As it was, two flips, three quarter turns and some pairs: 4 or 8 orientations at most.
    assert len(seen) == (8 if shape[0] == shape[1] else 4)
    assert image.sum() == 6 * 3 * 100  # the arguments are left alone


def test_augment_repeats_with_its_seed(nucleus):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    masks = image[..., :1] > 99

    def run():
        rng = np.random.default_rng(5)
        return [nucleus.augment(image, masks, rng)[0] for _ in range(8)]

    assert np.array_equal(run(), run())


def test_schedule(nucleus, data_dir):
    model = Model(nucleus.NucleusConfig())
    nucleus.train(model, data_dir, "train")
    assert [(kwargs["layers"], kwargs["epochs"]) for *_, kwargs in model.calls] == [
        ("heads", 20),
        ("all", 40),
    ]
    training, validation, kwargs = model.calls[0]
    assert names(training) == ["a", "b", "c"]
    assert names(validation) == [nucleus.VAL_IMAGE_IDS[3]]
    assert kwargs["learning_rate"] == 0.001
    model = Model(nucleus.NucleusConfig())
    nucleus.train(model, data_dir, "train", epochs=3, layers="4+", limit=1)
    ((training, _, kwargs),) = model.calls
    assert (kwargs["layers"], kwargs["epochs"], names(training)) == ("4+", 3, ["a"])


def test_detect_writes_a_submission(nucleus, data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nucleus, "RESULTS_DIR", tmp_path / "results" / "nucleus")
    model = Model(nucleus.NucleusInferenceConfig())
    folder = nucleus.detect(model, data_dir, "train", limit=2, evaluate=True)
    assert folder.parent == tmp_path / "results" / "nucleus"
    assert folder.name.startswith("submit_")
    lines = (folder / "submit.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["ImageId", "a", "a", "b", "b"]
    # Columns 2 to 4 of 8 rows from row 1: pixels 18, 26 and 34, three each.
    assert lines[1] == "a,18 3 26 3 34 3"
    picture = imread(folder / "a.png")
    assert picture.shape == (8, 6, 3)
    assert capsys.readouterr().out.count("100.0") >= 6  # found exactly what is there


def test_command_line(nucleus):
    args = nucleus.parse_args(["train", "--dataset", "d", "--subset", "train", "--weights", "none"])
    assert args.logs == str(nucleus.DEFAULT_LOGS_DIR)
    assert (args.epochs, args.layers, args.limit) == (40, None, None)
    assert str(nucleus.make_config(args).to_dict()) == str(nucleus.NucleusConfig().to_dict())
    flags = "--crop 256 --batch-size 2 --steps-per-epoch 7 --learning-rate 0.01 --seed 3 --train-bn"
    line = f"train --dataset d --subset train --weights none {flags}"
    config = nucleus.make_config(nucleus.parse_args(line.split()))
    assert config.IMAGE_SHAPE.tolist() == [256, 256, 3]
    assert (config.BATCH_SIZE, config.STEPS_PER_EPOCH, config.LEARNING_RATE) == (2, 7, 0.01)
    assert (config.SEED, config.TRAIN_BN) == (3, True)
    line = "detect --dataset d --subset val --weights last --min-confidence 0.5"
    config = nucleus.make_config(nucleus.parse_args(line.split()))
    assert (config.DETECTION_MIN_CONFIDENCE, config.IMAGE_RESIZE_MODE) == (0.5, "pad64")
    with pytest.raises(SystemExit):
        nucleus.parse_args(["train", "--dataset", "d", "--subset", "train"])


def test_a_wrong_folder_is_told_before_a_model_is_built(nucleus, data_dir, monkeypatch, capsys):
    empty = data_dir / "stage1_train" / "a"
    for folder, message in [
        (data_dir / "none", "none: Expected the images of subset 'train' in the folder"),
        (empty, "Expected the images of subset 'train' in the folder"),
    ]:
        line = f"nucleus.py train --dataset {folder} --subset train --weights none"
        monkeypatch.setattr("sys.argv", line.split())
        with pytest.raises(SystemExit):
            nucleus.main()
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_weights(nucleus):
    model = Model(nucleus.NucleusConfig())
    for name in ("none", "last", "some.h5", "imagenet"):
        nucleus.load_weights(model, name)
    assert model.calls == ["newest.h5", "some.h5", "imagenet"]


def test_coco_weights_are_what_resnet_50_shares_with_matterports(nucleus, monkeypatch):
    given = {}
    model = types.SimpleNamespace(load_weights=lambda path, **keys: given.update(path=path, **keys))
    monkeypatch.setattr(nucleus, "fetch", lambda entry: f"cache/{entry.name}.h5")
    nucleus.load_weights(model, "coco")
    assert given["path"] == "cache/matterport/mask_rcnn_coco.h5" and given["by_name"] is True
    heads = {"mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask", "mrcnn_keypoint_deconv"}
    assert heads == set(given["exclude"])


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_real_nuclei(nucleus):
    validation, training = nucleus.NucleusDataset(), nucleus.NucleusDataset()
    validation.load_nucleus(Path(DATA) / "nuclei", "val")
    training.load_nucleus(Path(DATA) / "nuclei", "train")
    assert len(validation.image_info) == 25
    assert not set(names(validation)) & set(names(training))
    validation.prepare()
    image, (masks, class_ids) = validation.load_image(0), validation.load_mask(0)
    assert masks.shape == (*image.shape[:2], len(class_ids))
    assert masks.any(axis=(0, 1)).all()
    codes = nucleus.mask_to_rle("x", masks, np.ones(len(class_ids))).splitlines()
    union = sum(nucleus.rle_decode(code[2:], masks.shape[:2]) for code in codes)
    np.testing.assert_array_equal(union, masks.any(axis=-1))  # each pixel once
