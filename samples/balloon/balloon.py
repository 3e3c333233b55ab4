"""Find balloons in photos, and leave the colour in them only: matterport's example.

    python samples/balloon/balloon.py train --dataset DIR --weights coco
    python samples/balloon/balloon.py splash --weights last --image FILE
    python samples/balloon/balloon.py splash --weights last --video FILE

DIR holds `train` and `val`, each with photos and a `via_region_data.json` of the VGG Image
Annotator; https://github.com/matterport/Mask_RCNN/releases has one as balloon_dataset.zip.
"""

import argparse
import datetime
import json
import sys
from pathlib import Path

import numpy as np
from skimage import draw as shapes
from skimage.color import rgb2gray
from skimage.io import imsave

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.config import Config  # noqa: E402
from mrcnn.data import Dataset  # noqa: E402
from mrcnn.image import image_size, to_model_image  # noqa: E402
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


def read_via(path):
    """Reads what the VGG Image Annotator exports as JSON, versions 1 and 2, or a project of it.

    Args:
        path: the file.

    Returns:
        list of (file name, list of regions); a region is VIA's `shape_attributes`.

    Raises:
        ValueError: names the file, and the image that is at fault.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, {error}; export the annotations anew") from None
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    entries = content.values() if isinstance(content, dict) else [content]
    images = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"filename", "regions"} <= entry.keys():
            raise ValueError(
                f"{path}: expected images with 'filename' and 'regions', got {str(entry)[:80]}; "
                "in VIA 1 or 2 choose Annotation, Export Annotations (as json)"
            )
        name, regions = entry["filename"], entry["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        try:
            images.append((name, [dict(region["shape_attributes"]) for region in regions]))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path}, {name}: expected regions with 'shape_attributes', got "
                f"{str(regions)[:80]}; export the annotations anew"
            ) from None
    return images


def region_pixels(region, size):
    """Returns the rows and the columns of the pixels of a region, cut at the image's border.

    Args:
        region: VIA's `shape_attributes` of a polygon, polyline (closed to a polygon), rect, circle
            or ellipse.
        size: height and width of the image.

    Raises:
        ValueError: another shape, or one without the numbers that it needs.
    """
    kind = region.get("name")
    try:
        if kind in ("polygon", "polyline"):
            xs, ys = region["all_points_x"], region["all_points_y"]
            if len(xs) != len(ys) or len(xs) < 3:
                raise ValueError(f"{len(xs)} x and {len(ys)} y")
            return shapes.polygon(ys, xs, size)
        if kind == "rect":
            corner, extent = (region["y"], region["x"]), (region["height"], region["width"])
            return shapes.rectangle(corner, extent=extent, shape=size)
        if kind == "circle":
            return shapes.disk((region["cy"], region["cx"]), region["r"], shape=size)
        if kind == "ellipse":
            center, radii = (region["cy"], region["cx"]), (region["ry"], region["rx"])
            # VIA turns clockwise, scikit-image the other way.
            return shapes.ellipse(*center, *radii, size, -region.get("theta", 0))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected the numbers of a {kind}, at least three points of a polygon, got {region} "
            f"({type(error).__name__}: {error}); draw it anew in VIA"
        ) from None
    raise ValueError(
        f"expected a polygon, polyline, rect, circle or ellipse, got {kind!r}; draw one of these"
    )


class BalloonDataset(Dataset):
    """Photos with the outlines of balloons."""

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
        folder = Path(dataset_dir) / subset
        annotations = folder / ANNOTATIONS
        if not annotations.is_file():
            raise ValueError(
                f"Expected the file {annotations}; unpack balloon_dataset.zip and pass the folder "
                "that holds train and val, or export your own annotations from VIA to this name"
            )
        self.add_class("balloon", 1, "balloon")
        images = read_via(annotations)
        for name, regions in images:
            for i, region in enumerate(regions):
                try:
                    region_pixels(region, (1, 1))  # cut to a pixel: checks it at no cost
                except ValueError as error:
                    raise ValueError(f"{annotations}, {name}, region {i}: {error}") from None
            if regions:
                self._add_photo(annotations, name, regions)
        skipped = sum(not regions for _, regions in images)
        if skipped:
            print(f"Skipped {skipped} photos without regions in {annotations}")

    def _add_photo(self, annotations, name, regions):
        path = annotations.parent / name
        try:
            height, width = image_size(path)  # the annotations do not say it
        except ValueError as error:
            raise ValueError(
                f"{annotations} names {name}, but {path} cannot be read ({error}); "
                "put the photo there, or remove it in VIA"
            ) from None
        self.add_image("balloon", name, str(path), width=width, height=height, polygons=regions)

    def load_mask(self, image_id):
        """Returns masks [H, W, N] bool and class ids [N] of the regions in their order."""
        info = self.image_info[image_id]
        if info["source"] != "balloon":
            return super().load_mask(image_id)
        masks = np.zeros((info["height"], info["width"], len(info["polygons"])), bool)
        for i, region in enumerate(info["polygons"]):
            rows, columns = region_pixels(region, masks.shape[:2])
            masks[rows, columns, i] = True
        return masks, np.ones(masks.shape[-1], np.int32)

    def image_reference(self, image_id):
        """Returns the path of the photo."""
        info = self.image_info[image_id]
        return info["path"] if info["source"] == "balloon" else super().image_reference(image_id)


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
