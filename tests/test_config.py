"""Config: matterport's names and values, warnings, validation."""

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.presets import PRESETS
from mrcnn.settings import Settings


class Valid(Config):
    NAME = "valid"
    NUM_CLASSES = 2


def test_derived_values_follow_later_changes():
    config = Valid()
    config.IMAGES_PER_GPU = 5
    config.IMAGE_RESIZE_MODE = "crop"
    config.IMAGE_MIN_DIM = 512
    assert config.BATCH_SIZE == 5
    assert config.IMAGE_SHAPE.tolist() == [512, 512, 3]
    config.BATCH_SIZE = 1  # scripts do this; it stays
    assert config.BATCH_SIZE == 1


def test_modes_that_fix_no_sides_need_none():
    config = Config()
    config.IMAGE_RESIZE_MODE, config.IMAGE_MAX_DIM = "pad64", None
    assert config.IMAGE_SHAPE.tolist() == [800, 800, 3]
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM = "none", None
    assert Settings.from_config(config).image.shape == (1024, 1024)


def test_name_that_nearly_matches_a_key_warns():
    class Typo(Valid):
        IMAGE_MAX_DIMS = 512

    with pytest.warns(UserWarning, match="IMAGE_MAX_DIMS .* did you mean IMAGE_MAX_DIM"):
        Typo()


def test_own_attributes_do_not_warn():
    class Own(Valid):
        DATASET_PATH = "somewhere"
        CLASSES = ("a", "b")

    assert Own().to_dict()["DATASET_PATH"] == "somewhere"


def test_display_prints_sorted(capsys):
    Valid().display()
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:] if line.strip()]
    assert lines == sorted(lines)
    assert {"BATCH_SIZE", "IMAGE_SHAPE", "NAME", "WEIGHT_DECAY"} <= set(lines)
    assert "validate" not in lines


