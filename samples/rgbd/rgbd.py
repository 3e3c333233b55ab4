"""Find objects in colours and depth: four channels, the fourth from a file of its own.

python samples/rgbd/rgbd.py train
python samples/rgbd/rgbd.py detect --weights last
python samples/rgbd/rgbd.py train --dataset DIR --weights coco
python samples/rgbd/rgbd.py detect --dataset DIR --weights last

Without a data set it paints one, below the folder of logs. DIR holds `train` and `val`, each with
`a.png`, RGB; `a_depth.png`, 16 bits, in any unit; `a_objects.png`, the number of the object that
each pixel belongs to, 0 for none.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from skimage.io import imread

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.config import Config  # noqa: E402
from mrcnn.data import Dataset  # noqa: E402
from mrcnn.startup import quiet  # noqa: E402

OBJECTS = "_objects.png"


class RGBDConfig(Config):
    """Training from weights of COCO, whose first convolution is adapted to four channels."""

    NAME = "rgbd"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 1  # background + object
    IMAGE_CHANNEL_COUNT = 4
    IMAGE_CHANNEL_FILES = ("_depth",)
    STEPS_PER_EPOCH = 100
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 100
    DETECTION_MIN_CONFIDENCE = 0.05


class RGBDDataset(Dataset):
    """Pictures of colours and depth with the objects in them, all of one class."""

    def load_rgbd(self, dataset_dir, subset):
        """Adds the pictures of a subset.

        Args:
            dataset_dir: the folder that holds the subsets.
            subset: "train" or "val".

        Raises:
            ValueError: the folder has no picture with objects.
        """
        folder = Path(dataset_dir) / subset
        self.add_class("rgbd", 1, "object")
        for path in sorted(folder.glob(f"*{OBJECTS}")):
            name = path.name.removesuffix(OBJECTS)
            self.add_image("rgbd", name, str(folder / f"{name}.png"), objects=path)
        if not self.image_info:
            raise ValueError(
                f"Expected pictures a.png, a_depth.png and a{OBJECTS} in the folder {folder}"
            )

    def load_mask(self, image_id):
        """Returns masks bool [H, W, N] and class ids [N], one for each number in the picture."""
        objects = imread(self.image_info[image_id]["objects"])
        numbers = np.unique(objects[objects > 0])
        return objects[:, :, None] == numbers, np.ones(len(numbers), np.int32)


def load_datasets(folder, logs):
    """Returns the training and the validation set, prepared."""
    if folder is None:
        sys.path.append(str(Path(__file__).parent))
        from stand_in import write_tables

        folder = write_tables(Path(logs) / "tables")
    datasets = RGBDDataset(), RGBDDataset()
    for dataset, subset in zip(datasets, ("train", "val"), strict=True):
        dataset.load_rgbd(folder, subset)
        dataset.prepare()
        dataset.read_as(RGBDConfig())
    return datasets


def config_for(folder, training):
    """The config of a data set; its channels have the mean and deviation of the training set.

    Of the painted data set it is that of a small network, which learns from nothing.
    """
    from mrcnn.data import pixel_statistics
    from mrcnn.demo import DemoConfig
    from mrcnn.weights.families import input_spread

    class PaintedConfig(DemoConfig, RGBDConfig):
        """Keys of `DemoConfig` come first."""

        NAME, NUM_CLASSES = RGBDConfig.NAME, RGBDConfig.NUM_CLASSES

    config = RGBDConfig() if folder else PaintedConfig()
    values = pixel_statistics(training).normalising(input_spread(config))
    config.MEAN_PIXEL, config.STD_PIXEL = map(np.array, values.values())
    return config


def train(model, datasets, epochs):
    """Trains every layer: the first convolution has a new channel."""
    training, validation = datasets
    rate = model.config.LEARNING_RATE
    model.train(training, validation, rate, epochs, layers="all")


def detect(model, dataset, path):
    """Prints COCO's numbers of a data set and writes 8 of its pictures beside their objects."""
    from mrcnn import evaluate
    from mrcnn.demo_family import draw_pairs

    print(evaluate.format_table(evaluate.evaluate(model, dataset)))
    draw_pairs(model, dataset, dataset.image_ids[:8], save_path=path)
    print(f"Wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["train", "detect"])
    parser.add_argument("--dataset", help="a folder; without it pictures are painted")
    parser.add_argument("--weights", help="'last', 'coco', or a file")
    parser.add_argument("--logs", default=str(ROOT_DIR / "logs"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="training batches in an epoch")
    args = parser.parse_args()
    if args.command == "detect" and args.weights is None:
        parser.error("detect needs --weights: 'last' or the path of a checkpoint")

    quiet.install()
    from mrcnn.model import MaskRCNN

    datasets = load_datasets(args.dataset, args.logs)
    config = config_for(args.dataset, datasets[0])
    config.STEPS_PER_EPOCH = args.steps or config.STEPS_PER_EPOCH
    config.WARMUP_STEPS = min(config.WARMUP_STEPS, config.STEPS_PER_EPOCH - 1)
    mode = "training" if args.command == "train" else "inference"
    model = MaskRCNN(mode, config, args.logs)
    if args.weights:
        model.load_weights(model.find_last() if args.weights == "last" else args.weights)
    if args.command == "train":
        train(model, datasets, args.epochs)
    else:
        detect(model, datasets[1], Path(args.logs) / "rgbd.png")


if __name__ == "__main__":
    main()
