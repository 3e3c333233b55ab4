"""Loading arrays of any source: what is reported, what is refused, what warns."""

import dataclasses

import numpy as np
import pytest
from IPython.lib.pretty import pretty
from tiny import TinyConfig, tiny_of

from mrcnn import weights as convert
from mrcnn.files import download
from mrcnn.model import MaskRCNN
from mrcnn.network.named_weights import named_weights
from mrcnn.presets import PRESETS
from mrcnn.settings import Settings
from mrcnn.weights import registry
from mrcnn.weights.families import check_family, check_input
from mrcnn.weights.names import MASK_RCNN

LISTS = ("missing", "adapted", "zeroed", "unexpected", "wrong_shape", "excluded", "reinitialized")
# Kernel and bias of what depends on the number of classes.
CLASS_WEIGHTS = [
    f"{layer}/{variable}"
    for layer in ("mrcnn_bbox_fc", "mrcnn_class_logits", "mrcnn_mask")
    for variable in ("bias", "kernel")
]


def build(mode="inference", **changes):
    return MaskRCNN(mode, type("Changed", (TinyConfig,), changes)(), "logs")


def values(model):
    return {name: weight.numpy() for name, weight in named_weights(model.keras_model).items()}


def assert_values(model, expected, names=None):
    found = values(model)
    for name in found if names is None else names:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.fixture(scope="module")
def arrays():
    """What a tiny model of 4 classes holds, every weight of its own numbers."""
    rng = np.random.default_rng(0)
    found = {
        name: rng.uniform(0.5, 1.5, array.shape).astype("float32")
        for name, array in values(build()).items()
    }
    assert len(found) == 96 and sum(array.size for array in found.values()) < 50_000
    return found


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def six():
    return build(NUM_CLASSES=6)


@pytest.fixture(scope="module")
def training_six():
    return build("training", NUM_CLASSES=6)


def load(model, arrays, source="matterport", **options):
    return convert.load_state_dict(model, arrays, source, **options)


def without(arrays, *prefixes):
    return {name: array for name, array in arrays.items() if not name.startswith(prefixes)}


def assert_refused(model, arrays, **options):
    """The message of an error that left every weight as it was."""
    before = values(model)
    with pytest.raises(ValueError) as error:
        load(model, arrays, **options)
    assert_values(model, before)
    return str(error.value)


# ---- the report


def test_everything_is_loaded(model, arrays):
    report = load(model, arrays)
    assert report == {
        "source": "matterport",
        "epsilon": 0.001,
        "loaded": sorted(arrays),
        **{key: [] for key in LISTS},
    }
    assert_values(model, arrays)


def test_a_report_is_shown_by_the_lengths_of_its_lists(model, arrays):
    report = load(model, without(arrays, "fpn_p2/"), by_name=True)
    # Bias and kernel of the layer that was left out.
    shown = f"<report: {len(arrays) - 2} loaded, 2 missing, BatchNorm epsilon 0.001>"
    assert repr(report) == str(report) == pretty(report) == shown
    assert report["missing"] == ["fpn_p2/bias", "fpn_p2/kernel"]
    assert isinstance(report, dict) and len(dict(report)["loaded"]) == len(arrays) - 2
    report |= {"missing": [], "wrong_shape": ["a"], "unexpected": ["b", "c"]}
    assert repr(report) == (
        f"<report: {len(arrays) - 2} loaded, 0 missing, 2 unexpected, 1 wrong shape, "
        "BatchNorm epsilon 0.001>"
    )


def test_unknown_source_lists_the_known(model, arrays):
    message = assert_refused(model, arrays, source="caffe")
    assert "source is 'caffe'; expected one of ('torchvision', 'detectron2'" in message


def test_missing_and_unexpected_are_named_and_refused(model, arrays):
    other = {**without(arrays, "fpn_p2/"), "dense/kernel": np.zeros((2, 2))}
    message = assert_refused(model, other)
    assert "- 2 weights missing from the file: fpn_p2/bias, fpn_p2/kernel" in message
    assert "- 1 weights not in this model: dense/kernel" in message
    assert "by_name=True" in message


def test_long_lists_are_cut(model, arrays):
    # 12 of them: bias and kernel of the eight convolutions of the pyramid.
    message = assert_refused(model, without(arrays, "fpn_"))
    names = ", ".join(sorted(name for name in arrays if name.startswith("fpn_"))[:12])
    assert f"- 16 weights missing from the file: {names}, ... 16 in all" in message