def test_valid_config_passes():
    Valid().validate()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NAME": None}, "NAME is None"),
        ({"NUM_CLASSES": 1}, "NUM_CLASSES is 1.*1 \\+ your classes"),
        ({"IMAGE_MAX_DIM": 1000}, "IMAGE_MAX_DIM is 1000.*960 or 1024"),
        ({"IMAGE_MIN_DIM": 1088}, "IMAGE_MIN_DIM is 1088 and IMAGE_MAX_DIM 1024"),
        ({"IMAGE_RESIZE_MODE": "pad64"}, "IMAGE_MIN_DIM is 800.*768 or 832"),
        ({"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 32}, "IMAGE_MIN_DIM is 32.*64 or 128"),
        ({"IMAGE_RESIZE_MODE": "squared"}, "IMAGE_RESIZE_MODE is 'squared'.*expected one of"),
        ({"RPN_ANCHOR_SCALES": (8, 16, 32)}, "RPN_ANCHOR_SCALES has 3 .* BACKBONE_STRIDES 5"),
        ({"MEAN_PIXEL": [1.0]}, r"MEAN_PIXEL has shape \(1,\) and IMAGE_CHANNEL_COUNT is 3"),
        ({"BACKBONE": "resnet18"}, "BACKBONE is 'resnet18'.*resnet50"),
        ({"MASK_SHAPE": [56, 56]}, r"MASK_SHAPE is \[56, 56\].*\[28, 28\]"),
        ({"ROI_ALIGN_MODE": "align"}, "ROI_ALIGN_MODE is 'align'"),
        ({"ROI_ALIGN_SAMPLING_RATIO": -1}, "ROI_ALIGN_SAMPLING_RATIO is -1"),
        ({"IMAGES_PER_GPU": 0}, "IMAGES_PER_GPU is 0"),
        ({"ROI_POSITIVE_RATIO": 0}, "ROI_POSITIVE_RATIO is 0"),
        ({"RPN_POSITIVE_RATIO": 1.5}, "RPN_POSITIVE_RATIO is 1.5"),
        ({"REPEAT_FACTOR_THRESHOLD": 0}, "REPEAT_FACTOR_THRESHOLD is 0; .*or None"),
        ({"CLASS_WEIGHTS": [1, 2]}, r"CLASS_WEIGHTS is \[1, 2\]; expected {class id: weight}"),
        ({"CLASS_WEIGHTS": {"cat": 2}}, "CLASS_WEIGHTS has the class 'cat'; expected ids of 0"),
        ({"CLASS_WEIGHTS": {1: -2}}, "CLASS_WEIGHTS has the weight -2"),
        ({"BACKBONE_STRIDES": [4, 8, 16, 32, 32]}, "BACKBONE_STRIDES is"),
        ({"DETECTION_NMS": "soft"}, "DETECTION_NMS is 'soft'; expected one of .*'gaussian'"),
        ({"DETECTION_NMS_SIGMA": 0}, "DETECTION_NMS_SIGMA is 0; expected above 0"),
        ({"TEST_SCALES": ()}, r"TEST_SCALES is \(\); expected factors such as"),
        ({"TEST_SCALES": 1.5}, "TEST_SCALES is 1.5; expected factors such as"),
        ({"TEST_SCALES": (1, 0)}, r"TEST_SCALES is \(1, 0\); expected factors from 0.1 to 10"),
        ({"TEST_OBJECT_SIZE": 0}, "TEST_OBJECT_SIZE is 0; expected pixels above 0, or None"),
        ({"TEST_OBJECT_SIZE": "40"}, "TEST_OBJECT_SIZE is '40'; expected pixels above 0, or None"),
        ({"TEST_SCALES": (1, 1.0)}, r"TEST_SCALES is \(1, 1.0\); each factor"),
        ({"TILE_SIZE": 31}, "TILE_SIZE is 31; expected whole pixels, 32 at least"),
        ({"TILE_SIZE": 512.0}, "TILE_SIZE is 512.0; expected whole"),
        ({"TILE_SIZE": 100, "IMAGE_RESIZE_MODE": "none"}, "TILE_SIZE is 100; .* multiples of 64"),
        ({"TILE_SIZE": 100, "TILE_OVERLAP": 51}, "TILE_OVERLAP is 51 and TILE_SIZE 100; .* half"),
        ({"TILE_SIZE": 100, "TILE_OVERLAP": 0}, "TILE_OVERLAP is 0 and"),
    ],
)
def test_impossible_combination_names_the_fix(changes, message):
    config = type("Broken", (Valid,), changes)()
    with pytest.raises(ValueError, match=message):
        config.validate()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"GRADIENT_CLIP_NORM": -1}, "GRADIENT_CLIP_NORM is -1; expected above 0, or None"),
        ({"WEIGHT_DECAY": -1}, "WEIGHT_DECAY is -1; expected 0 or more"),
        ({"WEIGHT_DECAY": float("nan")}, "WEIGHT_DECAY is nan; expected 0 or more"),
        ({"WORKERS": -3}, "WORKERS is -3; expected a whole number of 0 or more"),
        ({"IMAGE_CACHE_MB": 0.5}, "IMAGE_CACHE_MB is 0.5; expected a whole number of 0 or more"),
        ({"SEED": -1}, "SEED is -1; expected a whole number of 0 or more, or None"),
        ({"LEARNING_MOMENTUM": 1.5}, "LEARNING_MOMENTUM is 1.5; expected 0 to 1"),
        ({"DETECTION_MAX_INSTANCES": 0}, "DETECTION_MAX_INSTANCES is 0; expected at least 1"),
        ({"PRE_NMS_LIMIT": None}, "PRE_NMS_LIMIT is None; expected at least 1"),
        ({"PRE_NMS_LIMIT_TRAINING": 0}, "PRE_NMS_LIMIT_TRAINING is 0; expected at least 1, or"),
        ({"STEPS_PER_EPOCH": -1}, "STEPS_PER_EPOCH is -1; expected 0 or more, or None"),
        ({"RPN_CHANNELS": "many"}, "RPN_CHANNELS is 'many'; expected at least 1"),
        ({"MINI_MASK_SHAPE": (0, 0)}, r"MINI_MASK_SHAPE is \(0, 0\); expected 2 numbers above 0"),
        ({"MINI_MASK_SHAPE": 56}, "MINI_MASK_SHAPE is 56; expected 2 numbers above 0"),
        ({"BBOX_STD_DEV": (0.1, 0.1, 0, 0.2)}, "BBOX_STD_DEV is .*; expected 4 numbers above 0"),
        ({"RPN_ANCHOR_RATIOS": [1, -2]}, r"RPN_ANCHOR_RATIOS is .*; expected numbers above 0"),
        (
            {"RPN_ANCHOR_SCALES": ((8, 9), (0, 16), (32, 36), (64, 72), (128, 144))},
            "RPN_ANCHOR_SCALES is .*; expected numbers above 0",
        ),
        ({"LOSS_WEIGHTS": {"rpn_class_loss": -1}}, r"LOSS_WEIGHTS\['rpn_class_loss'\] is -1; "),
    ],
)
def test_a_number_out_of_its_range_is_told(changes, message):
    config = type("Broken", (Valid,), changes)()
    with pytest.raises(ValueError, match=message) as error:
        config.validate()
    assert str(error.value).count("\n- ") == 1  # this problem alone


def test_ends_of_the_ranges_are_in_them():
    keys = {"GRADIENT_CLIP_NORM": None, "WEIGHT_DECAY": 0, "WORKERS": 0, "SEED": 0}
    keys |= {"STEPS_PER_EPOCH": 2.0, "VALIDATION_STEPS": 0, "LEARNING_MOMENTUM": 0.0}
    keys |= {"USE_MINI_MASK": False, "MINI_MASK_SHAPE": None, "LOSS_WEIGHTS": {"rpn_bbox_loss": 0}}
    type("Works", (Valid,), keys)().validate()


