"""Find nuclei in microscopy images: the 2018 Data Science Bowl, https://www.kaggle.com/c/data-science-bowl-2018

    python samples/nucleus/nucleus.py train --dataset DIR --subset train --weights none
    python samples/nucleus/nucleus.py detect --dataset DIR --subset val --weights last --evaluate

DIR holds `stage1_train/<id>/images/<id>.png` and `stage1_train/<id>/masks/*.png`.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from skimage.filters import gaussian
from skimage.io import imread, imsave

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn import visualize  # noqa: E402
from mrcnn.config import Config  # noqa: E402
from mrcnn.data import Dataset  # noqa: E402
from mrcnn.evaluate import coco_ground_truth, coco_results, evaluate_detections, format_table  # noqa: E402
from mrcnn.startup import quiet  # noqa: E402
from mrcnn.weights import fetch, find  # noqa: E402

DEFAULT_LOGS_DIR = ROOT_DIR / "logs"
RESULTS_DIR = ROOT_DIR / "results" / "nucleus"
SUBSETS = ("train", "val", "stage1_train", "stage1_test", "stage2_test")

# Images of stage1_train held out for validation, as in matterport's sample.
VAL_IMAGE_IDS = [
    "0c2550a23b8a0f29a7575de8c61690d3c31bc897dd5ba66caec201d201a278c2",
    "92f31f591929a30e4309ab75185c96ff4314ce0a7ead2ed2c2171897ad1da0c7",
    "1e488c42eb1a54a3e8412b1f12cde530f950f238d71078f2ede6a85a02168e1f",
    "c901794d1a421d52e5734500c0a2a8ca84651fb93b19cec2f411855e70cae339",
    "8e507d58f4c27cd2a82bee79fe27b069befd62a46fdaed20970a95a2ba819c7b",
    "60cb718759bff13f81c4055a7679e81326f78b6a193a2d856546097c949b20ff",
    "da5f98f2b8a64eee735a398de48ed42cd31bf17a6063db46a9e0783ac13cd844",
    "9ebcfaf2322932d464f15b5662cae4d669b2d785b8299556d73fffcae8365d32",
    "1b44d22643830cd4f23c9deadb0bd499fb392fb2cd9526d81547d93077d983df",
    "97126a9791f0c1176e4563ad679a301dac27c59011f579e808bbd6e9f4cd1034",
    "e81c758e1ca177b0942ecad62cf8d321ffc315376135bcbed3df932a6e5b40c0",
    "f29fd9c52e04403cd2c7d43b6fe2479292e53b2f61969d25256d2d2aca7c6a81",
    "0ea221716cf13710214dcd331a61cea48308c3940df1d28cfc7fd817c83714e1",
    "3ab9cab6212fabd723a2c5a1949c2ded19980398b56e6080978e796f45cbbc90",
    "ebc18868864ad075548cc1784f4f9a237bb98335f9645ee727dac8332a3e3716",
    "bb61fc17daf8bdd4e16fdcf50137a8d7762bec486ede9249d92e511fcb693676",
    "e1bcb583985325d0ef5f3ef52957d0371c96d4af767b13e48102bca9d5351a9b",
    "947c0d94c8213ac7aaa41c4efc95d854246550298259cf1bb489654d0e969050",
    "cbca32daaae36a872a11da4eaff65d1068ff3f154eedc9d3fc0c214a4e5d32bd",
    "f4c4db3df4ff0de90f44b027fc2e28c16bf7e5c75ea75b0a9762bbb7ac86e7a3",
    "4193474b2f1c72f735b13633b219d9cabdd43c21d9c2bb4dfc4809f104ba4c06",
    "f73e37957c74f554be132986f38b6f1d75339f636dfe2b681a0cf3f88d2733af",
    "a4c44fc5f5bf213e2be6091ccaed49d8bf039d78f6fbd9c4d7b7428cfcb2eda4",
    "cab4875269f44a701c5e58190a1d2f6fcb577ea79d842522dcab20ccb39b7ad2",
    "8ecdb93582b2d5270457b36651b62776256ade3aaa2d7432ae65c14f07432d49",
]


class NucleusConfig(Config):
    """Training: many small objects, random crops of images at twice their size."""

    NAME = "nucleus"
    IMAGES_PER_GPU = 6
    NUM_CLASSES = 1 + 1  # background + nucleus
    STEPS_PER_EPOCH = (657 - len(VAL_IMAGE_IDS)) // IMAGES_PER_GPU
    VALIDATION_STEPS = max(1, len(VAL_IMAGE_IDS) // IMAGES_PER_GPU)
    DETECTION_MIN_CONFIDENCE = 0
    BACKBONE = "resnet50"
    IMAGE_RESIZE_MODE = "crop"
    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 512
    IMAGE_MIN_SCALE = 2.0
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    POST_NMS_ROIS_TRAINING = 1000
    POST_NMS_ROIS_INFERENCE = 2000
    RPN_NMS_THRESHOLD = 0.9
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    MEAN_PIXEL = np.array([43.53, 39.56, 48.22])
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)
    TRAIN_ROIS_PER_IMAGE = 128
    MAX_GT_INSTANCES = 200
    DETECTION_MAX_INSTANCES = 400


class NucleusInferenceConfig(NucleusConfig):
    """Detection: one whole image at a time."""

    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    IMAGE_RESIZE_MODE = "pad64"
    RPN_NMS_THRESHOLD = 0.7


def find_images(dataset_dir, subset):
    """Returns the folder and the ids of the images of a subset, see `NucleusDataset`."""
    if subset not in SUBSETS:
        raise ValueError(f"Expected a subset of {', '.join(SUBSETS)}, got {subset!r}")
    folder = Path(dataset_dir) / ("stage1_train" if subset in ("train", "val") else subset)
    if not folder.is_dir():
        raise ValueError(f"Expected the images of subset {subset!r} in the folder {folder}")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    image_ids = [name for name in found if subset != "train" or name not in VAL_IMAGE_IDS]
    if subset == "val":
        image_ids = [name for name in VAL_IMAGE_IDS if name in found]
    if not image_ids:
        raise ValueError(f"Expected images of subset {subset!r} in {folder}, found none")
    return folder, image_ids


class NucleusDataset(Dataset):
    """Images with one PNG file for the mask of each nucleus."""

    def load_nucleus(self, dataset_dir, subset, limit=None):
        """Adds the images of a subset.

        Args:
            dataset_dir: the folder that holds `stage1_train` and its like.
            subset: "train" (stage1_train without the validation images), "val" (the validation
                images), or the name of a folder.
            limit: take the first `limit` images only.
        """
        folder, image_ids = find_images(dataset_dir, subset)
        if subset == "val" and len(image_ids) < len(VAL_IMAGE_IDS):
            missing = len(VAL_IMAGE_IDS) - len(image_ids)
            print(f"Skipped {missing} validation images that {folder} does not have")
        self.add_class("nucleus", 1, "nucleus")
        for name in image_ids[:limit]:
            self.add_image("nucleus", name, path=str(folder / name / "images" / f"{name}.png"))

    def load_mask(self, image_id):
        """Returns masks [H, W, N] bool and class ids [N]; none for an image without a mask file."""
        info = self.image_info[image_id]
        if info["source"] != "nucleus":
            return super().load_mask(image_id)
        paths = sorted((Path(info["path"]).parents[1] / "masks").glob("*.png"))
        if not paths:
            return np.zeros((*self.load_image(image_id).shape[:2], 0), bool), np.zeros(0, np.int32)
        masks = np.stack([imread(path, as_gray=True) > 0 for path in paths], axis=-1)
        return masks, np.ones(len(paths), np.int32)

    def image_reference(self, image_id):
        """Returns the name of the image."""
        info = self.image_info[image_id]
        return info["id"] if info["source"] == "nucleus" else super().image_reference(image_id)


def augment(image, masks, rng):
    """Makes up to two random changes, drawn from a NumPy generator.

    They are taken from: flip sideways, flip upside down, turn (by a half where the image is not
    square), make darker or brighter, blur.
    """
    turns = rng.integers(1, 4) if image.shape[0] == image.shape[1] else 2
    brightness, sigma = rng.uniform(0.8, 1.5), rng.uniform(0, 5)
    flips = rng.random(2) < 0.5
    for change in rng.permutation(5)[: rng.integers(0, 3)]:
        if change < 2 and flips[change]:
            axis = 1 - change
            image, masks = np.flip(image, axis), np.flip(masks, axis)
        elif change == 2:
            image, masks = np.rot90(image, turns), np.rot90(masks, turns)
        elif change == 3:
            image = np.clip(image * brightness, 0, 255).astype(np.uint8)
        elif change == 4:
            image = gaussian(image, sigma, channel_axis=-1, preserve_range=True)
            image = image.round().astype(np.uint8)
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)


def train(model, dataset_dir, subset, epochs=40, layers=None, limit=None):
    """Trains the heads for the first half of the epochs, then all layers.

    Args:
        model: `MaskRCNN` in training mode.
        dataset_dir, subset: as in `NucleusDataset.load_nucleus`.
        epochs: the total.
        layers: train these from the first epoch to the last instead.
        limit: use the first `limit` images of the subset, and of the validation images.
    """
    training, validation = NucleusDataset(), NucleusDataset()
    training.load_nucleus(dataset_dir, subset, limit)
    training.prepare()
    validation.load_nucleus(dataset_dir, "val", limit)
    validation.prepare()
    halves = [(max(1, epochs // 2), "heads"), (epochs, "all")]
    schedule = [(epochs, layers)] if layers else halves
    for last_epoch, trained in schedule:
        print(f"Training {trained} to epoch {last_epoch}")
        model.train(
            training,
            validation,
            learning_rate=model.config.LEARNING_RATE,
            epochs=last_epoch,
            layers=trained,
            augmentation=augment,
        )


def rle_encode(mask):
    """Returns Kaggle's code of a [H, W] mask: "start length ...", column by column, from 1."""
    pixels = np.concatenate([[0], np.asarray(mask, bool).T.ravel(), [0]])
    starts_and_ends = np.flatnonzero(np.diff(pixels)) + 1
    starts, ends = starts_and_ends[::2], starts_and_ends[1::2]
    return " ".join(map(str, np.stack([starts, ends - starts], axis=1).ravel()))