def test_by_name_loads_what_both_have(model, arrays):
    zeros = {name: np.zeros_like(array) for name, array in arrays.items()}
    load(model, zeros)
    other = {**without(arrays, "fpn_p2/"), "dense/kernel": np.zeros((2, 2))}
    report = load(model, other, by_name=True)
    assert report["missing"] == ["fpn_p2/bias", "fpn_p2/kernel"]
    assert report["unexpected"] == ["dense/kernel"]
    assert report["loaded"] == sorted(without(arrays, "fpn_p2/"))
    assert_values(model, {**arrays, **{name: zeros[name] for name in report["missing"]}})


def test_by_name_does_not_forgive_shapes(six, arrays):
    message = assert_refused(six, arrays, by_name=True)
    assert "- 6 weights of another shape: mrcnn_bbox_fc/bias: file (16,), model (24,)" in message


@pytest.mark.parametrize("by_name", [False, True])
def test_nothing_in_common(model, by_name):
    message = assert_refused(model, {"dense/kernel": np.zeros((2, 2))}, by_name=by_name)
    assert "in common: none: file has dense/kernel, model " in message


def test_exclude_takes_layers_and_patterns(model, arrays):
    zeros = {name: np.zeros_like(array) for name, array in arrays.items()}
    load(model, zeros)
    report = load(model, arrays, exclude=["fpn_p2", "mrcnn_mask_conv[12]"])
    layers = {name.split("/")[0] for name in report["excluded"]}
    # Whole names: neither fpn_p2add, if it had weights, nor mrcnn_mask_conv1_bn.
    assert layers == {"fpn_p2", "mrcnn_mask_conv1", "mrcnn_mask_conv2"}
    assert report["excluded"] == sorted(
        f"{layer}/{variable}" for layer in layers for variable in ("bias", "kernel")
    )
    assert report["unexpected"] == report["missing"] == []
    assert_values(model, {**arrays, **{name: zeros[name] for name in report["excluded"]}})


def test_exclude_of_no_layer_warns(model, arrays):
    words = "exclude has 'fpn_p9', but no layer of the model is called so"
    with pytest.warns(UserWarning, match=words):
        report = load(model, arrays, exclude=["fpn_p2", "fpn_p9"])
    assert report["excluded"] == ["fpn_p2/bias", "fpn_p2/kernel"]


def test_exclude_of_a_model_inside_leaves_all_its_layers(model, arrays):
    report = load(model, arrays, exclude=["rpn_model"])
    layers = ("rpn_bbox_pred", "rpn_class_raw", "rpn_conv_shared")
    expected = [f"{layer}/{kind}" for layer in layers for kind in ("bias", "kernel")]
    assert report["excluded"] == expected


def test_what_is_excluded_need_not_be_in_the_file(model, arrays):
    report = load(model, without(arrays, "fpn_p2/"), exclude=["fpn_p2"])
    assert report["excluded"] == ["fpn_p2/bias", "fpn_p2/kernel"] and report["missing"] == []


@pytest.mark.parametrize(
    ("variance", "epsilon", "factor"),
    # sqrt((1.5 + 0.001) / (1.5 + 0.02)); sqrt((2e-13 + 0.001) / (2e-13 + 0)).
    [(1.5, 0.02, 0.9937303), (2e-13, 0.0, 70710.678)],
)
def test_epsilon_scales_gamma_so_that_the_outputs_stay(model, arrays, variance, epsilon, factor):
    variances = [name for name in arrays if name.endswith("/moving_variance")]
    given = {**arrays, **{name: np.full_like(arrays[name], variance) for name in variances}}
    gammas = [name.replace("/moving_variance", "/gamma") for name in variances]
    assert model.config.BATCH_NORM_EPSILON == 1e-3 and len(variances) == 11
    assert load(model, given, epsilon=epsilon)["epsilon"] == epsilon
    found = values(model)
    for name in gammas:
        np.testing.assert_allclose(found[name], given[name] * factor, rtol=1e-5)
    assert_values(model, given, set(given) - set(gammas))