def test_every_problem_is_listed_at_once():
    config = type("Broken", (Valid,), {"NUM_CLASSES": 1, "IMAGE_MAX_DIM": 100})()
    with pytest.raises(ValueError, match=r"(?s)NUM_CLASSES.*IMAGE_MAX_DIM"):
        config.validate()


def test_function_in_the_class_body_stays_a_function():
    def backbone(input_image, stage5=True, train_bn=None):
        return ["features"]

    config = type("Own", (Valid,), {"BACKBONE": backbone})()
    assert config.BACKBONE("image") == ["features"]


def test_method_backbone_gets_the_config():
    class Own(Valid):
        def BACKBONE(self, input_image, stage5=True, train_bn=None):
            return self.NAME

    assert Own().BACKBONE("image") == "valid"


def test_importing_the_config_is_light(run_python):
    heavy = "{'keras', 'tensorflow', 'jax', 'matplotlib', 'skimage', 'scipy'}"
    code = f"import sys, mrcnn.config, mrcnn.cli; print({heavy} & set(sys.modules))"
    assert run_python(code).strip() == "set()"


# ---- keys of the numerics families


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"IMAGE_INTERPOLATION": "bilinear"},
            r"IMAGE_INTERPOLATION is 'bilinear'; expected one of \('constant', 'edge', 'antialias'",
        ),
        (
            {"ROI_LEVEL_ROUNDING": "ceil"},
            r"ROI_LEVEL_ROUNDING is 'ceil'; expected one of \('round', 'floor'\)",
        ),
        ({"BOX_OFFSET": 2}, r"BOX_OFFSET is 2; expected one of \(0, 1\)"),
        (
            {"BOX_OFFSET": 0, "USE_MASK": False},
            "ROI_ALIGN_MODE is 'crop_and_resize'; it needs BOX_OFFSET = 1",
        ),
        (
            {"BOX_OFFSET": 0, "ROI_ALIGN_MODE": "roi_align"},
            "MASK_TARGET is 'crop_and_resize'; it needs BOX_OFFSET = 1",
        ),
        ({"PRESET": None}, "PRESET is None; expected a key of mrcnn.presets.PRESETS"),
        ({"STD_PIXEL": [1.0, 0.0, 1.0]}, "STD_PIXEL is .*; pixels are divided by it"),
        ({"NUM_CLASSES": "two"}, "NUM_CLASSES is 'two'; count background too"),
        ({"DETECTION_MIN_CONFIDENCE": 30}, "DETECTION_MIN_CONFIDENCE is 30; expected 0 to 1"),
        (
            {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MIN_DIM": None},
            "IMAGE_MIN_DIM is None and IMAGE_MAX_DIM .* 'shortest_edge' needs both",
        ),
        ({"BOX_OFFSET": 0.5}, r"BOX_OFFSET is 0.5; expected one of \(0, 1\)"),
        (
            {"BBOX_LOSS_NORMALIZER": "mean"},
            r"BBOX_LOSS_NORMALIZER is 'mean'; expected one of \('positives', 'sampled'\)",
        ),
        (
            {"MASK_TARGET": "align", "BOX_OFFSET": 0, "ROI_ALIGN_MODE": "roi_align"},
            r"MASK_TARGET is 'align'; expected one of .*'roi_align_binary'",
        ),
        (
            {"MASK_TARGET": "roi_align"},
            r"MASK_TARGET is 'roi_align'; it needs BOX_OFFSET = 0",
        ),
        (
            {"MASK_TARGET": "roi_align_binary", "BOX_OFFSET": 1},
            r"MASK_TARGET is 'roi_align_binary'; it needs BOX_OFFSET = 0",
        ),
        (
            {"MASK_PASTE": "paste"},
            r"MASK_PASTE is 'paste'; expected one of \('resize', 'padded', 'sampled'\)",
        ),
        ({"RPN_CONV_LAYERS": 0}, "RPN_CONV_LAYERS is 0; expected at least 1"),
        ({"BOX_HEAD_FC_LAYERS": 0}, "BOX_HEAD_FC_LAYERS is 0; expected at least 1"),
        (
            {"STD_PIXEL": [1.0, 2.0]},
            r"STD_PIXEL has shape \(2,\) and IMAGE_CHANNEL_COUNT is 3; give one value for each",
        ),
        ({"MEAN_PIXEL": 100.0}, r"MEAN_PIXEL has shape \(\) and IMAGE_CHANNEL_COUNT is 3"),
        (
            {"BACKBONE": "resnext50"},
            "BACKBONE is 'resnext50'.*resnext101_32x8d.*efficientnet_lite0",
        ),
        (
            {"IMAGE_RESIZE_MODE": "longest", "IMAGE_MIN_DIM": 768},
            "IMAGE_RESIZE_MODE is 'longest'.*shortest_edge",
        ),
    ],
)
def test_family_keys_are_checked(changes, message):
    config = type("Broken", (Valid,), changes)()
    with pytest.raises(ValueError, match=message) as error:
        config.validate()
    assert str(error.value).count("\n- ") == 1  # this problem alone


