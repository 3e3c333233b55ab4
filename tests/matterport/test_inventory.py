"""Every row of matterport's interface (`inventory.py`) is there, with its name and defaults."""

import argparse
import importlib
import importlib.util
import inspect
import shlex
import sys
from pathlib import Path

import inventory
import keras
import numpy as np
import pytest
from builders import box_head, mask_head
from tiny import TinyConfig, shapes

from mrcnn.config import Config

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("resnet50", "resnet101")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def plain(value):
    """A value whose == is a bool and does not tell lists, tuples and arrays apart."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    return value


# ---- names and signatures


def signature_rows():
    """(module, owner or None, row) of each line of the signature tables."""
    for module, table in inventory.SIGNATURES.items():
        owner = None
        for line in filter(str.strip, table.splitlines()):
            row = " ".join(line.split())
            member = row.startswith(".")
            if row.startswith("class "):
                row = row.removeprefix("class ")
                owner = row.split("(")[0]
            place = f"{module}: {owner if member else ''}{row}"
            yield pytest.param(module, owner if member else None, row, id=place)


def load(module):
    """A module of the package, or a sample as a module of its own."""
    if not module.endswith(".py"):
        return importlib.import_module(module)
    name = "sample_" + Path(module).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / module)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def assert_compatible(received, expected):
    """Each expected parameter at its place with its name and default; ours follow, optional.

    What is required there may be optional here.
    """
    received, expected = list(received.parameters.values()), list(expected.parameters.values())
    open_end = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in received)
    named = [p for p in expected if p.kind not in VARIABLE]
    for place, parameter in enumerate(named):
        assert place < len(received), f"{parameter} is missing"
        ours = received[place]
        assert ours.name == parameter.name
        assert ours.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if parameter.default is not inspect.Parameter.empty:
            assert plain(ours.default) == plain(parameter.default), ours.name
    for ours in received[len(named) :]:
        assert ours.kind in VARIABLE or ours.default is not inspect.Parameter.empty, ours
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in expected):
        assert open_end, "expected **kwargs"


@pytest.mark.parametrize(("module", "owner", "row"), [*signature_rows()])
def test_signature(module, owner, row):
    home = getattr(load(module), owner) if owner else load(module)
    name, arguments = row.lstrip(".").partition("(")[::2]
    found = getattr(home, name)
    if not arguments:
        return
    signature = inspect.signature(found)
    if owner and not isinstance(inspect.getattr_static(home, name), (staticmethod, classmethod)):
        parameters = list(signature.parameters.values())
        assert parameters[0].name == "self"
        signature = signature.replace(parameters=parameters[1:])
    expected = inspect.signature(eval(f"lambda {arguments.removesuffix(')')}: None"))
    assert_compatible(signature, expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "compatible"),
    [
        (lambda a, b=1: 0, lambda a, b=1: 0, True),
        (lambda a, b=1, *, c=2, **d: 0, lambda a, b=1: 0, True),
        (lambda a, b=(1, 2): 0, lambda a, b=[1, 2]: 0, True),
        (lambda a=1, b=1: 0, lambda a, b=1: 0, True),
        (lambda a, c=1: 0, lambda a, b=1: 0, False),  # another name
        (lambda a, b=2: 0, lambda a, b=1: 0, False),  # another default
        (lambda a, b: 0, lambda a, b=1: 0, False),  # no default
        (lambda a, *, b=1: 0, lambda a, b=1: 0, False),  # cannot be given by place
        (lambda a, c=0, b=1: 0, lambda a, b=1: 0, False),  # another place
        (lambda a, b=1, *, c: 0, lambda a, b=1: 0, False),  # requires more
        (lambda a: 0, lambda a, b=1: 0, False),  # lacks one
        (lambda a: 0, lambda a, **k: 0, False),  # takes no others
    ],
)
def test_what_counts_as_compatible(ours, theirs, compatible):
    ours, theirs = map(inspect.signature, (ours, theirs))
    if compatible:
        assert_compatible(ours, theirs)
    else:
        with pytest.raises(AssertionError):
            assert_compatible(ours, theirs)


def test_coco_model_url():
    assert load("mrcnn.utils").COCO_MODEL_URL.endswith("/v2.0/mask_rcnn_coco.h5")


def test_batch_norm_is_kerass():
    assert issubclass(load("mrcnn.model").BatchNorm, keras.layers.BatchNormalization)


def test_parallel_model_is_a_keras_model():
    assert issubclass(load("mrcnn.parallel_model").ParallelModel, keras.Model)


def test_layers_carry_the_name_that_they_are_given():
    model = load("mrcnn.model")
    config = TinyConfig()
    layers = [
        model.ProposalLayer(10, 0.7, config=config, name="a"),
        model.PyramidROIAlign([7, 7], name="b"),
        model.DetectionTargetLayer(config, name="c"),
        model.DetectionLayer(config, name="d"),
        model.BatchNorm(name="e"),
    ]
    assert [layer.name for layer in layers] == list("abcde")


# ---- Config


@pytest.mark.parametrize("name", inventory.CONFIG)
def test_config_default(name):
    value, expected = getattr(Config(), name), inventory.CONFIG[name]
    if isinstance(expected, dict):  # heads that matterport has not have losses too
        value = {key: value[key] for key in expected}
    assert plain(value) == plain(expected)


def test_derived_config_values():
    class Coco(Config):
        NUM_CLASSES = 81
        GPU_COUNT = 3

    config = Coco()
    assert config.BATCH_SIZE == 6  # 2 images * 3
    assert config.IMAGE_SHAPE.tolist() == [1024, 1024, 3]
    assert config.IMAGE_META_SIZE == 93  # 1 + 3 + 3 + 4 + 1 + 81


@pytest.mark.parametrize(("sample", "name"), inventory.SAMPLE_CONFIGS)
def test_config_of_a_sample(sample, name):
    config = getattr(load(sample), name)()
    expected = inventory.SAMPLE_CONFIGS[sample, name]
    assert {key: plain(getattr(config, key)) for key in expected} == {
        key: plain(value) for key, value in expected.items()
    }


# ---- command lines


class Parsed(Exception):
    """Ends a program after it read its command line."""


def parse(sample, arguments, monkeypatch):
    """What the program `sample` reads from a command line; nothing of it runs after that."""
    read = argparse.ArgumentParser.parse_args

    def parse_args(self, args=None, namespace=None):
        raise Parsed(read(self, args, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", [sample, *shlex.split(arguments)])
    try:
        # As `python sample.py` does, in a name space of its own.
        spec = importlib.util.spec_from_file_location("__main__", ROOT / sample)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except Parsed as parsed:
        return vars(parsed.args[0])
    raise AssertionError(f"{sample} did not read its command line")


COMMANDS = [(sample, *row) for sample, rows in inventory.COMMANDS.items() for row in rows]


@pytest.mark.parametrize(("sample", "arguments", "expected"), COMMANDS)
def test_command_line(sample, arguments, expected, monkeypatch):
    found = parse(sample, arguments, monkeypatch)
    if "logs" in found:
        found["logs"] = str(found["logs"]).replace(str(ROOT), "<root>")
    if "year" in found:
        found["year"] = str(found["year"])
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("sample", "arguments"), inventory.REFUSED_COMMANDS)
def test_command_line_without_a_required_flag(sample, arguments, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        parse(sample, arguments, monkeypatch)
    assert "required" in capsys.readouterr().err


def test_nuclei_held_out():
    nucleus = load("samples/nucleus/nucleus.py")
    assert len(set(nucleus.VAL_IMAGE_IDS)) == 25
    assert {len(name) for name in nucleus.VAL_IMAGE_IDS} == {64}
    assert str(nucleus.RESULTS_DIR) == str(ROOT / "results" / "nucleus")


# ---- instances


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tiny model of each mode."""
    folder = tmp_path_factory.mktemp("logs")
    model = load("mrcnn.model").MaskRCNN
    return {mode: model(mode, TinyConfig(), folder) for mode in ("training", "inference")}