def test_epsilon_is_that_of_the_bytes_whatever_the_file_is_called(
    model, arrays, tmp_path, monkeypatch, capsys
):
    entry = registry.find("torchvision/maskrcnn_resnet50_fpn")
    load(model, arrays)
    model.save_weights(tmp_path / entry.file_name)
    report = model.load_weights(tmp_path / entry.file_name)  # a file of ours under its name
    assert report["epsilon"] == 0.001
    assert_values(model, arrays)
    path = (tmp_path / entry.file_name).rename(tmp_path / "renamed.h5")
    facts = {key: download.measure(path)[key] for key in ("size", "sha256")}
    monkeypatch.setattr(registry, "REGISTRY", (dataclasses.replace(entry, **facts),))
    assert model.load_weights(path)["epsilon"] == 0
    assert capsys.readouterr().out.endswith("from matterport, BatchNorm epsilon 0\n")
    load(model, arrays)


# ---- heads of another class count, backbones without heads


def test_other_class_count_in_inference_is_refused(six, arrays):
    message = assert_refused(six, arrays)
    assert "mrcnn_class_logits/kernel: file (16, 4), model (16, 6)" in message
    assert "load these weights into MaskRCNN('training', ...), train, and detect" in message
    assert "exclude=['mrcnn_class_logits', 'mrcnn_bbox_fc', 'mrcnn_mask']" in message


def test_other_class_count_in_inference_with_the_heads_excluded(six, arrays):
    report = load(six, arrays, exclude=convert.CLASS_HEADS)
    assert report["excluded"] == CLASS_WEIGHTS
    assert len(report["loaded"]) == 96 - 6


def test_other_class_count_in_training_starts_the_heads_anew(training_six, arrays):
    weights = named_weights(training_six.keras_model)
    for name in CLASS_WEIGHTS:
        weights[name].assign(np.full(weights[name].shape, 7.0))
    words = (
        "heads of another class count than NUM_CLASSES = 6 start anew: "
        "mrcnn_bbox_fc, mrcnn_class_logits, mrcnn_mask$"
    )
    with pytest.warns(UserWarning, match=words):
        report = load(training_six, arrays)
    assert report["reinitialized"] == CLASS_WEIGHTS
    assert report["missing"] == report["unexpected"] == report["wrong_shape"] == []
    assert report["loaded"] == sorted(set(arrays) - set(CLASS_WEIGHTS))
    assert_values(training_six, arrays, report["loaded"])
    for name in CLASS_WEIGHTS:
        new = weights[name].numpy()
        if name.endswith("bias"):
            assert not new.any()
        else:  # Glorot's uniform: within sqrt(6 / (inputs + outputs)), 1 for 2 + 4 of them
            assert 0 < np.abs(new).max() < 1 and len(np.unique(new)) == new.size


def test_other_shapes_in_training_are_refused(training_six, arrays):
    # `mrcnn_mask_conv1` is not `mrcnn_mask`.
    other = {**arrays, "mrcnn_mask_conv1/kernel": np.zeros((3, 3, 8, 9))}
    message = assert_refused(training_six, other)
    words = "- 1 weights of another shape: mrcnn_mask_conv1/kernel: file (3, 3, 8, 9), model"
    assert words in message and "MaskRCNN('training'" not in message


def test_backbone_alone_loads_in_training(training_six, arrays):
    before = values(training_six)
    backbone = without(arrays, *MASK_RCNN.heads)
    assert len(backbone) == 5 * 6  # kernel, bias and four of BatchNorm
    report = load(training_six, backbone)
    assert report["loaded"] == sorted(backbone)
    assert report["missing"] == sorted(without(before, "res", "bn"))
    assert_values(training_six, {**before, **backbone})


def test_half_a_backbone_does_not_load_in_training(training_six, arrays):
    backbone = without(arrays, *MASK_RCNN.heads, "res5a")
    message = assert_refused(training_six, backbone)
    assert "- 2 weights missing from the file: res5a_conv/bias, res5a_conv/kernel" in message


def test_backbone_with_some_heads_does_not_load_in_training(training_six, arrays):
    message = assert_refused(training_six, without(arrays, "rpn_", "mrcnn_"))
    assert "missing from the file: mrcnn_bbox_fc/bias" in message


def test_backbone_alone_does_not_load_in_inference(model, arrays):
    message = assert_refused(model, without(arrays, *MASK_RCNN.heads))
    assert "A model in inference mode needs trained heads of its own class count" in message
    assert "66 weights missing from the file" in message