@pytest.mark.parametrize(
    "changes",
    [
        {"STD_PIXEL": 2.0},
        {"STD_PIXEL": np.array([1.0, 2.0, 3.0])},
        {"IMAGE_CHANNEL_COUNT": 1, "MEAN_PIXEL": [1.0]},  # one std for any channels
        # Neither needs a multiple of 64.
        {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MIN_DIM": 801, "IMAGE_MAX_DIM": 1333},
        {"IMAGE_RESIZE_MODE": "none", "IMAGE_MIN_DIM": 801, "IMAGE_MAX_DIM": 1333},
        {"MASK_TARGET": "roi_align", "BOX_OFFSET": 0, "ROI_ALIGN_MODE": "roi_align"},
        {"USE_MASK": False, "BOX_OFFSET": 0, "ROI_ALIGN_MODE": "roi_align"},
        {"RPN_CONV_LAYERS": 2, "BOX_HEAD_FC_LAYERS": 1, "BOX_HEAD_CONV_LAYERS": 4},
    ],
)
def test_family_keys_that_work(changes):
    type("Works", (Valid,), changes)().validate()


def test_defaults_are_matterports_family():
    config = Config()
    assert config.PRESET == "matterport/mask_rcnn_coco"
    assert (config.BOX_OFFSET, config.STD_PIXEL, config.BATCH_NORM_EPSILON) == (1, 1.0, 1e-3)
    assert config.CONV_BIAS_BEFORE_NORM and config.RESNET_STRIDE_IN_1X1
    assert not config.RESNET_SYMMETRIC_PADDING and not config.FPN_NORM
    assert config.BOX_HEAD_FC_NORM and config.MASK_HEAD_NORM and config.WEIGHT_DECAY_BY_SIZE
    assert not config.DETECTION_PER_CLASS and not config.RPN_NMS_PER_LEVEL
    assert (config.SMOOTH_L1_BETA, config.BBOX_LOSS_NORMALIZER) == (1.0, "positives")


# ---- presets


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_valid_and_knows_its_name(name):
    config = PRESETS[name]()
    config.validate()
    assert name == config.PRESET


@pytest.mark.parametrize("name", PRESETS)
def test_preset_sets_known_keys_only(name):
    keys = {key for key in dir(PRESETS[name]) if key.isupper()}
    assert keys == {key for key in dir(Config) if key.isupper()}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_can_be_subclassed(name):
    class Balloon(PRESETS[name]):
        NAME = "balloon"
        NUM_CLASSES = 3
        NUM_STUFF_CLASSES = min(1, PRESETS[name].NUM_STUFF_CLASSES)

    config = Balloon()
    config.validate()
    assert config.NAME == "balloon" and config.NUM_CLASSES == 3 and name == config.PRESET
    for key in Settings.from_config(Config()).numerics:
        np.testing.assert_array_equal(getattr(config, key), getattr(PRESETS[name], key))


def test_a_preset_with_stuff_wants_the_count_of_yours():
    config = PRESETS["detectron2/panoptic_fpn_R_50_3x"]()
    config.NUM_CLASSES = 5
    with pytest.raises(ValueError, match="NUM_STUFF_CLASSES is 53 and NUM_CLASSES 5; set both: "):
        config.validate()


def test_family_keys_are_keys_and_each_tells_families_apart():
    for key in Settings.from_config(Config()).numerics:
        values = {str(getattr(preset, key)) for preset in (Config, *PRESETS.values())}
        assert len(values) > 1, key


def test_matterports_preset_is_the_default():
    preset, config = PRESETS["matterport/mask_rcnn_coco"](), Config()
    for key, value in config.to_dict().items():
        if key not in ("NAME", "NUM_CLASSES", "IMAGE_META_SIZE"):
            np.testing.assert_array_equal(getattr(preset, key), value, err_msg=key)


@pytest.mark.parametrize(
    ("key", "advice"), [("IMAGE_PADDING", "IMAGE_RESIZE_MODE"), ("BACKBONE_SHAPES", "leave it out")]
)
def test_keys_of_the_first_versions_say_what_to_do_now(key, advice):
    old = type("Old", (Config,), {"NAME": "old", key: True})
    with pytest.warns(FutureWarning, match=f"Old.{key} has no effect any more; .*{advice}"):
        old()
