import importlib.util
import json
import os
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread, imsave
from tiny import SIZES, TinyConfig

from mrcnn.image.video import VideoReader, write_video
from mrcnn.model import MaskRCNN

DATA = os.environ.get("MRCNN_DATA")
HEIGHT, WIDTH = 20, 30

RECT = {"name": "rect", "x": 4, "y": 5, "width": 7, "height": 3}
POLYGON = {"name": "polygon", "all_points_x": [2, 6, 6, 2], "all_points_y": [3, 3, 6, 6]}
# What the annotator writes where a polygon goes over the right and lower border of 30 x 20.
BEYOND = {"name": "polygon", "all_points_x": [27, 31, 31, 27], "all_points_y": [18, 18, 22, 22]}


@pytest.fixture(scope="module")
def balloon():
    path = Path(__file__).parents[1] / "samples" / "balloon" / "balloon.py"
    spec = importlib.util.spec_from_file_location("balloon", path)
    sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sample)
    return sample


def annotate(folder, photos, version=2):
    """Writes grey photos and their annotations: {name: [shape_attributes, ...]}."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for name, shapes in photos.items():
        imsave(folder / name, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), check_contrast=False)
        regions = [{"shape_attributes": shape, "region_attributes": {}} for shape in shapes]
        if version == 1:
            regions = {str(i): region for i, region in enumerate(regions)}
        content[f"{name}1234"] = {"filename": name, "size": 1234, "regions": regions}
    if version == "project":
        content = {"_via_settings": {"ui": {}}, "_via_img_metadata": content}
    path = folder / "via_region_data.json"
    path.write_text(json.dumps(content))
    return path


def load(balloon, dataset_dir, subset="train"):
    dataset = balloon.BalloonDataset()
    dataset.load_balloon(dataset_dir, subset)
    dataset.prepare()
    return dataset


class Model:
    """Finds the brighter pixels of a picture, as one instance, and takes note of its calls."""

    def __init__(self, config=None):
        self.config, self.calls = config, []

    def detect(self, images):
        (image,) = images
        assert image.shape[2:] == (3,)
        mask = image.mean(axis=-1, keepdims=True) > 128
        return [{"masks": mask if mask.any() else mask[:, :, :0]}]

    def train(self, training, validation, learning_rate, **kwargs):
        self.calls.append((training, validation, learning_rate, kwargs))

    def find_last(self):
        return "newest.h5"

    def load_weights(self, path):
        self.calls.append(path)


def test_configs_have_matterports_values(balloon):
    config = balloon.BalloonConfig()
    assert (config.NAME, config.NUM_CLASSES, config.STEPS_PER_EPOCH) == ("balloon", 2, 100)
    assert (config.BATCH_SIZE, config.DETECTION_MIN_CONFIDENCE) == (2, 0.9)
    config.validate()
    assert balloon.BalloonInferenceConfig().BATCH_SIZE == 1


@pytest.mark.parametrize("version", [1, 2, "project"])
def test_regions_of_every_version(balloon, tmp_path, version):
    annotate(tmp_path / "train", {"a.png": [RECT, POLYGON, BEYOND]}, version)
    dataset = load(balloon, tmp_path)
    assert dataset.class_names == ["BG", "balloon"]
    masks, class_ids = dataset.load_mask(0)
    # 7 x 3, 4 x 3, and of the last columns 27 to 29 of rows 18 and 19.
    assert masks.sum(axis=(0, 1)).tolist() == [21, 12, 6]
    assert masks[5:8, 4:11, 0].all() and masks[18:, 27:, 2].all()
    assert class_ids.tolist() == [1] * 3
    assert dataset.without_outline is None  # a rectangle is a mask here
    assert dataset.image_reference(0) == str(tmp_path / "train" / "a.png")
    info = dataset.image_info[0]
    assert (info["id"], info["source"]) == ("a.png", "balloon")
    assert (info["height"], info["width"]) == (HEIGHT, WIDTH)


def test_photos_without_regions_are_left_out(balloon, tmp_path, capsys):
    annotate(tmp_path / "val", {"a.png": [], "b.png": [RECT]})
    dataset = load(balloon, tmp_path, "val")
    assert [info["id"] for info in dataset.image_info] == ["b.png"]
    assert "Skipped 1 photos without regions" in capsys.readouterr().out


def test_sources_may_be_mixed(balloon, tmp_path):
    annotate(tmp_path / "train", {"a.png": [RECT]})
    dataset = balloon.BalloonDataset()
    dataset.load_balloon(tmp_path, "train")
    dataset.add_image("other", 7, "other.png")
    dataset.prepare()
    assert dataset.load_mask(1)[0].shape == (0, 0, 0)
    assert dataset.image_reference(1) == ""


def test_a_wrong_region_is_named(balloon, tmp_path):
    point = {"name": "point", "cx": 3, "cy": 4}
    annotate(tmp_path / "train", {"a.png": [RECT, point]})
    with pytest.raises(ValueError, match=r"via_region_data.json, a.png, region 1: .*'point'"):
        load(balloon, tmp_path)


def test_a_file_of_another_program(balloon, tmp_path):
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "via_region_data.json"
    path.write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match=r"via_region_data.json: expected annotations for Balloon"):
        load(balloon, tmp_path)


def test_missing_files(balloon, tmp_path):
    with pytest.raises(ValueError, match=r"train/via_region_data.json; unpack balloon_dataset.zip"):
        load(balloon, tmp_path)
    with pytest.raises(ValueError, match="'train' or 'val', got 'test'"):
        load(balloon, tmp_path, "test")
    annotate(tmp_path / "train", {"a.png": [RECT]})
    (tmp_path / "train" / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"names a.png, but .* cannot be read"):
        load(balloon, tmp_path)
    (tmp_path / "train" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"names a.png, but .* is missing"):
        load(balloon, tmp_path)


def test_color_splash(balloon):
    image = np.zeros((2, 3, 3), np.uint8)
    image[0] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    image[1] = [[255, 255, 255], [10, 20, 30], [7, 7, 7]]
    masks = np.zeros((2, 3, 2), bool)
    masks[0, 0, 0] = masks[0, 0, 1] = masks[1, 1, 1] = True
    splash = balloon.color_splash(image, masks)
    assert splash.dtype == np.uint8
    # The grey of (r, g, b) is 0.2125 r + 0.7154 g + 0.0721 b: 182.4 and 18.4 for green and blue.
    assert splash[0].tolist() == [[255, 0, 0], [182] * 3, [18] * 3]
    assert splash[1].tolist() == [[255] * 3, [10, 20, 30], [7] * 3]
    nothing = balloon.color_splash(image, masks[:, :, :0])
    # Red: 54.2. 2.125 + 14.308 + 2.163 = 18.6
    assert nothing[:, :, 0].tolist() == [[54, 182, 18], [255, 19, 7]]
    assert (nothing == nothing[:, :, :1]).all()
    rgba = np.concatenate([image, np.full((2, 3, 1), 9, np.uint8)], axis=2)
    np.testing.assert_array_equal(balloon.color_splash(rgba, masks), splash)


def test_splash_of_a_photo(balloon, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image = np.full((8, 6, 4), (10, 20, 30, 255), np.uint8)
    image[2:4, 1:5, :3] = (250, 200, 150)
    imsave(tmp_path / "a.png", image)
    paths = [balloon.detect_and_color_splash(Model(), image_path="a.png") for _ in range(3)]
    assert len(set(paths)) == 3  # within a second
    assert all(path.name.startswith("splash_") for path in paths)
    splash = imread(paths[0])
    assert splash.shape == (8, 6, 3)
    assert splash[3, 2].tolist() == [250, 200, 150]
    assert splash[0, 0].tolist() == [19] * 3
    assert f"Saved to {paths[0]}" in capsys.readouterr().out


def frames(count, size=(31, 45)):
    """Dark frames of one colour with a bright square that walks."""
    for i in range(count):
        frame = np.full((*size, 3), (90, 20, 20), np.uint8)
        frame[8:24, i % 8 : i % 8 + 16] = (250, 160, 60)
        yield frame


def test_splash_of_a_video(balloon, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_video("in.avi", frames(6), Fraction(25, 2))
    path = balloon.detect_and_color_splash(Model(), video_path="in.avi")
    assert path.suffix == ".avi"
    output = capsys.readouterr().out
    assert "6/6" in output  # progress
    assert f"Saved to {path}" in output
    with VideoReader(path) as video:
        assert video.fps == Fraction(25, 2)
        splashes = list(video)
    assert len(splashes) == 6
    for i, splash in enumerate(splashes):
        assert splash.shape == (31, 45, 3)
        # 0.2125 * 90 + 0.7154 * 20 + 0.0721 * 20 = 34.9; JPEG rounds.
        assert np.abs(splash[2, 2].astype(int) - 35).max() <= 6
        assert np.abs(splash[16, i + 8].astype(int) - (250, 160, 60)).max() <= 8


def test_a_long_video_needs_no_more_memory(balloon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(balloon, "print", lambda *args: None, raising=False)
    peaks = []
    for count in (5, 5, 60):  # the first run also imports
        write_video("in.avi", frames(count, (120, 160)), 25)
        tracemalloc.start()
        balloon.detect_and_color_splash(Model(), video_path="in.avi")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A frame has 57 600 bytes: 55 more of them would be 3.2 MB.
    assert peaks[2] - peaks[1] < 57_600


def test_splash_takes_one_source(balloon):
    for sources in ({}, {"image_path": "a.png", "video_path": "a.avi"}):
        with pytest.raises(ValueError, match="Expected one of image_path and video_path"):
            balloon.detect_and_color_splash(Model(), **sources)


def test_what_cannot_be_read_is_named(balloon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"a\.mp4: expected a video"):
        balloon.detect_and_color_splash(Model(), video_path="a.mp4")
    assert not list(tmp_path.glob("splash_*"))
    (tmp_path / "a.png").write_text("no photo")
    with pytest.raises(ValueError, match=r"expected an image file at a\.png"):
        balloon.detect_and_color_splash(Model(), image_path="a.png")


def test_training(balloon, tmp_path, monkeypatch):
    for subset in ("train", "val"):
        annotate(tmp_path / subset, {f"{subset}.png": [RECT]})
    monkeypatch.setattr(balloon.train, "__defaults__", (tmp_path, 30, "heads"))
    model = Model(balloon.BalloonConfig())
    balloon.train(model)  # as in matterport's: all of it has defaults
    ((training, validation, rate, kwargs),) = model.calls
    assert [info["id"] for info in training.image_info] == ["train.png"]
    assert [info["id"] for info in validation.image_info] == ["val.png"]
    assert (rate, kwargs) == (0.001, {"epochs": 30, "layers": "heads"})
    balloon.train(model, tmp_path, epochs=2, layers="all")
    assert model.calls[1][3] == {"epochs": 2, "layers": "all"}


def test_command_line(balloon, tmp_path, capsys):
    (tmp_path / "a.png").touch()
    photo = str(tmp_path / "a.png")
    args = balloon.parse_args(["train", f"--dataset={tmp_path}", "--weights=coco"])
    assert (args.logs, args.epochs, args.layers) == (str(balloon.DEFAULT_LOGS_DIR), 30, "heads")
    assert str(balloon.make_config(args).to_dict()) == str(balloon.BalloonConfig().to_dict())
    flags = "--backbone resnet50 --size 512 --steps-per-epoch 7 --learning-rate 0.01 --seed 3"
    line = f"train --dataset {tmp_path} --weights none {flags}"
    config = balloon.make_config(balloon.parse_args(line.split()))
    assert (config.BACKBONE, config.STEPS_PER_EPOCH) == ("resnet50", 7)
    assert (config.LEARNING_RATE, config.SEED, config.BATCH_SIZE) == (0.01, 3, 2)
    assert config.IMAGE_SHAPE.tolist() == [512, 512, 3]
    config.validate()
    line = ["splash", "--weights=last", f"--image={photo}", "--min-confidence=0.5"]
    config = balloon.make_config(balloon.parse_args(line))
    assert (config.BATCH_SIZE, config.DETECTION_MIN_CONFIDENCE) == (1, 0.5)
    assert balloon.parse_args([*line[:2], "--video=http://host/a.mp4"]).video.endswith("a.mp4")
    for line, message in [
        ("train --weights coco", "train needs --dataset"),
        (f"train --weights coco --dataset {tmp_path}/none", "none: no such folder"),
        ("splash --weights last", "splash needs --image or --video"),
        (f"splash --weights last --image {photo} --video {photo}", "one of them"),
        (f"splash --weights last --video {photo}.mp4", "a.png.mp4: no such file"),
        (f"splash --image {photo}", "--weights"),
    ]:
        with pytest.raises(SystemExit):
            balloon.parse_args(line.split())
        assert message in capsys.readouterr().err


def test_weights(balloon):
    model = Model()
    for name in ("none", "last", "some.h5", "coco"):
        balloon.load_weights(model, name)
    assert model.calls == ["newest.h5", "some.h5", "coco"]


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_real_balloons(balloon, tmp_path, monkeypatch):
    folder = Path(DATA) / "balloon"
    training, validation = load(balloon, folder), load(balloon, folder, "val")
    assert (len(training.image_info), len(validation.image_info)) == (61, 13)
    count = 0
    for dataset in (training, validation):
        for image_id in dataset.image_ids:
            info = dataset.image_info[image_id]
            masks, _ = dataset.load_mask(image_id)
            assert masks.any(axis=(0, 1)).all()
            assert masks.shape == (info["height"], info["width"], len(dataset.instances(image_id)))
            count += masks.shape[2]
    assert count == 255 + 50
    assert training.load_image(0).shape[:2] == training.load_mask(0)[0].shape[:2]

    config = balloon.BalloonConfig()
    for key in (*SIZES, "TRAIN_BN", "SEED"):
        setattr(config, key, getattr(TinyConfig, key))
    config.DETECTION_MIN_CONFIDENCE = 0.0
    model = MaskRCNN("training", config, tmp_path / "logs")
    balloon.train(model, folder, epochs=1)
    monkeypatch.chdir(tmp_path)
    path = balloon.detect_and_color_splash(model, validation.image_reference(0))
    assert imread(path).shape == validation.load_image(0).shape