def test_masks_of_a_file_are_left_out_without_use_mask(arrays):
    boxes = build(USE_MASK=False)
    report = load(boxes, arrays)
    # Four convolutions and norms, the transposed one and the last: 4 * 6 + 2 * 2.
    masks = sorted(name for name in arrays if name.startswith("mrcnn_mask"))
    assert report["unexpected"] == masks and len(masks) == 28
    assert_values(boxes, arrays)
    # Other names are still refused.
    message = assert_refused(boxes, {**arrays, "dense/kernel": np.zeros(2)})
    assert "- 1 weights not in this model: dense/kernel" in message


def test_a_file_without_masks_is_refused_with_use_mask(model, arrays):
    message = assert_refused(model, without(arrays, "mrcnn_mask"))
    assert "- 28 weights missing from the file: mrcnn_mask/bias" in message


# ---- convolutions without biases before a norm


def normalized_biases(arrays):
    """Biases of the convolutions that a BatchNorm follows: five, two and four."""
    found = [f"res{stage}a_conv/bias" for stage in (1, 2, 3, 4, 5)]
    found += [f"mrcnn_class_conv{i}/bias" for i in (1, 2)]
    found += [f"mrcnn_mask_conv{i}/bias" for i in (1, 2, 3, 4)]
    assert set(found) <= set(arrays)
    return sorted(found)


def test_biases_before_a_norm_become_zero(model, arrays):
    biases = normalized_biases(arrays)
    load(model, arrays)
    report = load(model, without(arrays, *biases))
    assert report["zeroed"] == biases and report["missing"] == []
    zeros = {name: np.zeros_like(arrays[name]) for name in biases}
    assert_values(model, {**arrays, **zeros})


def test_one_bias_before_a_norm_is_missing(model, arrays):
    # The others are there: the source has such biases.
    message = assert_refused(model, without(arrays, "res3a_conv/bias"))
    assert "- 1 weights missing from the file: res3a_conv/bias" in message


def test_other_biases_are_missing(model, arrays):
    message = assert_refused(model, without(arrays, "fpn_p2/bias", *normalized_biases(arrays)))
    assert "- 1 weights missing from the file: fpn_p2/bias" in message


# ---- families


def warned(model, arrays, preset):
    with pytest.warns(UserWarning) as record:
        load(model, arrays, preset=preset)
    assert len(record) == 1
    return str(record[0].message)


def test_another_family_warns_with_keys_and_preset(model, arrays):
    preset = "torchvision/maskrcnn_resnet50_fpn"
    message = warned(model, arrays, preset)
    assert message.startswith("these weights are torchvision's and the config is of the family ")
    assert f"matterport: they will detect worse. Subclass PRESETS[{preset!r}]" in message
    for words in ("BATCH_NORM_EPSILON = 1e-05", "BOX_OFFSET = 0", "MASK_PASTE = padded"):
        assert words in message
    assert_values(model, arrays)


def test_only_differing_keys_are_named():
    config = PRESETS["torchvision/maskrcnn_resnet50_fpn"]()
    with pytest.warns(UserWarning) as record:
        check_family(Settings.from_config(config), "detectron2/mask_rcnn_R_50_FPN_3x")
    message = str(record[0].message)
    named = {key for key in Settings.from_config(config).numerics if f" {key} = " in message}
    assert named == {
        *("RESNET_STRIDE_IN_1X1", "IMAGE_INTERPOLATION", "STD_PIXEL", "RPN_ANCHOR_ROUNDING"),
        "RPN_ANCHOR_MEASURED_STRIDES",
        *("ROI_ALIGN_ALIGNED", "ROI_ALIGN_SAMPLING_RATIO", "MASK_PASTE"),
    }


def test_a_config_that_was_given_the_keys_does_not_warn():
    wanted = PRESETS["detectron2/mask_rcnn_R_50_FPN_3x"]
    keys = {key: getattr(wanted, key) for key in Settings.from_config(wanted()).numerics}
    config = type("Mine", (TinyConfig,), keys)()
    check_family(Settings.from_config(config), wanted.PRESET)
    config.MASK_PASTE = "resize"
    with pytest.warns(UserWarning, match=r"or set MASK_PASTE = sampled$"):
        check_family(Settings.from_config(config), wanted.PRESET)


