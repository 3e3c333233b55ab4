"""Train and evaluate on COCO, https://cocodataset.org

    python samples/coco/coco.py train --dataset DIR --year 2017 --model imagenet --download
    python samples/coco/coco.py evaluate --dataset DIR --year 2017 --model coco

DIR holds `train2017/`, `val2017/` and `annotations/instances_<subset>2017.json`, or the same of
2014, which trains on train and valminusminival and validates on minival.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.augment import FlipLeftRight  # noqa: E402
from mrcnn.config import Config  # noqa: E402
from mrcnn.config_checks import BACKBONES  # noqa: E402
from mrcnn.data.formats.coco import CocoDataset  # noqa: E402
from mrcnn.data.formats.coco import download as coco_download  # noqa: E402
from mrcnn.evaluate import (  # noqa: E402
    IOU_TYPES,
    accumulate,
    coco_results,
    summarize,
)
from mrcnn.startup import quiet  # noqa: E402

DEFAULT_LOGS_DIR = ROOT_DIR / "logs"
DEFAULT_DATASET_YEAR = "2014"


class CocoConfig(Config):
    """Training: two images on a GPU with 12 GB."""

    NAME = "coco"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 80  # background + COCO's classes


class CocoInferenceConfig(CocoConfig):
    """Evaluation: one image at a time, every detection, as COCO weighs them by their scores."""

    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0


def build_coco_results(dataset, image_ids, rois, class_ids, scores, masks):
    """Returns detections as a list of COCO results, with COCO's ids of images and classes.

    Args:
        dataset: a prepared `CocoDataset`.
        image_ids: COCO's ids of images; each gets all the detections.
        rois: [N, (y1, x1, y2, x2)] in pixels; None for no detection.
        class_ids: int [N], the network's.
        scores: float [N].
        masks: bool or uint8 [H, W, N]; None for boxes only.
    """
    if rois is None:
        return []
    class_ids = [dataset.get_source_class_id(class_id, "coco") for class_id in class_ids]
    found = {"rois": rois, "class_ids": class_ids, "scores": scores}
    if masks is not None:
        found["masks"] = masks
    return [result for image_id in image_ids for result in coco_results(image_id, found)]


def evaluate_coco(model, dataset, coco, eval_type="bbox", limit=0, image_ids=None):
    """Detects in images of COCO, and prints COCO's numbers and the time that it took.

    Args:
        model: `MaskRCNN` in inference mode.
        dataset: a prepared `CocoDataset`; classes that it lacks do not count.
        coco: its annotations, from `load_coco(..., return_coco=True)`.
        eval_type: "bbox", "segm" or a tuple of both.
        limit: int, the first `limit` images only; 0 for all.
        image_ids: the dataset's ids of the images; all by default.

    Returns:
        {eval_type: {"AP", "AP50", ...}}, the 12 numbers of `mrcnn.evaluate.evaluate`.

    Raises:
        ValueError: an unknown type, no images, images without annotations, masks of a model
            without them.
    """
    start = time.time()
    eval_types = (eval_type,) if isinstance(eval_type, str) else tuple(eval_type)
    if not eval_types or set(eval_types) - set(IOU_TYPES):
        raise ValueError(f"Expected eval_type of {', '.join(IOU_TYPES)}, received {eval_type!r}.")
    if "segm" in eval_types and not model.config.USE_MASK:
        raise ValueError(
            "eval_type 'segm' expects masks, received a model with USE_MASK = False. Use 'bbox'."
        )
    image_ids = list(dataset.image_ids if image_ids is None else image_ids)[: limit or None]
    truth = _ground_truth(dataset, coco, image_ids)
    results, prediction_time = _detect(model, dataset, image_ids)
    scores = {}
    for each in eval_types:
        print(f"\nEvaluating {each}")
        evaluation = accumulate(truth, results, each)
        evaluation.summarize()
        scores[each] = summarize(evaluation)
    average = prediction_time / len(image_ids)
    print(f"Prediction time: {prediction_time}. Average {average}/image")
    print("Total time: ", time.time() - start)
    return scores


def _detect(model, dataset, image_ids):
    """Returns the COCO results of images, masks encoded, and the seconds that detection took."""
    results, seconds = [], 0.0
    for i, image_id in enumerate(image_ids):
        image = dataset.load_image(image_id)
        start = time.time()
        found = model.detect([image], verbose=0)[0]
        seconds += time.time() - start
        boxes = found.get("boxes", found["rois"])
        instances = boxes, found["class_ids"], found["scores"], found.get("masks")
        results += build_coco_results(dataset, [dataset.image_info[image_id]["id"]], *instances)
        print(f"\rDetected in {i + 1}/{len(image_ids)} images", end="", flush=True)
    return results, seconds


def _ground_truth(dataset, coco, image_ids):
    """Returns what COCO's annotations say of some images, and of the dataset's classes only."""
    source_ids = [dataset.image_info[image_id]["id"] for image_id in image_ids]
    unknown = [source_id for source_id in source_ids if source_id not in coco.imgs]
    if unknown or not source_ids:
        raise ValueError(
            f"Expected images that are in coco, received {unknown[:5] or 'none'}. Pass what the "
            "dataset's load_coco(..., return_coco=True) returned."
        )
    class_ids = {info["id"] for info in dataset.class_info if info["source"] == "coco"}
    annotations = [
        {"iscrowd": 0, **annotation}
        for source_id in source_ids
        for annotation in coco.imgToAnns.get(source_id, [])
    ]
    for i, annotation in enumerate(annotations):
        annotation["id"] = i + 1  # COCOeval takes 0 for "unmatched"
    return {
        "images": [coco.imgs[source_id] for source_id in source_ids],
        "annotations": annotations,
        "categories": [coco.cats[class_id] for class_id in sorted(class_ids)],
    }


def subsets_of(command, year):
    """Returns what a command loads: subsets to train on, and the one to validate or evaluate."""
    old = str(year) == "2014"
    training = ("train", "valminusminival") if old else ("train",)
    return training if command == "train" else (), "minival" if old else "val"


def missing_file(dataset_dir, command, year):
    """Returns the first file or folder that a command needs and that is not there, or None."""
    training, validation = subsets_of(command, year)
    for subset in (*training, validation):
        for place in (coco_download.annotation_file, coco_download.image_folder):
            path = Path(place(dataset_dir, subset, year))
            if not path.exists():
                return path
    return None


def load_subsets(dataset_dir, subsets, year, download=False):
    """Returns a prepared `CocoDataset` of some subsets and the annotations of the last."""
    dataset = CocoDataset()
    for subset in subsets:
        coco = dataset.load_coco(
            dataset_dir, subset, year=year, return_coco=True, auto_download=download
        )
    dataset.prepare()
    return dataset, coco


def train(model, dataset_dir, year=DEFAULT_DATASET_YEAR, download=False, epochs=160, layers=None):
    """Trains the heads for a quarter of the epochs, stages 4 and 5 too up to three quarters, then
    all layers at a tenth of the learning rate.

    Args:
        model: `MaskRCNN` in training mode; one that was trained before goes on.
        dataset_dir, year: as in `CocoDataset.load_coco`.
        download: bool, whether to fetch what is missing.
        epochs: int, the total.
        layers: train these from the first epoch to the last instead, at the full rate.
    """
    subsets, held_out = subsets_of("train", year)
    training, _ = load_subsets(dataset_dir, subsets, year, download)
    validation, _ = load_subsets(dataset_dir, [held_out], year, download)
    rate = model.config.LEARNING_RATE
    schedule = [
        (max(1, epochs // 4), "heads", rate),
        (max(1, epochs * 3 // 4), "4+", rate),
        (epochs, "all", rate / 10),
    ]
    for last_epoch, trained, learning_rate in [(epochs, layers, rate)] if layers else schedule:
        if last_epoch <= model.epoch:
            print(f"Skipped {trained} to epoch {last_epoch}: the weights have {model.epoch}")
            continue
        print(f"Training {trained} to epoch {last_epoch}")
        model.train(
            training,
            validation,
            learning_rate=learning_rate,
            epochs=last_epoch,
            layers=trained,
            augmentation=FlipLeftRight(0.5),
        )


def evaluate(model, dataset_dir, year=DEFAULT_DATASET_YEAR, download=False, limit=500):
    """Evaluates boxes and, of a model that has them, masks; returns as `evaluate_coco`."""
    _, subset = subsets_of("evaluate", year)
    dataset, coco = load_subsets(dataset_dir, [subset], year, download)
    count = min(limit or dataset.num_images, dataset.num_images)
    print(f"Running COCO evaluation on {count} images of {subset}{year}.")
    eval_types = IOU_TYPES if model.config.USE_MASK else ("bbox",)
    return evaluate_coco(model, dataset, coco, eval_types, limit=limit)


def load_weights(model, name):
    """Loads what `--model` names into the model."""
    if name != "none":
        model.load_weights(model.find_last() if name == "last" else name)


def make_config(args):
    """Returns the configuration of a command with what its flags changed."""
    config = CocoConfig() if args.command == "train" else CocoInferenceConfig()
    flags = {
        "BACKBONE": args.backbone,
        "IMAGE_MAX_DIM": args.image_size,
        "IMAGES_PER_GPU": args.batch_size,
        "STEPS_PER_EPOCH": args.steps_per_epoch,
        "LEARNING_RATE": args.learning_rate,
        "DETECTION_MIN_CONFIDENCE": args.min_confidence,
        "SEED": args.seed,
        "TRAIN_BN": args.train_bn or None,
    }
    if args.backbone == "efficientnet_lite0":
        flags |= {"MEAN_PIXEL": np.array([127.0] * 3), "STD_PIXEL": 128.0}
    if args.image_size is not None:
        flags["IMAGE_MIN_DIM"] = args.image_size * Config.IMAGE_MIN_DIM // Config.IMAGE_MAX_DIM
    if args.steps_per_epoch is not None:
        flags["VALIDATION_STEPS"] = min(args.steps_per_epoch, Config.VALIDATION_STEPS)
    for name, value in flags.items():
        if value is not None:
            setattr(config, name, value)
    return config


def parse_bool(text):
    """Returns what `--download True` and its like mean."""
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return values[text.lower()]


def make_parser():
    parser = argparse.ArgumentParser(description="Train and evaluate Mask R-CNN on COCO.")
    parser.add_argument("command", choices=["train", "evaluate"])
    parser.add_argument("--dataset", required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--year", default=DEFAULT_DATASET_YEAR, help="2014 or 2017; default %(default)s"
    )
    parser.add_argument(
        "--model", required=True, help="'coco', 'imagenet', 'last', 'none' or the path of a file"
    )
    parser.add_argument("--logs", default=str(DEFAULT_LOGS_DIR), help="folder of checkpoints")
    parser.add_argument(
        "--limit",
        type=int,
        default=500,
        help="images to evaluate, 0 for all; default %(default)s",
    )
    parser.add_argument(
        "--download",
        type=parse_bool,
        nargs="?",
        const=True,
        default=False,
        metavar="True|False",
        help="fetch what the data set lacks; alone it means True",
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--backbone", choices=BACKBONES)
    parser.add_argument("--image-size", type=int, help="long side in pixels; default 1024")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=160, help="total; default %(default)s")
    training.add_argument("--layers", help="default: heads, 4+, then all")
    training.add_argument("--steps-per-epoch", type=int)
    training.add_argument("--batch-size", type=int)
    training.add_argument("--learning-rate", type=float)
    training.add_argument("--train-bn", action="store_true", help="train batch normalization")
    detection = parser.add_argument_group("evaluation")
    detection.add_argument("--min-confidence", type=float, help="default 0")
    return parser


def parse_args(argv=None):
    return make_parser().parse_args(argv)


def main():
    args = parse_args()
    missing = None if args.download else missing_file(args.dataset, args.command, args.year)
    if missing:
        make_parser().error(f"--dataset {args.dataset}: {missing} does not exist; --download it")
    quiet.install()
    from mrcnn.model import MaskRCNN

    config = make_config(args)
    config.display()
    mode = "training" if args.command == "train" else "inference"
    model = MaskRCNN(mode=mode, config=config, model_dir=args.logs)
    load_weights(model, args.model)
    if args.command == "train":
        train(model, args.dataset, args.year, args.download, args.epochs, args.layers)
    else:
        evaluate(model, args.dataset, args.year, args.download, args.limit)


if __name__ == "__main__":
    main()
