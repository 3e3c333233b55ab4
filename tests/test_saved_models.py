"""Models as Keras itself saves them, and what must not be copied: in the words of its users."""

import copy
import inspect
import os
import pickle
import pkgutil
import sys
import zipfile
from importlib import import_module
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from tiny import TinyConfig, shapes

import mrcnn
from mrcnn.data import DataGenerator
from mrcnn.model import MaskRCNN
from mrcnn.startup.serializable import CLASSES, Deferred

pytestmark = pytest.mark.slow

PROGRAM = """
import numpy as np
import mrcnn
import keras

def given(graph, inputs):
    one_by_one = isinstance(graph.input, list)
    return [inputs[x.name] for x in graph.inputs] if one_by_one else inputs

for path in {paths}:
    graph = keras.models.load_model(path + ".keras")
    inputs = dict(np.load(path + "_inputs.npz"))
    if hasattr(graph, "loss_names"):
        found = graph.train_on_batch(inputs, return_dict=True)
    else:
        graph.jit_compile = False
        found = graph.predict_on_batch(given(graph, inputs))
        found = found if isinstance(found, dict) else dict(enumerate(found))
    np.savez(path + "_outputs.npz", **{{str(name): value for name, value in found.items()}})
"""
GRAPHS = ["inference", "detection", "training"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = MaskRCNN("training", TinyConfig(), tmp_path_factory.mktemp("saved"))
    model.compile(0.01, 0.9)
    return model


@pytest.fixture(scope="module")
def inputs(model):
    (batch,) = DataGenerator(shapes(2), TinyConfig(), shuffle=False)[0]
    anchors = model.get_anchors((64, 64))
    return batch | {"input_anchors": np.stack([anchors, anchors])}


def inputs_of(graph, inputs):
    return {x.name: inputs[x.name] for x in graph.inputs if x.name in inputs}


@pytest.fixture(scope="module")
def elsewhere(model, inputs, tmp_path_factory, run_python):
    """By graph what comes out of it when it is saved, and loaded by another process."""
    folder = tmp_path_factory.mktemp("graphs")
    for name in GRAPHS:
        model.graphs[name].save(folder / f"{name}.keras")
        np.savez(folder / f"{name}_inputs.npz", **inputs_of(model.graphs[name], inputs))
    run_python(PROGRAM.format(paths=[str(folder / name) for name in GRAPHS]))
    return {name: dict(np.load(folder / f"{name}_outputs.npz")) for name in GRAPHS}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_saved_graph_comes_back_in_a_process_that_imported_only_mrcnn(
    model, inputs, elsewhere, name
):
    graph, found = model.graphs[name], elsewhere[name]
    inputs = inputs_of(graph, inputs)
    if name == "training":
        expected = graph.train_on_batch(inputs, return_dict=True)
        assert expected["mrcnn_mask_loss"] > 0
    else:
        one_by_one = isinstance(graph.input, list)
        given = [inputs[x.name] for x in graph.inputs] if one_by_one else inputs
        expected = graph.predict_on_batch(given)
        expected = expected if isinstance(expected, dict) else dict(enumerate(expected))
    assert len(found) == len(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[str(key)], value, err_msg=str(key))


def test_every_class_that_keras_must_find_is_listed():
    there = find_spec("mrcnn.matterport")  # it may be left out, and `mrcnn.run` with it
    for module in pkgutil.walk_packages(mrcnn.__path__, "mrcnn."):
        if module.name.startswith("mrcnn.integrations."):
            continue  # no layers, and tools that need not be there
        if there or module.name != "mrcnn.run":
            import_module(module.name)
    optimizers = keras.optimizers
    bases = (
        *(keras.layers.Layer, keras.Model, optimizers.Optimizer),
        optimizers.schedules.LearningRateSchedule,
    )
    ours = {
        keras.saving.get_registered_name(value): value.__module__
        for name, module in list(sys.modules.items())
        if name.startswith("mrcnn.")
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, bases) and value.__module__ in sys.modules
        if value.__module__.startswith("mrcnn.")
    }
    listed = {k: v for k, v in CLASSES.items() if there or not k.startswith("mrcnn.matterport>")}
    # Base classes, and a wrapper that the model it wraps is saved without.
    assert set(ours) - {"PureLayer", "_Attention", "ParallelModel"} == set(listed)
    for name, module in listed.items():
        assert hasattr(import_module(module), name.split(">")[1])
        assert not isinstance(keras.saving.get_registered_object(name), Deferred)


def test_the_best_epoch_that_keras_keeps_loads_and_detects_equally(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path / "logs")
    best = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(best, "val_loss", save_best_only=True)
    model.train(shapes(), shapes(2), 0.01, 1, "all", custom_callbacks=[keep])
    other = MaskRCNN("inference", TinyConfig(), tmp_path / "logs")
    assert other.load_weights(best)["missing"] == []
    image = shapes(1).load_image(0)
    (found,), (expected,) = other.detect([image]), model.detect([image])
    assert len(found["rois"]) > 0
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_another_keras_model_is_told_apart(model, tmp_path):
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    dense.save(tmp_path / "dense.keras")
    with pytest.raises(ValueError, match=r"dense\.keras: the weights do not fit this model"):
        model.load_weights(tmp_path / "dense.keras")
    with (
        zipfile.ZipFile(tmp_path / "dense.keras") as given,
        zipfile.ZipFile(tmp_path / "odd.keras", "w") as odd,
    ):
        for name in given.namelist():
            odd.writestr(name, given.read(name).replace(b'"Sequential"', b'"Unheard_of"'))
    with pytest.raises(ValueError, match=r"odd\.keras is a Keras model that cannot be built again"):
        model.load_weights(tmp_path / "odd.keras")


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_refuses_to_be_copied_in_a_sentence(model, copied):
    with pytest.raises(TypeError, match="cannot be pickled or copied: build another") as raised:
        copied(model)
    assert len(str(raised.value)) < 200 and os.linesep not in str(raised.value)