@pytest.mark.parametrize(
    ("config", "preset"),
    [
        ("torchvision/maskrcnn_resnet50_fpn", "torchvision/maskrcnn_resnet50_fpn_v2"),
        ("detectron2/mask_rcnn_R_50_FPN_3x", "detectron2/mask_rcnn_X_101_32x8d_FPN_3x"),
        ("matterport/mask_rcnn_coco", "matterport/mask_rcnn_coco"),
        ("matterport/mask_rcnn_coco", None),
        ("matterport/mask_rcnn_coco", "nobody/knows"),
    ],
)
def test_one_family_and_unknown_presets_do_not_warn(config, preset):
    check_family(Settings.from_config(PRESETS[config]()), preset)


def test_the_family_of_a_file_is_guessed(arrays):
    # Arrays in matterport's layout come to a model of torchvision's numerics.
    model = MaskRCNN("inference", tiny_of("torchvision/maskrcnn_resnet50_fpn"), "logs")
    mine = {name: np.ones(array.shape, "float32") for name, array in values(model).items()}
    with pytest.warns(UserWarning, match="these weights are matterport's"):
        load(model, mine)
    load(model, mine, preset="torchvision/maskrcnn_resnet50_fpn_v2")


# ---- input of backbones


def test_pixels_of_another_range_warn():
    config = TinyConfig()
    with pytest.warns(UserWarning) as record:
        check_input(Settings.from_config(config), "efficientnet_lite")
    messages = [str(warning.message) for warning in record]
    assert len(messages) == 2
    assert messages[0].startswith("efficientnet_lite's weights were trained with MEAN_PIXEL = 127")
    assert "STD_PIXEL = 128.0, the config has 1.0" in messages[1]


def test_pixels_of_the_same_range_do_not_warn():
    # (123.7, 116.8, 103.9) and (123.68, 116.779, 103.939) differ by less than 0.1.
    check_input(Settings.from_config(PRESETS["matterport/mask_rcnn_coco"]()), "keras_applications")
    keys = {"MEAN_PIXEL": np.full(3, 127.0), "STD_PIXEL": np.full(3, 128.0)}
    check_input(Settings.from_config(type("", (TinyConfig,), keys)()), "efficientnet_lite")
    for source in ("matterport", "torchvision", "detectron2"):
        check_input(Settings.from_config(TinyConfig()), source)


def test_pixels_of_another_channel_count_do_not_fail():
    # `load_weights("imagenet", exclude=["conv1"])` of a model of four channels.
    keys = {"IMAGE_CHANNEL_COUNT": 4, "MEAN_PIXEL": np.array([123.7, 116.8, 103.9, 100.0])}
    check_input(Settings.from_config(type("", (TinyConfig,), keys)()), "keras_applications")


# ---- what a file tells of itself


@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["backbone.bottom_up.stem.conv1.weight"], "detectron2"),
        (["backbone.body.conv1.weight"], "torchvision"),
        (["conv1.weight", "layer1.0.conv1.weight"], "torchvision"),
        (["conv1_conv/kernel", "conv1_bn/gamma"], "keras_applications"),
        (["conv1/conv1_W", "bn_conv1/bn_conv1_gamma"], "keras_applications"),
        (["conv1/kernel", "mrcnn_mask/bias"], "matterport"),
        (["res1a_conv/kernel"], "matterport"),
    ],
)
def test_guess_source(names, source):
    assert convert.guess_source(dict.fromkeys(names)) == source


def test_guess_source_of_foreign_names():
    with pytest.raises(
        ValueError, match=r"of no known source; .* received a, b, c, d, e, \.\.\. 6"
    ):
        convert.guess_source(dict.fromkeys("abcdef"))


SCORES = "roi_heads.box_predictor.cls_score.weight"
STUFF = "sem_seg_head.predictor.weight"


@pytest.mark.parametrize(
    ("source", "arrays", "count"),
    [
        ("torchvision", {SCORES: np.zeros((91, 1024))}, 91),
        ("detectron2", {SCORES: np.zeros((81, 1024))}, 81),
        ("detectron2", {SCORES.replace("r.c", "r.0.c"): np.zeros((81, 1024))}, 81),
        ("detectron2", {SCORES: np.zeros((81, 9)), STUFF: np.zeros((54, 128, 1, 1))}, 134),
        ("detectron2", {STUFF: np.zeros((54, 128, 1, 1))}, 54),
        ("matterport", {"semantic_logits/kernel": np.zeros((1, 1, 128, 7))}, 7),
        ("matterport", {"mrcnn_class_logits/kernel": np.zeros((1024, 4))}, 4),
        ("matterport", {"conv1/kernel": np.zeros((7, 7, 3, 64))}, None),
        ("torchvision", {"conv1.weight": np.zeros((64, 3, 7, 7))}, None),
        ("keras_applications", {"mrcnn_class_logits/kernel": np.zeros((1024, 4))}, None),
    ],
)
def test_count_classes(source, arrays, count):
    assert convert.count_classes(arrays, source) == count