@pytest.mark.parametrize("name", sorted(inventory.DATASET_ATTRIBUTES))
def test_dataset_attribute(name):
    assert hasattr(shapes(1), name)


@pytest.mark.parametrize("name", sorted(inventory.MODEL_ATTRIBUTES))
@pytest.mark.parametrize("mode", ["training", "inference"])
def test_model_attribute(models, mode, name):
    assert hasattr(models[mode], name)


def test_model_remembers_its_anchors_in_pixels(models):
    model = models["inference"]
    normalised = model.get_anchors((64, 64, 3))
    assert normalised.shape == model.anchors.shape == (1023, 4)  # 3 * (16² + 8² + 4² + 2² + 1²)
    # (y1, x1) / 63 and (y2 - 1, x2 - 1) / 63.
    expected = (model.anchors - [0, 0, 1, 1]) / 63
    np.testing.assert_allclose(normalised, expected, atol=1e-6)


# ---- inputs and outputs


def sizes(config):
    return {
        "C": config.IMAGE_CHANNEL_COUNT,
        "K": config.NUM_CLASSES,
        "12 + K": 12 + config.NUM_CLASSES,
        "D": config.DETECTION_MAX_INSTANCES,
        "N": config.POST_NMS_ROIS_INFERENCE,
        "R": config.POST_NMS_ROIS_TRAINING,
        "T": config.TRAIN_ROIS_PER_IMAGE,
        "P": int(config.TRAIN_ROIS_PER_IMAGE * config.ROI_POSITIVE_RATIO),
        "A": 1023,  # 3 * (16² + 8² + 4² + 2² + 1²)
        "m": config.MINI_MASK_SHAPE[0],
        28: config.MASK_SHAPE[0],
    }


