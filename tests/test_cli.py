"""The command line: quick help, clear errors, a demo that leaves a picture."""

import dataclasses
import json
import sys
import types
import zipfile

import h5py
import numpy as np
import pytest
from skimage import io
from tiny import TinyConfig, with_keypoints

from mrcnn import __version__, cli, weights
from mrcnn.cli import weights as weights_cli
from mrcnn.data.corners import CornersDataset
from mrcnn.demo import trained_model
from mrcnn.files import download, hdf5
from mrcnn.model import create
from mrcnn.weights import registry
from mrcnn.weights.file_config import keypoint_scheme_of
from mrcnn.weights.sources import count_classes, count_stuff


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"mrcnn {__version__}\n"


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dmo"], ["demo", "--steps", "0"]])
def test_bad_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mrcnn")


def test_help_needs_no_backend(run_python):
    code = (
        "import sys\nfrom mrcnn.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('loaded:', sorted({'keras', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert run_python(code).endswith("loaded: []\n")


@pytest.mark.thorough
@pytest.mark.slow
def test_demo_trains_scores_and_draws(tmp_path, capsys):
    assert cli.main(["demo", "--output", str(tmp_path), "--steps", "5"]) == 0
    out = capsys.readouterr().out
    assert "COCO scores on 50 pictures" in out and "AP50" in out
    picture = io.imread(tmp_path / "detections.png")
    assert picture.ndim == 3 and np.ptp(picture) > 100
    assert list(tmp_path.glob("demo2*/mask_rcnn_demo_0001.h5"))
    assert trained_model(tmp_path).epoch == 1  # it loads what is there


@pytest.mark.thorough
@pytest.mark.slow
def test_model_for_the_notebooks_is_trained_where_there_is_none(tmp_path):
    model = trained_model(tmp_path, steps=1)
    assert (model.mode, model.epoch) == ("inference", 1)
    assert list(tmp_path.glob("demo2*/mask_rcnn_demo_0001.h5"))


def test_an_interrupted_command_ends_quietly(capsys, monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(weights.fetching, "fetch", interrupt)
    assert cli.main(["weights", "fetch", "mask_rcnn_coco"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_is_told(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["demo", "--steps", "1", "--output", str(tmp_path / "file" / "demo")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("mrcnn: [Errno") and str(tmp_path / "file") in err


def test_the_package_runs_as_the_command(run_python):
    code = "import runpy, sys\nsys.argv[1:] = ['--version']\n"
    code += "runpy.run_module('mrcnn', run_name='__main__')"
    assert run_python(code).startswith("mrcnn ")


def test_weights_list_is_a_table(capsys):
    assert cli.main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "NAME" and lines[0].endswith("MASK AP  POINT AP  ADDRESS")
    row = next(line for line in lines if line.startswith("torchvision/maskrcnn_resnet50_fpn "))
    # 178,090,079 bytes are 178.1 MB.
    name, *facts, address = row.split()
    assert facts == ["91", "torchvision", name, "178.1", "37.9", "34.6", "-"]
    assert address == "https://download.pytorch.org/models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    row = next(line for line in lines if line.startswith("keras_applications/resnet50"))
    assert row.split()[1] == "-" and row.split()[-3:-1] == ["-", "-"]


def test_weights_fetch_prints_the_path(capsys, monkeypatch):
    monkeypatch.setattr(weights.fetching, "fetch", lambda name: f"/cache/{name}.h5")
    assert cli.main(["weights", "fetch", "mask_rcnn_coco"]) == 0
    assert capsys.readouterr().out == "/cache/mask_rcnn_coco.h5\n"


def refuse(*arguments):
    raise OSError("cannot fetch it")


def test_weights_fetch_without_network(capsys, monkeypatch):
    monkeypatch.setattr(weights.fetching.download, "ensure", refuse)
    assert cli.main(["weights", "fetch", "mask_rcnn_coco"]) == 2
    assert capsys.readouterr() == ("", "mrcnn: cannot fetch it\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fetch", "mask_rcnn_cocoo"], "mrcnn: no weights are called 'mask_rcnn_cocoo'"),
        (["inspect", "nowhere.h5"], "mrcnn: no weight file at nowhere.h5\n"),
        (["convert", "nowhere.h5", "out.h5"], "mrcnn: no weight file at nowhere.h5\n"),
        (["inspect", "bad.h5"], "mrcnn: bad.h5 is no weight file"),
        (["convert", "bad.h5", "out.h5"], "mrcnn: bad.h5 is no weight file"),
        (["convert", "odd.npz", "out.h5"], "mrcnn: these weights are of no known source"),
        (["convert", "body.npz", "out.h5"], "mrcnn: body.npz is a backbone alone"),
        (["convert", "all.npz", "out.h5", "--preset", "no"], "mrcnn: no preset 'no'; expected one"),
    ],
)
def test_weights_errors_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    np.savez("odd.npz", odd=np.zeros(2))
    np.savez("body.npz", **BODY)
    np.savez("all.npz", **BODY, **HEAD)
    assert cli.main(["weights", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(message) and err.count("\n") == 1
    assert not (tmp_path / "out.h5").exists()


# As torchvision calls them: 3 * 7 + 4 * 2 + 20 * 2 = 69 parameters, of 4 classes.
BODY = {"backbone.body.conv1.weight": np.zeros((3, 7), np.float32)}
HEAD = {"roi_heads.box_predictor.cls_score.weight": np.zeros((4, 2), np.float32)}
HEAD |= {f"roi_heads.{i}": np.zeros(2, np.float64) for i in range(20)}


def test_weights_inspect(tmp_path, capsys):
    path = str(tmp_path / "all.npz")
    np.savez(path, **BODY, **HEAD)
    assert cli.main(["weights", "inspect", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["format      NumPy archive", "family      torchvision", "classes     4"]
    assert lines[3:5] == ["arrays      22", "parameters  69"]
    width = len("roi_heads.box_predictor.cls_score.weight")
    assert lines[5] == f"  {'backbone.body.conv1.weight':{width}}  float32  [3, 7]"
    assert lines[7] == f"  {'roi_heads.0':{width}}  float64  [2]"
    assert len(lines) == 5 + 20 + 1 and lines[-1] == "  ... 2 more, shown with --all"

    assert cli.main(["weights", "inspect", "--all", path]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5 + 22


@pytest.mark.parametrize(
    "arrays, family, classes",
    [({"odd": np.zeros(2)}, "unknown", "unknown"), (BODY, "torchvision", "none, a backbone alone")],
)
def test_weights_inspect_of_half_a_detector(arrays, family, classes, tmp_path, capsys):
    np.savez(tmp_path / "some.npz", **arrays)
    assert cli.main(["weights", "inspect", str(tmp_path / "some.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [f"family      {family}", f"classes     {classes}"]


def test_weights_formats(tmp_path):
    path = tmp_path / "file"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    assert weights_cli._format(path) == "PyTorch, zip archive"
    path.write_bytes(b"\x80\x02}q\x00.")
    assert weights_cli._format(path).startswith("pickle")
    path.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert weights_cli._format(path) == "safetensors"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\0")
    assert weights_cli._format(path) == "HDF5"


def presets_of(**keys):
    """In place of `mrcnn.presets`: the tiny config with other keys."""
    config = type("Preset", (TinyConfig,), keys)
    return types.SimpleNamespace(PRESETS={"matterport/mask_rcnn_coco": config})


@pytest.fixture
def tiny_file(tmp_path, monkeypatch):
    """Writes a tiny model's weights; the preset of their family is the tiny config."""
    monkeypatch.setitem(sys.modules, "mrcnn.presets", presets_of())

    def write(name, **keys):
        config = type("GivenConfig", (TinyConfig,), keys)()
        create("inference", config, tmp_path).save_weights(tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("keys", [{"NUM_CLASSES": 7}, {"USE_MASK": False}])
def test_weights_convert_writes_what_it_read(keys, tiny_file, tmp_path, capsys):
    given, output = tiny_file("given.h5", **keys), str(tmp_path / "output.h5")
    assert cli.main(["weights", "convert", given, output]) == 0
    before, after = hdf5.read_hdf5(given), hdf5.read_hdf5(output)
    assert list(before) == list(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert any("mask" in name for name in after) == ("USE_MASK" not in keys)
    out = capsys.readouterr().out
    assert out == (
        f"{len(before)} weights loaded from matterport, BatchNorm epsilon 0.001: "
        f"preset matterport/mask_rcnn_coco, {keys.get('NUM_CLASSES', 4)} classes\n{output}\n"
    )


def test_weights_convert_keeps_the_outputs_of_a_release_with_epsilon_0(
    tiny_file, tmp_path, monkeypatch, capsys
):
    given, output = tiny_file("given.h5"), str(tmp_path / "output.h5")
    facts = {key: download.measure(given)[key] for key in ("size", "sha256")}
    entry = registry.find("torchvision/maskrcnn_resnet50_fpn")
    monkeypatch.setattr(registry, "REGISTRY", (dataclasses.replace(entry, **facts),))
    assert entry.batch_norm_epsilon == 0
    assert cli.main(["weights", "convert", given, output]) == 0
    assert "BatchNorm epsilon 0: preset" in capsys.readouterr().out
    before, after = hdf5.read_hdf5(given), hdf5.read_hdf5(output)
    names = [name for name in before if name.endswith("/gamma")]
    # 1 / sqrt(1 + 0) = x / sqrt(1 + 0.001).
    assert names and all(np.allclose(after[name], 1.0004999, atol=1e-6) for name in names)


def as_detectron2(path):
    """The heads of a file of ours whose classes are counted, under detectron2's names."""
    scores, stuff = "roi_heads.box_predictor.cls_score.weight", "sem_seg_head.predictor.weight"
    arrays = hdf5.read_hdf5(path)
    return {
        scores: arrays["mrcnn_class_logits/kernel"].T,
        stuff: arrays["semantic_logits/kernel"].transpose(3, 2, 0, 1),
    }


def test_weights_convert_counts_stuff(tiny_file, tmp_path, monkeypatch, capsys):
    # Two things and two kinds of stuff, where the preset has 53 of 134.
    keys = {"ARCHITECTURE": "panoptic_fpn", "NUM_CLASSES": 5, "NUM_STUFF_CLASSES": 2}
    given, output = tiny_file("given.h5", **keys), str(tmp_path / "output.h5")
    arrays = as_detectron2(given)
    assert (count_classes(arrays, "detectron2"), count_stuff(arrays, "detectron2")) == (5, 2)
    preset = {**keys, "NUM_CLASSES": 134, "NUM_STUFF_CLASSES": 53}
    monkeypatch.setitem(sys.modules, "mrcnn.presets", presets_of(**preset))
    assert cli.main(["weights", "convert", given, output]) == 0
    assert capsys.readouterr().out.startswith(f"{len(hdf5.read_hdf5(given))} weights loaded")
    values = json.loads(hdf5.read_attribute(output, "config"))
    assert (values["NUM_CLASSES"], values["NUM_STUFF_CLASSES"]) == (5, 2)


def test_weights_convert_keeps_the_names_of_keypoints(tiny_file, tmp_path, monkeypatch):
    keys = {key: x for key, x in vars(with_keypoints(TinyConfig())).items() if "KEYPOINT" in key}
    monkeypatch.setitem(sys.modules, "mrcnn.presets", presets_of(**keys | {"NUM_KEYPOINTS": 17}))
    given, output = tiny_file("given.h5", **keys), str(tmp_path / "output.h5")
    scheme = CornersDataset.keypoint_scheme
    with h5py.File(given, "a") as file:
        file.attrs["keypoints"] = json.dumps(scheme.to_json())
    assert cli.main(["weights", "convert", given, output]) == 0
    assert keypoint_scheme_of(output) == scheme


def test_weights_of_a_semantic_fpn(tiny_file, tmp_path, capsys):
    given = tiny_file("given.h5", ARCHITECTURE="semantic_fpn", NUM_STUFF_CLASSES=2)
    assert cli.main(["weights", "inspect", given]) == 0
    assert "classes     4\n" in capsys.readouterr().out
    assert cli.main(["weights", "convert", given, str(tmp_path / "output.h5")]) == 2
    assert "is a Semantic FPN; expected a whole detector" in capsys.readouterr().err


def test_weights_convert_writes_nothing_that_does_not_fit(tiny_file, tmp_path, capsys):
    given, output = tiny_file("given.h5", TOP_DOWN_PYRAMID_SIZE=16), str(tmp_path / "output.h5")
    assert cli.main(["weights", "convert", given, output]) == 2
    assert capsys.readouterr().err.startswith("mrcnn: ")
    assert not (tmp_path / "output.h5").exists()
