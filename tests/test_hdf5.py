"""Weight files: exact, strict, whole or not at all."""

import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from tiny import TinyConfig

from mrcnn.files import hdf5
from mrcnn.model import MaskRCNN
from mrcnn.network.named_weights import named_weights
from mrcnn.network.training_model import NamedWeightsModel


def build(**changes):
    return MaskRCNN("inference", type("Changed", (TinyConfig,), changes)(), "logs")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = build()
    path = str(tmp_path_factory.mktemp("weights") / "tiny.h5")
    model.save_weights(path)
    return model, path


def values(model):
    return {name: weight.numpy() for name, weight in named_weights(model.keras_model).items()}


def test_file_has_matterports_layout(saved):
    _, path = saved
    with h5py.File(path) as file:
        assert "rpn_model" in file.attrs["layer_names"]
        assert file["rpn_model"].attrs["weight_names"][0] == "rpn_conv_shared/kernel:0"
        assert file["mrcnn_mask/mrcnn_mask/kernel:0"].shape == (1, 1, 8, 4)


def test_round_trip(saved):
    model, path = saved
    other = build(SEED=7)
    report = other.load_weights(path)
    assert report["missing"] == report["unexpected"] == report["excluded"] == []
    for name, array in values(other).items():
        np.testing.assert_array_equal(array, values(model)[name], err_msg=name)


@pytest.mark.parametrize("text", [str, str.encode])
@pytest.mark.parametrize("root", ["", "model_weights/"])
def test_attributes_of_either_type_and_either_root(saved, tmp_path, text, root):
    _, path = saved
    arrays = hdf5.read_hdf5(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        group = file.require_group(root) if root else file
        group.attrs["layer_names"] = np.array([text("a"), text("b")], dtype=object)
        for name, half in (("a", list(arrays)[:10]), ("b", list(arrays)[10:])):
            layer = group.create_group(name)
            layer.attrs["weight_names"] = np.array([text(f"{n}:0") for n in half], dtype=object)
            for weight in half:
                layer[f"{weight}:0"] = arrays[weight]
    report = build(SEED=7).load_weights(tmp_path / "other.h5")
    assert len(report["loaded"]) == len(arrays)


def test_other_class_count_lists_the_heads_and_loads_nothing(saved):
    _, path = saved
    other = build(NUM_CLASSES=6)
    before = values(other)
    with pytest.raises(ValueError) as error:
        other.load_weights(path)
    message = str(error.value)
    # 4 classes in the file, 6 in the model: logits 4 and 6, boxes 16 and 24, masks 4 and 6.
    assert "mrcnn_class_logits/kernel: file (16, 4), model (16, 6)" in message
    assert "mrcnn_bbox_fc/bias: file (16,), model (24,)" in message
    assert "mrcnn_mask/kernel: file (1, 1, 8, 4), model (1, 1, 8, 6)" in message
    assert "exclude=['mrcnn_class_logits'" in message
    for name, array in values(other).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_exclude_leaves_the_heads_and_loads_the_rest(saved):
    model, path = saved
    other = build(NUM_CLASSES=6, SEED=7)
    heads = ["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask"]
    report = other.load_weights(path, by_name=True, exclude=heads)
    assert {name.split("/")[0] for name in report["excluded"]} == set(heads) - {"mrcnn_bbox"}
    np.testing.assert_array_equal(
        values(other)["mrcnn_mask_conv1/kernel"], values(model)["mrcnn_mask_conv1/kernel"]
    )


def test_other_architecture_lists_both_sides(saved):
    _, path = saved
    words = r"(?s)missing from the file: bn2a_branch1/beta.*not in this model: bn1a"
    with pytest.raises(ValueError, match=words):
        build(BACKBONE="resnet50").load_weights(path)


def test_missing_layer_is_an_error_unless_by_name(saved, tmp_path):
    model, path = saved
    short = str(tmp_path / "short.h5")
    with h5py.File(path) as source, h5py.File(short, "w") as file:
        names = [name for name in source.attrs["layer_names"] if name != "fpn_p2"]
        file.attrs["layer_names"] = names
        for name in names:
            source.copy(name, file)
    other = build(SEED=7)
    with pytest.raises(ValueError, match="2 weights missing from the file: fpn_p2/bias"):
        other.load_weights(short)
    with pytest.warns(UserWarning, match="2 weights are not in .*fpn_p2/bias, fpn_p2/kernel"):
        report = other.load_weights(short, by_name=True)
    assert report["missing"] == ["fpn_p2/bias", "fpn_p2/kernel"]
    np.testing.assert_array_equal(values(other)["fpn_p3/bias"], values(model)["fpn_p3/bias"])


def test_nothing_in_common_is_an_error_even_by_name(tmp_path):
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file.create_group("dense").attrs["weight_names"] = ["dense/kernel:0"]
        file["dense/dense/kernel:0"] = np.zeros((2, 2))
    with pytest.raises(ValueError, match="in common: none"):
        build().load_weights(path, by_name=True)


def test_truncated_file(saved, tmp_path):
    _, path = saved
    data = Path(path).read_bytes()
    for part in (0.3, 0.9):
        broken = tmp_path / "broken.h5"
        broken.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(ValueError, match=r"broken\.h5 is damaged or incomplete"):
            build().load_weights(broken)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda path: path.mkdir(), ValueError, "is a directory"),
        (lambda path: path.write_bytes(b""), ValueError, "is empty"),
        (lambda path: path.write_text("<html>404</html>"), ValueError, "is a web page"),
        (lambda path: h5py.File(path, "w").close(), ValueError, "not a Keras 2 weight file"),
        (lambda path: None, FileNotFoundError, "no weight file at"),
    ],
)
def test_what_is_no_weight_file_gets_one_sentence(tmp_path, make, error, words):
    path = tmp_path / "file.h5"
    make(path)
    with pytest.raises(error, match=words) as raised:
        build().load_weights(path)
    assert "\n" not in str(raised.value)