def assert_shape(tensor, expected, config):
    """None in `expected` takes any size, and so does a size that the graph leaves open."""
    received = tuple(tensor.shape)[1:] if expected else ()
    assert len(received) == len(expected), received
    for ours, theirs in zip(received, expected, strict=True):
        theirs = sizes(config).get(theirs, theirs)
        assert theirs is None or ours in (None, theirs), received


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_name_of_the_keras_model(models, mode):
    assert models[mode].keras_model.name == "mask_rcnn"


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_order_of_inputs_and_outputs(models, mode):
    keras_model = models[mode].keras_model
    inputs = getattr(inventory, f"{mode.upper()}_INPUTS")
    outputs = getattr(inventory, f"{mode.upper()}_OUTPUTS")
    assert [tensor.name for tensor in keras_model.inputs] == [name for name, *_ in inputs]
    assert keras_model.output_names == [name for name, _ in outputs]


INPUTS = [("training", *row) for row in inventory.TRAINING_INPUTS]
INPUTS += [("inference", *row) for row in inventory.INFERENCE_INPUTS]
OUTPUTS = [("training", *row) for row in inventory.TRAINING_OUTPUTS]
OUTPUTS += [("inference", *row) for row in inventory.INFERENCE_OUTPUTS]


@pytest.mark.parametrize(("mode", "name", "shape", "dtype"), INPUTS)
def test_input(models, mode, name, shape, dtype):
    inputs = {tensor.name: tensor for tensor in models[mode].keras_model.inputs}
    assert_shape(inputs[name], shape, TinyConfig())
    assert keras.backend.standardize_dtype(inputs[name].dtype) == dtype


@pytest.mark.parametrize(("mode", "name", "shape"), OUTPUTS)
def test_output(models, mode, name, shape):
    keras_model = models[mode].keras_model
    outputs = dict(zip(keras_model.output_names, keras_model.outputs, strict=True))
    assert_shape(outputs[name], shape, TinyConfig())


def test_given_proposals_are_an_input(tmp_path):
    config = type("Given", (TinyConfig,), {"USE_RPN_ROIS": False})()
    keras_model = load("mrcnn.model").MaskRCNN("training", config, tmp_path).keras_model
    name, shape, dtype = inventory.INPUT_ROI
    assert keras.backend.standardize_dtype(keras_model.inputs[-1].dtype) == dtype
    assert keras_model.inputs[-1].name == name
    assert_shape(keras_model.inputs[-1], shape, config)


LAYERS = [("training", name) for name in inventory.TRAINING_LAYERS]
LAYERS += [("inference", name) for name in inventory.INFERENCE_LAYERS]
LAYERS += [(mode, name) for mode in ("training", "inference") for name in inventory.LAYERS_OF_BOTH]


@pytest.mark.parametrize(("mode", "name"), LAYERS)
def test_layer_without_weights(models, mode, name):
    assert models[mode].keras_model.get_layer(name).weights == []


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_rpn_is_a_model_inside(models, mode):
    rpn = models[mode].keras_model.get_layer("rpn_model")
    assert isinstance(rpn, keras.Model)
    assert [tensor.name for tensor in rpn.inputs] == ["input_rpn_feature_map"]
    assert rpn.get_layer("rpn_class_xxx").weights == []


# ---- weights: the largest network once, and the other backbone alone


