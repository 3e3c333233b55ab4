"""Find balloons in photos, and leave the colour in them only: matterport's example.

    python samples/balloon/balloon.py train --dataset DIR --weights coco
    python samples/balloon/balloon.py splash --weights last --image FILE
    python samples/balloon/balloon.py splash --weights last --video FILE

DIR holds `train` and `val`, each with photos and a `via_region_data.json` of the VGG Image
Annotator; https://github.com/matterport/Mask_RCNN/releases has one as balloon_dataset.zip.
"""

import argparse
import datetime
import sys
from pathlib import Path

import numpy as np
from skimage.color import rgb2gray
from skimage.io import imsave

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.config import Config  # noqa: E402
from mrcnn.data import Dataset  # noqa: E402
from mrcnn.data.formats import ViaDataset  # noqa: E402
from mrcnn.image import to_model_image  # noqa: E402
from mrcnn.image.video import (  # noqa: E402
    VideoReader,
    write_video,
)
from mrcnn.startup import quiet  # noqa: E402

DEFAULT_LOGS_DIR = ROOT_DIR / "logs"
DEFAULT_DATASET_DIR = ROOT_DIR / "datasets" / "balloon"
ANNOTATIONS = "via_region_data.json"


class BalloonConfig(Config):
    """Training: one class, the heads of a network that knows COCO."""

    NAME = "balloon"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 1  # background + balloon
    STEPS_PER_EPOCH = 100
    DETECTION_MIN_CONFIDENCE = 0.9


class BalloonInferenceConfig(BalloonConfig):
    """Detection: one picture at a time."""

    GPU_COUNT = 1
    IMAGES_PER_GPU = 1


class BalloonDataset(ViaDataset):
    """Photos with the outlines of balloons."""

    source = "balloon"
    box_masks = True  # a rectangle stands for a balloon too, as in matterport's

    def load_balloon(self, dataset_dir, subset):
        """Adds the photos of a subset; those without a region are left out, as in matterport's.

        Args:
            dataset_dir: the folder of the data set.
            subset: "train" or "val".

        Raises:
            ValueError: names the file, the photo and the region that cannot be used.
        """
        if subset not in ("train", "val"):
            raise ValueError(f"Expected the subset 'train' or 'val', got {subset!r}")
        annotations = Path(dataset_dir) / subset / ANNOTATIONS
        if not annotations.is_file():
            raise ValueError(
                f"Expected the file {annotations}; unpack balloon_dataset.zip and pass the folder "
                "that holds train and val, or export your own annotations from VIA to this name"
            )
        self.load(annotations, class_name="balloon")
        annotated = [info for info in self.image_info if info.get("instances", True)]
        skipped = len(self.image_info) - len(annotated)
        self.image_info = annotated
        if skipped:
            print(f"Skipped {skipped} photos without regions in {annotations}")


def train(model, dataset_dir=DEFAULT_DATASET_DIR, epochs=30, layers="heads"):
    """Trains on the photos of `train` and validates on those of `val`.

    The defaults suit weights of COCO: few photos, hence the heads alone.

    Args:
        model: `MaskRCNN` in training mode.
        dataset_dir: as in `BalloonDataset.load_balloon`.
        epochs: the total.
        layers: as in `MaskRCNN.train`.
    """
    training, validation = BalloonDataset(), BalloonDataset()
    for dataset, subset in ((training, "train"), (validation, "val")):
        dataset.load_balloon(dataset_dir, subset)
        dataset.prepare()
    print(f"Training {layers}")
    model.train(training, validation, model.config.LEARNING_RATE, epochs=epochs, layers=layers)


def color_splash(image, mask):
    """Returns the image in grey, but for the pixels of the instances.

    Args:
        image: [H, W, 3] RGB, uint8; also what else `mrcnn.image.pixels.to_model_image` takes.
        mask: bool [H, W, N], `masks` of a detection.

    Returns:
        uint8 [H, W, 3].
    """
    image = to_model_image(image)
    gray = np.rint(rgb2gray(image / 255) * 255)[:, :, None]
    return np.where(mask.any(axis=-1, keepdims=True), image, gray).astype(np.uint8)


def splash_frames(model, video):
    """Yields the splash of each frame of a `VideoReader`, and shows how far it has come."""
    from keras.utils import Progbar

    progress = Progbar(video.count, unit_name="frame", interval=1)
    for frame in video:
        yield color_splash(frame, model.detect([frame])[0]["masks"])
        progress.add(1)


