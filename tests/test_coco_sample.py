import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from coco_folder import CAR, annotation, truth, write_annotations, write_coco, write_images
from pycocotools import mask as mask_utils
from tiny import TinyConfig

from mrcnn.image import extract_bboxes

DATA = os.environ.get("MRCNN_DATA")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def sample():
    spec = importlib.util.spec_from_file_location("coco", ROOT / "samples" / "coco" / "coco.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Model:
    """Stands in for `MaskRCNN`: detects what it was told, records what it is told to do."""

    def __init__(self, config, detections=(), epoch=0):
        self.config, self.epoch, self.calls = config, epoch, []
        self.detections = iter(detections)

    def detect(self, images, verbose=0):
        return [next(self.detections) for _ in images]

    def train(self, training, validation, **kwargs):
        self.calls.append((training, validation, kwargs))
        self.epoch = kwargs["epochs"]

    def find_last(self):
        return "newest.h5"

    def load_weights(self, path):
        self.calls.append(path)


def detection(dataset, image_id, scores=None):
    """Exactly what is annotated, crowds left out."""
    masks, class_ids = dataset.load_mask(image_id)
    masks, class_ids = masks[:, :, class_ids > 0], class_ids[class_ids > 0]
    return {
        "rois": extract_bboxes(masks),
        "class_ids": class_ids,
        "scores": np.full(len(class_ids), 0.9) if scores is None else scores,
        "masks": masks,
    }


def nothing():
    return {
        "rois": np.zeros((0, 4), np.int32),
        "class_ids": np.zeros(0, np.int32),
        "scores": np.zeros(0),
        "masks": np.zeros((4, 3, 0), bool),
    }


# Names and flags.


def test_both_imports(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "path", list(sys.path))  # the sample appends to it
    names = ("CocoConfig", "CocoDataset", "build_coco_results", "evaluate_coco")
    package = importlib.import_module("samples.coco.coco")
    assert all(hasattr(package, name) for name in names)
    monkeypatch.syspath_prepend(str(ROOT / "samples" / "coco"))
    alone = importlib.import_module("coco")
    monkeypatch.delitem(sys.modules, "coco")
    assert all(hasattr(alone, name) for name in names)


def test_configs_have_matterports_values(sample):
    config = sample.CocoConfig()
    assert (config.NAME, config.BATCH_SIZE, config.NUM_CLASSES) == ("coco", 2, 81)
    config.validate()
    inference = sample.CocoInferenceConfig()
    assert (inference.BATCH_SIZE, inference.DETECTION_MIN_CONFIDENCE) == (1, 0)
    inference.validate()


def parse(sample, line):
    return sample.parse_args(line.split())


def test_command_line(sample):
    args = parse(sample, "evaluate --dataset d --model coco")
    assert (args.year, args.limit, args.download) == ("2014", 500, False)
    assert args.logs == str(ROOT / "logs")
    expected = str(sample.CocoInferenceConfig().to_dict())
    assert str(sample.make_config(args).to_dict()) == expected
    args = parse(sample, "train --dataset d --model none")
    assert (args.epochs, args.layers) == (160, None)
    assert str(sample.make_config(args).to_dict()) == str(sample.CocoConfig().to_dict())
    for line in ("train --dataset d", "train --model coco", "detect --dataset d --model coco"):
        with pytest.raises(SystemExit):
            parse(sample, line)


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("--download", True),
        ("--download True", True),
        ("--download true --limit 3", True),
        ("--download False", False),  # argparse's type=bool takes it for True
        ("--download 0", False),
        ("", False),
    ],
)
def test_download_means_what_it_says(sample, flags, expected):
    assert parse(sample, f"train --dataset d --model coco {flags}").download is expected


def test_download_refuses_other_words(sample, capsys):
    with pytest.raises(SystemExit):
        parse(sample, "train --dataset d --model coco --download maybe")
    assert "expected True or False, got 'maybe'" in capsys.readouterr().err


