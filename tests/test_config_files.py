"""Configs in files and as KEY=VALUE: exact round trips, errors that name file, line and key."""

import numpy as np
import pytest
from tiny import TinyConfig

from mrcnn.config import Config
from mrcnn.config_files import read_config, read_run, write_config
from mrcnn.config_values import KEYS, apply_assignments, convert, is_set, plain_values
from mrcnn.presets import PRESETS


def file(tmp_path, text, name="config.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def same(value, other):
    assert type(value) is type(other)
    np.testing.assert_array_equal(value, other)


class OddConfig(PRESETS["torchvision/maskrcnn_resnet50_fpn"]):
    NAME = "007"
    NUM_CLASSES = np.int64(3)
    LEARNING_RATE = np.float32(0.5)
    WEIGHT_DECAY = 1e-7
    STD_PIXEL = 1.0
    MEAN_PIXEL = np.array([1.0, 2.5, 3.0])
    RPN_ANCHOR_SCALES = (4, 8.5, 16, 32, 64)
    IMAGE_BUCKETS = [(832, 1344), (1344, 832)]  # noqa: RUF012
    LOSS_WEIGHTS = {"rpn_class_loss": 2.0}  # noqa: RUF012
    TRAIN_BN = None
    SEED = 3
    BATCH_SIZE = 5
    CLASSES = ("own", "attribute")


def test_round_trip_is_exact(tmp_path):
    config, path = OddConfig(), tmp_path / "config.yaml"
    write_config(config, path, class_names=["BG", "ballon d'été"], split=0.2)
    again = read_config(path)
    assert isinstance(again, PRESETS["torchvision/maskrcnn_resnet50_fpn"])
    for key in KEYS:
        value = getattr(config, key)
        same(value.item() if isinstance(value, np.generic) else value, getattr(again, key))
    assert again.BATCH_SIZE == 5 and not hasattr(again, "CLASSES")
    assert read_run(path) == {"class_names": ["BG", "ballon d'été"], "split": 0.2}


@pytest.mark.parametrize("preset", PRESETS)
def test_round_trip_of_every_preset(preset, tmp_path):
    config = PRESETS[preset]()
    write_config(config, tmp_path / "config.yaml")
    again = read_config(tmp_path / "config.yaml")
    for key in KEYS:
        same(getattr(config, key), getattr(again, key))


def test_what_differs_from_the_preset_comes_first(tmp_path):
    config = PRESETS["matterport/mask_rcnn_coco"]()
    apply_assignments(config, ["NAME=balloon", "IMAGE_MAX_DIM=512"])
    write_config(config, tmp_path / "config.yaml", data="balloon")
    lines = (tmp_path / "config.yaml").read_text().splitlines()
    assert lines[:5] == [
        "# What differs from matterport/mask_rcnn_coco.",
        "NAME: balloon",
        "PRESET: matterport/mask_rcnn_coco",
        "IMAGE_MAX_DIM: 512",
        "",
    ]
    assert "RPN_ANCHOR_SCALES: [32, 64, 128, 256, 512]" in lines
    assert lines[-2:] == ["run:", "  data: balloon"] or lines[-1] == "run: {data: balloon}"
    assert not any(line.startswith("BATCH_SIZE") for line in lines)  # it follows from others


def test_functions_are_named_and_refused(tmp_path):
    path = tmp_path / "config.yaml"
    write_config(TinyConfig(), path)
    assert "BACKBONE: <function tiny.tiny_backbone>" in path.read_text()
    with pytest.raises(ValueError, match=r"config.yaml, line \d+: BACKBONE was function tiny"):
        read_config(path)


def test_yaml_over_a_preset_and_over_config(tmp_path):
    text = "PRESET: detectron2/mask_rcnn_R_50_FPN_3x\nLEARNING_RATE: 1e-3  # a text in YAML 1.1\n"
    config = read_config(file(tmp_path, text))
    assert (config.LEARNING_RATE, config.BOX_OFFSET, config.NUM_CLASSES) == (0.001, 0, 81)
    assert is_set(config, "LEARNING_RATE") and not is_set(config, "NUM_CLASSES")
    config = read_config(file(tmp_path, "IMAGE_MIN_DIM: 512\nRPN_ANCHOR_SCALES: (8, 16)\n"))
    assert type(config) is Config
    assert config.RPN_ANCHOR_SCALES == (8, 16) and config.NAME is None
    assert read_config(file(tmp_path, "")).IMAGE_MIN_DIM == 800


@pytest.mark.parametrize(
    "text, message",
    [
        ("A: [1", "line 1: expected YAML"),
        ("NAME: a\nIMAGE_MAX_DIMS: 5", "line 2: IMAGE_MAX_DIMS is no .*did you mean IMAGE_MAX_DIM"),
        ("image_max_dim: 5", "line 1: image_max_dim is no key of Config; did you mean IMAGE_MAX"),
        ("NAME: a\n\nSEED: x", "line 3: SEED: expected a whole number or none, received 'x'"),
        ("NAME: a\nNAME: b", "line 2: NAME stands in line 1 already"),
        ("- a", "expected keys of Config, .* received a list"),
        ("PRESET: torch", "line 1: PRESET: expected one of matterport/.*received 'torch'"),
        ("IMAGE_MIN_DIM: 2026-13-45", "expected YAML: month must be in 1..12"),
        ("BACKBONE: !!python/name:os.system", "line 1: expected YAML: could not determine"),
        ("MEAN_PIXEL: [a, b, c]", "line 1: MEAN_PIXEL: expected numbers, such as 8,16,32, rec"),
        ("NAME: \x00", "expected YAML"),
        ("[" * 3000, "expected YAML"),
    ],
)
def test_errors_name_file_and_line(text, message, tmp_path):
    with pytest.raises(ValueError, match=f"(?s)config.yaml.*{message}"):
        read_config(file(tmp_path, text))


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.yaml: expected a config file, a .yaml or a .py"):
        read_config(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"NAME: \xe9t\xe9")
    with pytest.raises(ValueError, match=r"latin.yaml: expected text in UTF-8"):
        read_config(tmp_path / "latin.yaml")


# ---- Python files

PYTHON = """
from mrcnn.config import Config
from neighbour import SIDE

class First(Config):
    NAME = "first"

class Second(First):
    NAME = "second"
    IMAGE_MAX_DIM = SIDE

alias = First
"""


def test_python_file(tmp_path):
    path = file(tmp_path, PYTHON, "mine.py")
    file(tmp_path, "SIDE = 256", "neighbour.py")
    config = read_config(path)
    assert (config.NAME, config.IMAGE_MAX_DIM) == ("second", 256)
    assert is_set(config, "NAME") and not is_set(config, "IMAGE_MIN_DIM")
    assert read_config(f"{path}:First").NAME == "first"
    with pytest.raises(ValueError, match=r"mine.py: .*subclass Third, found Config, First, Second"):
        read_config(f"{path}:Third")


@pytest.mark.parametrize(
    "text, message",
    [
        ("from mrcnn.config import Config\n", "expected a subclass of mrcnn.config.Config"),
        ("x = 1\nx = 1 / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("x = 1\n\nclass :\n", "line 3: SyntaxError: invalid syntax"),
    ],
)
def test_python_files_that_do_not_work(text, message, tmp_path):
    with pytest.raises(ValueError, match=f"bad.py.*{message}"):
        read_config(file(tmp_path, text, "bad.py"))


# ---- KEY=VALUE


@pytest.mark.parametrize(
    "assignment, value",
    [
        ("IMAGE_MAX_DIM=512", 512),
        ("STEPS_PER_EPOCH=1e3", 1000),
        ("STEPS_PER_EPOCH=none", None),
        ("STEPS_PER_EPOCH=null", None),
        ("STEPS_PER_EPOCH=None", None),
        ("RPN_ANCHOR_SCALES=8,16,32,64,128", (8, 16, 32, 64, 128)),
        ("RPN_ANCHOR_SCALES=(8, 16, 32, 64, 128)", (8, 16, 32, 64, 128)),
        ("RPN_ANCHOR_SCALES=[8,16,32,64,128]", (8, 16, 32, 64, 128)),
        ("RPN_ANCHOR_RATIOS=1", [1]),
        ("MASK_SHAPE=28,28", [28, 28]),
        ("MEAN_PIXEL=1,2,3", np.array([1, 2, 3])),
        ("STD_PIXEL=2", 2),
        ("STD_PIXEL=1,2,3", np.array([1, 2, 3])),
        ("IMAGE_BUCKETS=[[64, 128]]", [(64, 128)]),
        ("IMAGE_BUCKETS=[(64, 128)]", [(64, 128)]),
        ("IMAGE_BUCKETS=none", None),
        ("TEST_SCALES=None", None),
        ("MAX_DEEPLAB_BLOCKS=1,1,2,1", (1, 1, 2, 1)),
        ("USE_MASK=false", False),
        ("USE_MASK=False", False),
        ("USE_MASK=0", False),
        ("TRAIN_BN=yes", True),
        ("LEARNING_RATE=1e-4", 0.0001),
        ("NAME=12", "12"),
        ("NAME=None", None),
        ("PRECISION=mixed_bfloat16", "mixed_bfloat16"),
        ("PRESET=matterport/mask_rcnn_coco", "matterport/mask_rcnn_coco"),
        ("LOSS_WEIGHTS.mrcnn_mask_loss=2", {**Config.LOSS_WEIGHTS, "mrcnn_mask_loss": 2}),
        ("LOSS_WEIGHTS.semantic_loss=2", {**Config.LOSS_WEIGHTS, "semantic_loss": 2}),
        ("LOSS_WEIGHTS={rpn_bbox_loss: 3}", {"rpn_bbox_loss": 3}),
        ("CLASS_WEIGHTS={2: 4.5, '3': 2, cat: 1}", {2: 4.5, 3: 2, "cat": 1}),
        ("CLASS_WEIGHTS=null", None),
        ("REPEAT_FACTOR_THRESHOLD=0.1", 0.1),
    ],
)
def test_assignments(assignment, value):
    config = Config()
    if isinstance(value, str) and value == "refused":
        with pytest.raises(ValueError, match="expected a whole number or none"):
            apply_assignments(config, [assignment])
        return
    assert apply_assignments(config, [assignment]) is config
    same(getattr(config, assignment.split("=")[0].split(".")[0]), value)
    assert Config.LOSS_WEIGHTS["mrcnn_mask_loss"] == 1.0  # the class's dict is its own


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("IMAGE_MAX_DIM", "'IMAGE_MAX_DIM': expected KEY=VALUE, such as"),
        ("IMG_MAX_DIM=5", "IMG_MAX_DIM=5: IMG_MAX_DIM is no key of Config; did you mean IMAGE_MAX"),
        ("XYZ=5", "XYZ is no key of Config$"),
        ("IMAGE_MAX_DIM=big", "IMAGE_MAX_DIM: expected a whole number, received 'big'"),
        ("IMAGE_MAX_DIM=2.5", "IMAGE_MAX_DIM: expected a whole number, received 2.5"),
        ("IMAGE_MAX_DIM=true", "IMAGE_MAX_DIM: expected a whole number, received True"),
        ("IMAGE_MAX_DIM=.inf", "IMAGE_MAX_DIM: expected a whole number, received inf"),
        ("IMAGE_MAX_DIM=", "IMAGE_MAX_DIM: expected a whole number, received None"),
        ("USE_MASK=perhaps", "USE_MASK: expected true or false, received 'perhaps'"),
        ("RPN_ANCHOR_SCALES=8,x", "RPN_ANCHOR_SCALES: expected numbers, such as 8,16,32, received"),
        ("MEAN_PIXEL={a: 1}", "MEAN_PIXEL: expected numbers"),
        ("LOSS_WEIGHTS=2", "LOSS_WEIGHTS: expected a number for each name"),
        ("CLASS_WEIGHTS=2", "CLASS_WEIGHTS: expected a number for each class, such as {2: 4.0} or"),
        ("LOSS_WEIGHTS.mrcn_masks=2", "no entry 'mrcn_masks'; did you mean mrcnn_mask_loss"),
        ("LOSS_WEIGHTS.mrcnn_mask_loss=a", "LOSS_WEIGHTS: expected a number for each name"),
        ("IMAGE_MAX_DIM.x=2", "IMAGE_MAX_DIM has no entries; expected IMAGE_MAX_DIM=VALUE"),
        ("PRESET=torchvision/maskrcnn_resnet50_fpn", "choose it with --preset torchvision/maskr"),
        ("COMPUTE_BACKBONE_SHAPE=3", "COMPUTE_BACKBONE_SHAPE: expected none, as a file holds no"),
    ],
)
def test_assignments_that_are_refused(assignment, message):
    with pytest.raises(ValueError, match=message) as error:
        apply_assignments(Config(), [assignment])
    assert "\n" not in str(error.value)


def test_plain_values_are_of_every_key_but_the_derived():
    values = plain_values(Config())
    assert set(KEYS) - set(values) == {"BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE"}
    assert set(KEYS) == set(Config().to_dict())
    assert values["MEAN_PIXEL"] == [123.7, 116.8, 103.9]
    assert values["RPN_ANCHOR_SCALES"] == [32, 64, 128, 256, 512]


def test_texts_are_kept_apart():
    config = apply_assignments(Config(), ["IMAGE_CHANNEL_FILES=_depth,../nir/"])
    assert config.IMAGE_CHANNEL_FILES == ("_depth", "../nir/")
    assert convert("IMAGE_CHANNEL_FILES", ["_depth"]) == ("_depth",)
    assert convert("IMAGE_CHANNEL_FILES", "") == ()
    with pytest.raises(ValueError, match="expected texts, such as _depth,_nir, received 5"):
        convert("IMAGE_CHANNEL_FILES", 5)