STAGES = "backbone.bottom_up."


@pytest.mark.parametrize(
    ("shapes", "preset"),
    [
        ({"mrcnn_mask/kernel": (1, 1, 256, 81)}, "matterport/mask_rcnn_coco"),
        (
            {"backbone.body.conv1.weight": (64, 3, 7, 7)},
            "torchvision/maskrcnn_resnet50_fpn",
        ),
        (
            {
                "backbone.body.conv1.weight": (64, 3, 7, 7),
                "backbone.fpn.inner_blocks.0.1.weight": (256,),
            },
            "torchvision/maskrcnn_resnet50_fpn_v2",
        ),
        ({STAGES + "res2.0.conv2.weight": (64, 64, 3, 3)}, "detectron2/mask_rcnn_R_50_FPN_3x"),
        (
            {STAGES + "res2.0.conv2.weight": (64, 64, 3, 3), STUFF: (54, 128, 1, 1)},
            "detectron2/panoptic_fpn_R_50_3x",
        ),
        (
            {
                STAGES + "res2.0.conv2.weight": (64, 64, 3, 3),
                STAGES + "res4.22.conv1.weight": (256, 1024, 1, 1),
            },
            "detectron2/mask_rcnn_R_101_FPN_3x",
        ),
        (
            {
                STAGES + "res2.0.conv2.weight": (256, 8, 3, 3),
                STAGES + "res4.22.conv1.weight": (1024, 1024, 1, 1),
            },
            "detectron2/mask_rcnn_X_101_32x8d_FPN_3x",
        ),
        (
            {
                STAGES + "res2.0.conv2.weight": (64, 64, 3, 3),
                "roi_heads.box_predictor.0.cls_score.weight": (81, 1024),
            },
            "detectron2/cascade_mask_rcnn_R_50_FPN_3x",
        ),
        (
            {
                "backbone.res2.0.conv2.weight": (64, 64, 3, 3),
                "roi_heads.res5.0.conv1.weight": (512, 1024, 1, 1),
            },
            "detectron2/mask_rcnn_R_50_C4_3x",
        ),
        (
            {"backbone.res5.0.conv1.weight": (512, 1024, 1, 1)},
            "detectron2/mask_rcnn_R_50_DC5_3x",
        ),
        ({"conv1_conv/kernel": (7, 7, 3, 64)}, None),
    ],
)
def test_guess_preset(shapes, preset):
    arrays = {name: np.broadcast_to(0.0, shape) for name, shape in shapes.items()}
    assert convert.guess_preset(arrays) == preset
    assert preset is None or preset in PRESETS


def test_summarize():
    report = {"source": "torchvision", "epsilon": 0.0, "loaded": ["a"] * 3}
    report |= {key: [] for key in LISTS}
    assert convert.summarize(report) == "3 weights loaded from torchvision, BatchNorm epsilon 0"
    report |= {"missing": ["b"], "unexpected": ["c"] * 2, "reinitialized": ["d"] * 6}
    report |= {"epsilon": 1.001e-5}
    assert convert.summarize(report) == (
        "3 weights loaded from torchvision, 1 missing, 2 unexpected, 6 reinitialized, "
        "BatchNorm epsilon 1.001e-05"
    )
    report |= {"excluded": ["e"], "wrong_shape": ["f"]}
    assert "1 wrong shape, 1 excluded" in convert.summarize(report)


def test_mismatch_of_another_family_names_its_preset(model):
    arrays = {"backbone.body.conv1.weight": np.zeros((64, 3, 7, 7), "float32")}
    words = r"family torchvision: subclass PRESETS\['torchvision/maskrcnn_resnet50_fpn'\]"
    with pytest.raises(ValueError, match=words):
        convert.load_state_dict(model, arrays, "torchvision")