def test_flags_for_a_quick_try(sample):
    flags = "--backbone efficientnet_lite0 --image-size 512 --batch-size 3 --steps-per-epoch 7"
    line = f"train --dataset d --model none {flags} --learning-rate 0.01 --seed 3 --train-bn"
    config = sample.make_config(parse(sample, line))
    assert (config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM) == (400, 512)  # 800 : 1024
    assert config.MEAN_PIXEL.tolist() == [127, 127, 127]
    assert config.STD_PIXEL == 128
    assert (config.BATCH_SIZE, config.STEPS_PER_EPOCH, config.VALIDATION_STEPS) == (3, 7, 7)
    assert (config.LEARNING_RATE, config.SEED, config.TRAIN_BN) == (0.01, 3, True)
    config.validate()
    line = "evaluate --dataset d --model none --min-confidence 0.5 --steps-per-epoch 90"
    config = sample.make_config(parse(sample, line))
    assert (config.DETECTION_MIN_CONFIDENCE, config.VALIDATION_STEPS) == (0.5, 50)
    assert config.MEAN_PIXEL.tolist() == sample.Config.MEAN_PIXEL.tolist()


def test_weights(sample):
    model = Model(sample.CocoConfig())
    for name in ("none", "last", "some.h5", "imagenet", "coco"):
        sample.load_weights(model, name)
    assert model.calls == ["newest.h5", "some.h5", "imagenet", "coco"]


# Results and evaluation.


def test_results_by_hand(sample, tmp_path):
    dataset, _ = sample.load_subsets(write_coco(tmp_path), ["val"], 2017)
    mask = np.zeros((4, 3, 1), np.uint8)
    mask[1:3, 0] = 1  # column by column: 1 off, 2 on, 9 off
    found = [[1, 0, 3, 1]], [3], [0.5]
    results = sample.build_coco_results(dataset, [7], np.array(found[0]), *found[1:], mask)
    code = mask_utils.frPyObjects({"size": [4, 3], "counts": [1, 2, 9]}, 4, 3)
    assert results == [
        {
            "image_id": 7,
            "category_id": 90,  # the third class
            "bbox": [0, 1, 1, 2],
            "score": 0.5,
            "segmentation": {"size": [4, 3], "counts": code["counts"].decode()},
        }
    ]
    json.dumps(results)
    assert "segmentation" not in sample.build_coco_results(dataset, [7], *found, None)[0]
    assert sample.build_coco_results(dataset, [7], None, [], [], None) == []


def evaluate(sample, dataset, coco, detections, *arguments, config=None, **kwargs):
    model = Model(config or sample.CocoInferenceConfig(), detections)
    return sample.evaluate_coco(model, dataset, coco, *arguments, **kwargs)


def test_what_is_annotated_scores_one(sample, tmp_path, capsys):
    dataset, coco = sample.load_subsets(write_coco(tmp_path), ["val"], 2017)
    before = json.dumps(coco.dataset)
    found = [detection(dataset, image_id) for image_id in dataset.image_ids]
    scores = evaluate(sample, dataset, coco, found, ("bbox", "segm"))
    # The crowd of cars has no detection, and is not missed.
    assert scores["bbox"]["AP"] == scores["segm"]["AP"] == pytest.approx(1)
    assert np.isnan(scores["bbox"]["APl"])
    out = capsys.readouterr().out
    line = " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000"
    assert out.count(line) == 2
    assert out.count("maxDets=") == 24
    assert "3/3 images" in out
    assert "Prediction time: " in out
    assert "Average " in out
    assert "Total time: " in out
    assert json.dumps(coco.dataset) == before
    found = [detection(dataset, image_id) for image_id in dataset.image_ids]
    assert list(evaluate(sample, dataset, coco, found)) == ["bbox"]


def test_boxes_before_rounding_count(sample, tmp_path):
    # The car is 2 x 2 pixels; the box before rounding is 2 x 1.8 of it: IoU 0.9.
    dataset, coco = sample.load_subsets(write_coco(tmp_path), ["val"], 2017, False)
    found = [nothing(), nothing(), detection(dataset, 2)]
    found[2]["boxes"] = np.array([[1, 0, 3, 1], [0, 1, 1.8, 3]])
    scores = evaluate(sample, dataset, coco, found)["bbox"]
    # Toothbrush 0, person 1, car at the thresholds 0.5 to 0.9: 9 of 10.
    assert scores["AP"] == pytest.approx((0 + 1 + 0.9) / 3)