def rle_decode(rle, shape):
    """Returns the mask, bool of this (height, width), of Kaggle's code."""
    starts, lengths = np.array(rle.split(), int).reshape(-1, 2).T
    mask = np.zeros(shape[0] * shape[1], bool)
    for start, length in zip(starts - 1, lengths, strict=True):
        mask[start : start + length] = True
    return mask.reshape(shape[::-1]).T


def mask_to_rle(image_id, mask, scores):
    """Returns the lines of submit.csv for the masks [H, W, N] of an image.

    A pixel belongs to one line only: to the mask with the best score.
    """
    lines, free = [], np.ones(mask.shape[:2], bool)
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        visible = mask[:, :, i] & free
        free &= ~visible
        if visible.any():
            lines.append(f"{image_id},{rle_encode(visible)}")
    return "\n".join(lines or [f"{image_id},"])


def detect(model, dataset_dir, subset, limit=None, evaluate=False):
    """Writes a submission file and a picture for each image.

    Args:
        model: `MaskRCNN` in inference mode.
        dataset_dir, subset, limit: as in `NucleusDataset.load_nucleus`.
        evaluate: print COCO's numbers; needs masks.

    Returns:
        The new folder under RESULTS_DIR.
    """
    dataset = NucleusDataset()
    dataset.load_nucleus(dataset_dir, subset, limit)
    dataset.prepare()
    submit_dir = Path(RESULTS_DIR) / time.strftime("submit_%Y%m%dT%H%M%S")
    submit_dir.mkdir(parents=True)
    lines, results = ["ImageId,EncodedPixels"], []
    for image_id in dataset.image_ids:
        image, name = dataset.load_image(image_id), dataset.image_info[image_id]["id"]
        found = model.detect([image])[0]
        lines.append(mask_to_rle(name, found["masks"], found["scores"]))
        colors = visualize.random_colors(len(found["rois"]))
        instances = found["rois"], found["masks"], found["class_ids"]
        picture = visualize.draw_instances(image, *instances, colors=colors, show_bbox=False)
        imsave(submit_dir / f"{name}.png", picture, check_contrast=False)
        if evaluate:
            results += coco_results(image_id, found)
    (submit_dir / "submit.csv").write_text("\n".join(lines) + "\n")
    print(f"Wrote {submit_dir}")
    if evaluate:
        limit = model.config.DETECTION_MAX_INSTANCES
        print(format_table(evaluate_detections(coco_ground_truth(dataset), results, limit)))
    return submit_dir


