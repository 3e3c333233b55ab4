"""Checkpoints of TensorFlow, and deeplab2's names in them."""

import json
import re
import tarfile

import numpy as np
import pytest
from recipes import GOLDEN

from mrcnn.files.reading import read_arrays
from mrcnn.presets import PRESETS
from mrcnn.weights.names.deeplab2 import deeplab2_names
from mrcnn.weights.registry import REGISTRY
from mrcnn.weights.sources import count_classes, guess_preset, guess_source

RECIPE = GOLDEN / "deeplab2_max_deeplab_s_os16_res641_100k.recipe.json"
SHAPES = {tensor["name"]: tensor["shape"] for tensor in json.loads(RECIPE.read_text())["tensors"]}


def object_name(name):
    """A variable's name in the graph of objects: private ones, but for Keras's and heads' parts."""
    for variables, objects in (
        ("DeepLab/max_deeplab_s", "model/_encoder"),
        ("DeepLab/MaXDeepLab", "model/_decoder"),
    ):
        if name.startswith(variables):
            *path, last = name.removeprefix(f"{variables}/").split("/")
            path = [x if x in ("conv_block", "final_conv") else f"_{x}" for x in path]
            last = f"_{last}" if last in ("embeddings", "memory_feature") else last
            return "/".join([objects, *path, last])
    raise ValueError(name)


def test_variables_and_objects_are_the_same_weights():
    of_variables = deeplab2_names(SHAPES)
    assert len(of_variables) == len(SHAPES) == 907
    of_objects = deeplab2_names([object_name(name) for name in SHAPES])
    for name, (ours, layout) in of_variables.items():
        assert of_objects[object_name(name)] == (ours, layout)
    assert len({ours for ours, _ in of_variables.values()}) == 907


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("memory_feature", "memory/feature"),
        ("stem/conv1_bn_act/conv/kernel", "stem_conv1_bn_act_conv/kernel"),
        (
            "stage4/block2/attention/width_axis/qkv_kernel",
            "stage4_block2_attention_width_axis_qkv/kernel",
        ),
        (
            "stage5/block1/attention/height_axis/batch_norm_similarity/gamma",
            "stage5_block1_attention_height_axis/batch_norm_similarity/gamma",
        ),
        (
            "stage5/block1/attention/height_axis/batch_norm_qkv/beta",
            "stage5_block1_attention_height_axis_batch_norm_qkv/beta",
        ),
        (
            "stage5/block1/attention/height_axis/value_rpe/embeddings",
            "stage5_block1_attention_height_axis/value_rpe",
        ),
    ],
)
def test_names(theirs, ours):
    name = f"DeepLab/max_deeplab_s/{theirs}"
    assert deeplab2_names([name])[name][0] == ours


def test_the_bias_takes_the_prior_that_deeplab2_adds():
    name = "DeepLab/MaXDeepLab/transformer_class_head/conv/bias"
    _, layout = deeplab2_names([name])[name]
    # Ten classes: log(9 * 0.9 / 0.1) = log 81.
    np.testing.assert_allclose(layout(np.ones(10, np.float32)), [1] * 9 + [1 + np.log(81)])


def test_arrays_tell_what_they_are():
    variables = {name: np.broadcast_to(np.float32(0), shape) for name, shape in SHAPES.items()}
    objects = {object_name(name): array for name, array in variables.items()}
    for each in (variables, objects):
        assert guess_source(each) == "deeplab2"
        assert guess_preset(each) == "deeplab2/max_deeplab_s_os16_res641_100k"
        assert count_classes(each, "deeplab2") == 134


def test_public_files():
    entries = [entry for entry in REGISTRY if entry.family == "deeplab2"]
    assert len(entries) == 9
    for entry in entries:
        config = PRESETS[entry.preset]()
        assert entry.backbone == config.BACKBONE
        side = re.search(r"_res(\d+)_", entry.name).group(1)
        assert int(side) == config.IMAGE_MAX_DIM
        assert len(entry.classes) == config.NUM_CLASSES
        name = entry.name.removeprefix("deeplab2/")
        assert entry.url.startswith("https://storage.googleapis.com/gresearch/tf-deeplab/")
        assert entry.url.endswith(f"/{name}_coco_train.tar.gz")


@pytest.fixture
def checkpoint(tmp_path):
    """Two arrays as TensorFlow saves objects; beside them a counter, and an optimizer's slot."""
    tf = pytest.importorskip("tensorflow")
    root, part = tf.Module(), tf.Module()
    root._encoder, part.kernel = part, tf.Variable([[1.0, 2.0]])
    part._bias = tf.Variable([3.0])
    path = tf.train.Checkpoint(model=root).save(str(tmp_path / "ckpt"))
    return path


def expected(arrays):
    assert arrays["model/_encoder/kernel"].tolist() == [[1, 2]]
    assert arrays["model/_encoder/_bias"].tolist() == [3]
    assert set(arrays) == {"model/_encoder/kernel", "model/_encoder/_bias", "save_counter"}


def test_a_checkpoint_is_read_by_its_index(checkpoint):
    expected(read_arrays(f"{checkpoint}.index"))


def test_an_archive_of_a_checkpoint_is_read(checkpoint, tmp_path):
    path = tmp_path / "weights.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for end in ("index", "data-00000-of-00001"):
            archive.add(f"{checkpoint}.{end}", f"folder/ckpt-1.{end}")
    expected(read_arrays(path))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "folder/other.py")
    with pytest.raises(ValueError, match="an archive of 0 checkpoints"):
        read_arrays(path)


def test_an_index_without_its_data_says_so(checkpoint, tmp_path):
    (tmp_path / "ckpt-1.data-00000-of-00001").unlink()
    with pytest.raises(ValueError, match=r"keep its .index and\s+.data files beside each other"):
        read_arrays(f"{checkpoint}.index")
    (tmp_path / "ckpt-1.index").rename(tmp_path / "renamed")
    with pytest.raises(ValueError, match=r"with .index"):
        read_arrays(tmp_path / "renamed")