@pytest.fixture(scope="module")
def resnet101(tmp_path_factory):
    config = type("Coco", (Config,), {"NAME": "coco", "NUM_CLASSES": 81})()
    return load("mrcnn.model").MaskRCNN("inference", config, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def backbones(resnet101):
    images = keras.Input((64, 64, 3))
    features = load("mrcnn.model").resnet_graph(images, "resnet50", stage5=True, train_bn=False)
    return {"resnet50": keras.Model(images, features), "resnet101": resnet101.keras_model}


def shapes_of(layers):
    """What `get_weights` of each layer gives: shapes by name."""
    expected = {}
    for name, shape in layers.items():
        norm = isinstance(shape, int)
        bias = shape if norm else shape[-1]
        expected[name] = [(shape,)] * 4 if norm else [tuple(shape), (bias,)]
    return expected


def with_weights(model):
    return {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_of_the_backbone(backbones, architecture):
    found = with_weights(backbones[architecture])
    expected = shapes_of(inventory.backbone_layers(architecture))
    assert {name: found.get(name) for name in expected} == expected
    # And no other block: e to w are stage 4's of ResNet-101 only.
    ours = {name for name, w in found.items() if w and name.startswith(("res", "bn", "conv"))}
    assert ours == set(expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_blocks_end_in_a_named_activation(backbones, architecture):
    expected = {
        f"res{stage}{block}_out"
        for stage, blocks in inventory.BLOCKS[architecture].items()
        for block in blocks
    }
    found = with_weights(backbones[architecture])
    assert {name for name in found if name.endswith("_out")} >= expected
    assert all(found[name] == [] for name in expected)


PARTS = {
    "fpn": inventory.FPN_LAYERS,
    "rpn": inventory.RPN_LAYERS,
    "box head": inventory.box_head_layers(81),
    "mask head": inventory.mask_head_layers(81),
}


@pytest.mark.parametrize("part", PARTS)
def test_weights_of_a_part(resnet101, part):
    model = resnet101.keras_model
    found = with_weights(model.get_layer("rpn_model") if part == "rpn" else model)
    expected = shapes_of(PARTS[part])
    assert {name: found.get(name) for name in expected} == expected


def count(layers):
    return sum(int(np.prod(shape)) for shapes in shapes_of(layers).values() for shape in shapes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parameters_of_the_backbone(backbones, architecture):
    # The table's arithmetic, and the model's own count.
    expected = inventory.PARAMETERS["backbone"][architecture]
    assert count(inventory.backbone_layers(architecture)) == expected
    if architecture == "resnet50":
        assert backbones[architecture].count_params() == expected


@pytest.mark.parametrize("part", ["fpn", "rpn"])
def test_parameters_of_a_part(part):
    assert count(PARTS[part]) == inventory.PARAMETERS[part]


@pytest.mark.parametrize("classes", [81, 2])
def test_parameters_of_the_heads(classes):
    # Ours add no layer with weights to those of the table.
    heads = {
        "box head": (7, lambda x: box_head(classes, 7, 1024, False)(x)),
        "mask head": (14, lambda x: mask_head(classes, 256, False)(x)),
    }
    for part, (side, head) in heads.items():
        pooled = keras.Input((5, side, side, 256))
        assert (
            keras.Model(pooled, head(pooled)).count_params()
            == (inventory.PARAMETERS[part][classes])
        )


@pytest.mark.parametrize(("architecture", "classes"), inventory.PARAMETERS["total"])
def test_total_parameters(resnet101, architecture, classes):
    total = inventory.PARAMETERS["total"][architecture, classes]
    parts = [inventory.PARAMETERS["backbone"][architecture]]
    parts += [inventory.PARAMETERS[part] for part in ("fpn", "rpn")]
    parts += [inventory.PARAMETERS[part][classes] for part in ("box head", "mask head")]
    assert sum(parts) == total
    if (architecture, classes) == ("resnet101", 81):
        assert resnet101.keras_model.count_params() == total


def test_anchors_at_1024(resnet101):
    outputs = dict(
        zip(resnet101.keras_model.output_names, resnet101.keras_model.outputs, strict=True)
    )
    assert outputs["rpn_class"].shape[1] == inventory.ANCHORS_AT_1024 == 261_888
    assert len(resnet101.get_anchors((1024, 1024, 3))) == 261_888


@pytest.mark.parametrize("group", inventory.LAYER_GROUPS)
def test_layer_group(backbones, resnet101, group):
    from mrcnn.training import LAYER_GROUPS

    resnet101.set_trainable(LAYER_GROUPS[group], verbose=0)
    model = resnet101.keras_model
    layers = [*model.layers, *model.get_layer("rpn_model").layers]
    layers = [layer for layer in layers if layer.weights and layer.name != "rpn_model"]
    chosen = inventory.LAYER_GROUPS[group]
    assert {layer.name for layer in layers if layer.trainable} == {
        layer.name for layer in layers if layer.name.startswith(chosen)
    }