def load_weights(model, weights):
    """Loads what `--weights` names into the model."""
    if weights == "coco":
        from mrcnn.weights import CLASS_HEADS

        # matterport's file is of ResNet-101: what this ResNet-50 shares with it, but the heads.
        path = fetch(find("matterport/mask_rcnn_coco"))
        model.load_weights(path, by_name=True, exclude=CLASS_HEADS)
    elif weights != "none":
        model.load_weights(model.find_last() if weights == "last" else weights)


def make_config(args):
    """Returns the configuration of a command with what its flags changed."""
    config = NucleusConfig() if args.command == "train" else NucleusInferenceConfig()
    flags = {
        "IMAGE_MIN_DIM": args.crop,
        "IMAGE_MAX_DIM": args.crop,
        "IMAGES_PER_GPU": args.batch_size,
        "STEPS_PER_EPOCH": args.steps_per_epoch,
        "LEARNING_RATE": args.learning_rate,
        "DETECTION_MIN_CONFIDENCE": args.min_confidence,
        "SEED": args.seed,
        "TRAIN_BN": args.train_bn or None,
    }
    for name, value in flags.items():
        if value is not None:
            setattr(config, name, value)
    return config


def make_parser():
    parser = argparse.ArgumentParser(description="Find nuclei in microscopy images.")
    parser.add_argument("command", choices=["train", "detect"])
    parser.add_argument("--dataset", required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument("--subset", required=True, choices=SUBSETS)
    parser.add_argument(
        "--weights", required=True, help="'coco', 'imagenet', 'last', 'none' or a path"
    )
    parser.add_argument("--logs", default=str(DEFAULT_LOGS_DIR), help="folder of checkpoints")
    parser.add_argument("--limit", type=int, help="use the first LIMIT images of the subset")
    parser.add_argument("--seed", type=int)
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=40, help="total; default 40")
    training.add_argument("--layers", help="default: heads for half of the epochs, then all")
    training.add_argument("--steps-per-epoch", type=int)
    training.add_argument("--batch-size", type=int)
    training.add_argument("--learning-rate", type=float)
    training.add_argument("--crop", type=int, help="side of the crops in pixels; default 512")
    training.add_argument("--train-bn", action="store_true", help="train batch normalization")
    detection = parser.add_argument_group("detection")
    detection.add_argument("--min-confidence", type=float)
    detection.add_argument("--evaluate", action="store_true", help="print COCO's numbers")
    return parser


def parse_args(argv=None):
    return make_parser().parse_args(argv)


def main():
    args = parse_args()
    try:
        for subset in [args.subset, "val"] if args.command == "train" else [args.subset]:
            find_images(args.dataset, subset)
    except ValueError as error:
        make_parser().error(f"--dataset {args.dataset}: {error}")
    quiet.install()
    from mrcnn.model import MaskRCNN

    mode = "training" if args.command == "train" else "inference"
    model = MaskRCNN(mode=mode, config=make_config(args), model_dir=args.logs)
    load_weights(model, args.weights)
    if args.command == "train":
        train(model, args.dataset, args.subset, args.epochs, args.layers, args.limit)
    else:
        detect(model, args.dataset, args.subset, args.limit, args.evaluate)


if __name__ == "__main__":
    main()