def test_limit_and_image_ids(sample, tmp_path, capsys):
    dataset, coco = sample.load_subsets(write_coco(tmp_path), ["val"], 2017)
    scores = evaluate(sample, dataset, coco, [detection(dataset, 2)], image_ids=np.array([2]))
    assert scores["bbox"]["AP"] == pytest.approx(1)
    # Image 3 is the first: its toothbrush is found, what later images have is not missed.
    scores = evaluate(sample, dataset, coco, [detection(dataset, 0)], "segm", limit=1)
    assert scores["segm"]["AP"] == pytest.approx(1)
    assert "1/1 images" in capsys.readouterr().out


def test_no_detection_at_all(sample, tmp_path):
    dataset, coco = sample.load_subsets(write_coco(tmp_path), ["val"], 2017)
    scores = evaluate(sample, dataset, coco, [nothing()] * 3, ("bbox", "segm"))
    assert scores["bbox"]["AP"] == scores["segm"]["AR100"] == 0


def test_only_the_loaded_classes_count(sample, tmp_path):
    dataset = sample.CocoDataset()
    coco = dataset.load_coco(write_coco(tmp_path), "val", 2017, class_ids=[1], return_coco=True)
    dataset.prepare()
    scores = evaluate(sample, dataset, coco, [detection(dataset, 0)])
    assert scores["bbox"]["AP"] == pytest.approx(1)  # the car in the same image is not missed


def test_areas_of_detections_are_those_of_masks(sample, tmp_path):
    # A small object, 30 x 30 = 900 < 32 * 32, and a false alarm that scores higher: its box is
    # medium, 40 x 40, its mask small, 20 x 20. What is of another size is ignored: by its mask the
    # false alarm counts, and the hit is the second of two. pycocotools' loadRes goes by the box.
    size = 80
    mask = np.zeros((size, size, 2), bool)
    mask[:30, :30, 0] = mask[40:60, 40:60, 1] = True
    outline = {"size": [size, size], "counts": [0] + [30, 50] * 29 + [30, 50 + 50 * size]}
    content = truth([7], [annotation(0, 7, 1, outline, [0, 0, 30, 30])])
    content["images"][0] |= {"height": size, "width": size}
    dataset, coco = sample.load_subsets(write_coco(tmp_path, content=content), ["val"], 2017)
    found = {
        "rois": np.array([[0, 0, 30, 30], [40, 40, 80, 80]]),
        "class_ids": np.array([1, 1]),
        "scores": np.array([0.5, 0.9]),
        "masks": mask,
    }
    scores = evaluate(sample, dataset, coco, [found], ("bbox", "segm"))
    assert scores["bbox"]["APs"] == pytest.approx(1)
    assert scores["segm"]["APs"] == pytest.approx(0.5)


def test_annotations_that_others_write(sample, tmp_path):
    # Ids from 0 and no `iscrowd`, as annotation tools do.
    plain = annotation(0, 7, 3, CAR, [1, 0, 2, 2])
    del plain["iscrowd"]
    folder = write_coco(tmp_path, content=truth([7], [plain]))
    dataset, coco = sample.load_subsets(folder, ["val"], 2017)
    found = detection(dataset, 0)
    scores = evaluate(sample, dataset, coco, [found], ("bbox", "segm"))
    assert scores["bbox"]["AP"] == scores["segm"]["AP"] == pytest.approx(1)


def test_models_without_masks(sample, tmp_path):
    class Boxes(sample.CocoInferenceConfig):
        USE_MASK = False

    folder = write_coco(tmp_path)
    dataset, coco = sample.load_subsets(folder, ["val"], 2017)
    found = [detection(dataset, image_id) for image_id in dataset.image_ids]
    for each in found:
        del each["masks"]
    with pytest.raises(ValueError, match="received a model with USE_MASK = False"):
        evaluate(sample, dataset, coco, [], "segm", config=Boxes())
    scores = sample.evaluate(Model(Boxes(), found), folder, "2017")
    assert list(scores) == ["bbox"]
    assert scores["bbox"]["AP"] == pytest.approx(1)