def test_failed_write_leaves_the_last_file_intact(saved, monkeypatch):
    model, path = saved
    before = Path(path).read_bytes()

    def fail(model, file):
        file["half"] = np.zeros(100)
        raise OSError("no space left on device")

    monkeypatch.setattr("mrcnn.network.named_weights._write", fail)
    with pytest.raises(OSError, match="no space left"):
        model.save_weights(path)
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_file_that_anyone_may_read(saved):
    _, path = saved
    umask = os.umask(0)
    os.umask(umask)
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~umask


def test_names_of_any_depth_come_back(tmp_path):
    def attention():
        tokens = keras.Input((3, 4))
        mha = keras.layers.MultiHeadAttention(2, 2, name="mha")(tokens, tokens)
        return NamedWeightsModel(tokens, keras.layers.Dense(2, name="last")(mha))

    first, second = attention(), attention()
    assert "mha/query/kernel" in named_weights(first)
    first.save_weights(tmp_path / "deep.h5")
    second.load_weights(tmp_path / "deep.h5")
    for name, weight in named_weights(first).items():
        np.testing.assert_array_equal(named_weights(second)[name], weight, err_msg=name)
    assert set(hdf5.read_hdf5(str(tmp_path / "deep.h5"))) == set(named_weights(first))


def test_two_layers_of_one_name_are_refused():
    inputs = keras.Input((2,))
    inner = keras.Model(inputs, keras.layers.Dense(2, name="twin")(inputs), name="inner")
    outputs = keras.layers.Dense(2, name="twin")(inner(inputs))
    with pytest.raises(ValueError, match="two weights are called 'twin/kernel'"):
        named_weights(keras.Model(inputs, outputs))


def hostile(path, make):
    """A Keras 2 file of one weight `a/kernel` that `make(group)` creates."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["a"]
        make(file.create_group("a/a"))
        file["a"].attrs["weight_names"] = ["a/kernel:0"]
    return path


def test_file_that_points_at_another_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"top secret bytes")
    external = [(str(secret), 0, 16)]
    path = hostile(
        tmp_path / "storage.h5",
        lambda group: group.create_dataset("kernel:0", (16,), "u1", external=external),
    )
    with pytest.raises(ValueError, match="takes a/a/kernel:0 from another file; refused"):
        hdf5.read_hdf5(str(path))
    link = h5py.ExternalLink(str(path), "/a/a/kernel:0")
    path = hostile(tmp_path / "link.h5", lambda group: group.__setitem__("kernel:0", link))
    with pytest.raises(ValueError, match="links a/a/kernel:0 to another file; refused"):
        hdf5.read_hdf5(str(path))


def test_file_that_inflates_is_refused(tmp_path):
    path = hostile(
        tmp_path / "bomb.h5",
        lambda group: group.create_dataset(
            "kernel:0", (2**30,), "f4", chunks=(2**20,), compression="gzip"
        ),
    )
    with pytest.raises(ValueError, match="inflate to many times its size; refused"):
        hdf5.read_hdf5(str(path))