def new_file(suffix):
    """A name in the current folder that is not taken: splash_<date>T<time> and the suffix."""
    now = datetime.datetime.now()
    while (path := Path(f"splash_{now:%Y%m%dT%H%M%S}{suffix}")).exists():
        now += datetime.timedelta(seconds=1)
    return path


def detect_and_color_splash(model, image_path=None, video_path=None):
    """Writes the splash of a photo (.png) or of a video (.avi, no sound) to the current folder.

    A video is read and written frame by frame, so that its length does not matter.

    Args:
        model: `MaskRCNN` that detects balloons.
        image_path: path or URL of a photo; or
        video_path: path or URL of a video.

    Returns:
        Path of the new file.
    """
    if (image_path is None) == (video_path is None):
        raise ValueError(f"Expected one of image_path and video_path, got {image_path, video_path}")
    if image_path is not None:
        photo = Dataset()
        photo.add_image("photo", 0, image_path)
        image = photo.load_image(0)
        path = new_file(".png")
        splash = color_splash(image, model.detect([image])[0]["masks"])
        imsave(path, splash, check_contrast=False)
    else:
        with VideoReader(video_path) as video:
            path = new_file(".avi")
            write_video(path, splash_frames(model, video), video.fps)
    print(f"Saved to {path}")
    return path


def load_weights(model, weights):
    """Loads what `--weights` names into the model."""
    if weights != "none":
        model.load_weights(model.find_last() if weights == "last" else weights)


def make_config(args):
    """Returns the configuration of a command with what its flags changed."""
    config = BalloonConfig() if args.command == "train" else BalloonInferenceConfig()
    flags = {
        "BACKBONE": args.backbone,
        "IMAGE_MIN_DIM": args.size,
        "IMAGE_MAX_DIM": args.size,
        "STEPS_PER_EPOCH": args.steps_per_epoch,
        "LEARNING_RATE": args.learning_rate,
        "DETECTION_MIN_CONFIDENCE": args.min_confidence,
        "SEED": args.seed,
    }
    for name, value in flags.items():
        if value is not None:
            setattr(config, name, value)
    return config


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description="Find balloons in photos and videos.")
    parser.add_argument("command", choices=["train", "splash"])
    parser.add_argument("--dataset", metavar="DIR", help="folder that holds train and val")
    parser.add_argument(
        "--weights", required=True, help="'coco', 'last', 'imagenet', 'none' or the path of a file"
    )
    parser.add_argument("--logs", default=str(DEFAULT_LOGS_DIR), help="folder of checkpoints")
    parser.add_argument("--image", metavar="FILE", help="photo to splash, or its URL")
    parser.add_argument("--video", metavar="FILE", help="video to splash, or its URL")
    parser.add_argument("--backbone", choices=["resnet50", "resnet101"], help="default resnet101")
    parser.add_argument("--size", type=int, help="side of the network's pictures; default 1024")
    parser.add_argument("--seed", type=int)
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=30, help="total; default 30")
    training.add_argument("--layers", default="heads", help="default heads; or 3+, 4+, 5+, all")
    training.add_argument("--steps-per-epoch", type=int)
    training.add_argument("--learning-rate", type=float)
    detection = parser.add_argument_group("splash")
    detection.add_argument("--min-confidence", type=float, help="default 0.9")
    args = parser.parse_args(argv)
    if args.command == "train":
        if not args.dataset:
            parser.error("train needs --dataset, the folder that holds train and val")
        if not Path(args.dataset).is_dir():
            parser.error(f"--dataset {args.dataset}: no such folder")
    else:
        if (args.image is None) == (args.video is None):
            parser.error("splash needs --image or --video, one of them")
        source = args.image or args.video
        if "://" not in source and not Path(source).is_file():
            parser.error(f"{source}: no such file")
    return args


def main():
    args = parse_args()
    quiet.install()
    from mrcnn.model import MaskRCNN

    mode = "training" if args.command == "train" else "inference"
    config = make_config(args)
    config.display()
    model = MaskRCNN(mode=mode, config=config, model_dir=args.logs)
    load_weights(model, args.weights)
    if args.command == "train":
        train(model, args.dataset, args.epochs, args.layers)
    else:
        detect_and_color_splash(model, args.image, args.video)


if __name__ == "__main__":
    main()