def test_wrong_arguments_of_evaluate_coco(sample, tmp_path):
    dataset, coco = sample.load_subsets(write_coco(tmp_path), ["val"], 2017)
    for eval_type in ("keypoints", ("bbox", "mask"), ()):
        with pytest.raises(ValueError, match="Expected eval_type of bbox, segm"):
            evaluate(sample, dataset, coco, [], eval_type)
    with pytest.raises(ValueError, match="in coco, received none"):
        evaluate(sample, dataset, coco, [], image_ids=[])
    del coco.imgs[5]
    with pytest.raises(ValueError, match=r"in coco, received \[5\]"):
        evaluate(sample, dataset, coco, [])


# The commands.


def ids(dataset):
    return [info["id"] for info in dataset.image_info]


@pytest.fixture
def coco_2014(tmp_path):
    write_coco(tmp_path, "train2014", truth([7]))
    write_images(tmp_path, "val2014")
    write_annotations(tmp_path, "valminusminival2014", truth([3]))
    write_annotations(tmp_path, "minival2014", truth([5]))
    return tmp_path


def test_schedule(sample, coco_2014):
    model = Model(sample.CocoConfig())
    sample.train(model, coco_2014)
    steps = [(call["layers"], call["epochs"], call["learning_rate"]) for *_, call in model.calls]
    assert steps == [("heads", 40, 0.001), ("4+", 120, 0.001), ("all", 160, 0.0001)]
    training, validation, kwargs = model.calls[0]
    assert (ids(training), ids(validation)) == ([7, 3], [5])
    assert kwargs["augmentation"].p == 0.5


def test_schedule_of_2017_shortened_and_resumed(sample, tmp_path, capsys):
    write_coco(tmp_path, "train2017", truth([7]))
    write_coco(tmp_path, "val2017", truth([3]))

    def run(epoch=0, **arguments):
        model = Model(sample.CocoConfig(), epoch=epoch)
        sample.train(model, tmp_path, "2017", **arguments)
        return model.calls

    training, validation, _ = run(epochs=8)[0]
    assert (ids(training), ids(validation)) == ([7], [3])
    steps = [(call["layers"], call["epochs"]) for *_, call in run(epochs=8)]
    assert steps == [("heads", 2), ("4+", 6), ("all", 8)]
    assert [call["layers"] for *_, call in run(epochs=1)] == ["heads"]
    assert [call["layers"] for *_, call in run(epoch=130)] == ["all"]
    assert "Skipped 4+ to epoch 120: the weights have 130" in capsys.readouterr().out
    ((*_, call),) = run(epochs=8, layers="5+")
    assert (call["layers"], call["epochs"], call["learning_rate"]) == ("5+", 8, 0.001)


def test_evaluate_takes_the_subset_of_the_year(sample, coco_2014, tmp_path, capsys):
    model = Model(sample.CocoInferenceConfig(), [nothing()])
    scores = sample.evaluate(model, coco_2014)
    assert list(scores) == ["bbox", "segm"]
    assert "on 1 images of minival2014" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"instances_val2017.json, .*--download"):
        sample.evaluate(model, coco_2014, "2017")


def test_main_runs_the_commands(sample, tmp_path, monkeypatch, capsys):
    from mrcnn import model as modellib

    made = []

    class Made(Model):
        def __init__(self, mode, config, model_dir):
            super().__init__(config, [nothing()] * 3)
            made.append((mode, model_dir, self))

    monkeypatch.setattr(modellib, "MaskRCNN", Made)
    write_coco(tmp_path, "train2017")
    write_coco(tmp_path, "val2017")
    line = f"--dataset {tmp_path} --year 2017 --model none --logs logs"
    monkeypatch.setattr(sys, "argv", ["coco.py", "train", *line.split(), "--epochs", "4"])
    sample.main()
    (mode, model_dir, model), *_ = made
    assert (mode, model_dir) == ("training", "logs")
    assert [call["epochs"] for *_, call in model.calls] == [1, 3, 4]
    monkeypatch.setattr(sys, "argv", ["coco.py", "evaluate", *line.split(), "--limit", "2"])
    sample.main()
    assert made[1][0] == "inference"
    out = capsys.readouterr().out
    assert "on 2 images of val2017" in out
    assert "Detected in 2/2 images" in out


@pytest.mark.parametrize(
    ("command", "year", "lacks"),
    [
        ("train", "2017", "instances_val2017.json"),
        ("train", "2014", "instances_train2014.json"),
        ("evaluate", "2017", "instances_val2017.json"),
    ],
)
def test_a_wrong_folder_is_told_before_a_model_is_built(
    sample, tmp_path, monkeypatch, capsys, command, year, lacks
):
    write_coco(tmp_path, "train2017")
    line = f"coco.py {command} --dataset {tmp_path} --year {year} --model none"
    monkeypatch.setattr(sys, "argv", line.split())
    with pytest.raises(SystemExit):
        sample.main()
    assert f"{lacks} does not exist; --download it" in capsys.readouterr().err.splitlines()[-1]


# Real data.


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_published_results(sample, tmp_path):
    # The COCO API's own detections, scored by its authors: AP AP50 AP75 APs APm APl, AR1 AR10
    # AR100 ARs ARm ARl. Masks come as codes; drawn, they are what a model hands to evaluate_coco.
    folder = Path(DATA) / "coco_eval_fake100"
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2014").mkdir()
    target = tmp_path / "annotations" / "instances_val2014.json"
    target.write_text((folder / "instances_val2014_100.json").read_text())
    published = (folder / "val2014_fake_eval_res.txt").read_text().split("type=")
    dataset, coco = sample.load_subsets(tmp_path, ["val"], 2014)
    dataset.load_image = lambda image_id: np.zeros((1, 1, 3), np.uint8)
    for kind in ("bbox", "segm"):
        text = (folder / f"instances_val2014_fake{kind}100_results.json").read_text()
        by_image = {}
        for result in json.loads(text):
            by_image.setdefault(result["image_id"], []).append(result)
        found = [
            as_detected(dataset, info, by_image.get(info["id"], [])) for info in dataset.image_info
        ]
        scores = evaluate(sample, dataset, coco, found, kind)
        section = next(each for each in published if each.startswith(kind))
        expected = [line.split("=")[-1].strip() for line in section.splitlines() if "@[" in line]
        assert [f"{value:.3f}" for value in scores[kind].values()] == expected


def as_detected(dataset, info, results):
    """COCO results of an image as `detect` returns them."""
    boxes = np.array([r.get("bbox", [0, 0, 0, 0]) for r in results], float).reshape(-1, 4)
    found = {
        "rois": boxes[:, [1, 0, 1, 0]] + np.pad(boxes[:, [3, 2]], ((0, 0), (2, 0))),
        "class_ids": [dataset.map_source_class_id(f"coco.{r['category_id']}") for r in results],
        "scores": [r["score"] for r in results],
    }
    if results and "segmentation" in results[0]:
        found["masks"] = mask_utils.decode([r["segmentation"] for r in results])
    return found


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_a_tiny_model_trains_and_is_evaluated_on_real_coco(sample, tmp_path, capsys):
    from mrcnn.model import MaskRCNN

    class Tiny(TinyConfig):
        NAME, NUM_CLASSES, MAX_GT_INSTANCES = "coco", 81, 20
        IMAGE_MIN_DIM, IMAGE_MAX_DIM = 100, 128

    folder = Path(DATA) / "tiny_coco"
    model = MaskRCNN("training", Tiny(), str(tmp_path))
    before = [np.array(weight) for weight in model.keras_model.trainable_weights]
    sample.train(model, folder, "2017", epochs=1, layers="all")
    after = [np.array(weight) for weight in model.keras_model.trainable_weights]
    assert model.epoch == 1
    assert all(np.isfinite(each).all() for each in after)
    assert not any(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    sample.load_weights(model, "last")
    scores = sample.evaluate(model, folder, "2017", limit=2)
    # Nothing is learnt in two steps; but both kinds have something to find.
    assert [0 <= scores[kind]["AP"] < 0.1 for kind in ("bbox", "segm")] == [True, True]
    detected = capsys.readouterr().out
    assert "Detected in 2/2 images" in detected
