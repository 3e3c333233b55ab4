"""Trains a member of the family on procedural pictures from nothing, and scores 50 others.

python benchmarks/family.py --member panoptic --output OUT

Prints the score and the minutes that training took, and writes pictures of truth beside what was
found to OUT. The row of a member in `MEMBERS` says what it learns, and what it should reach.
"""

import argparse
import collections.abc
import dataclasses
import math
import os
import time

import machine  # noqa: F401  prepares what Keras finds
import keras
import numpy as np
from skimage.io import imsave

from mrcnn.data.grounds import GroundsDataset
from mrcnn.demo import EPOCH, STEPS, DemoConfig, warm_cosine
from mrcnn.evaluate import evaluate, format_table
from mrcnn.model import create
from mrcnn.visualize import draw_panoptic

SHOWN = 8  # pictures that are drawn
GAP = 4  # pixels between them


class PanopticConfig(DemoConfig):
    """The network of `mrcnn demo` with a semantic head, for shapes over two kinds of ground."""

    NAME = "panoptic"
    ARCHITECTURE = "panoptic_fpn"
    NUM_CLASSES = 6
    NUM_STUFF_CLASSES = 2
    SEMANTIC_HEAD_CHANNELS = 32
    PANOPTIC_STUFF_AREA = 64


def draw_segments(model, dataset, image_id):
    """The panoptic truth of a picture beside what was found, uint8 [H, W, 3]."""
    image, names = dataset.load_image(image_id), dataset.class_names
    found = model.detect([image])[0]
    pairs = [dataset.load_panoptic(image_id), (found["segmentation"], found["segments"])]
    tiles = [draw_panoptic(image, *pair, names) for pair in pairs]
    gap = np.full((len(image), GAP, 3), 255, np.uint8)
    return np.concatenate([tiles[0], gap, tiles[1]], axis=1)


@dataclasses.dataclass(frozen=True)
class Member:
    """What a member of the family learns.

    Attributes:
        config: class of a `Config`.
        dataset: class of a data set with `load_shapes`.
        score: (kind, name) in what `evaluate` returns.
        least: float, what it should reach.
        draw: function (model, dataset, image id) -> uint8 [H, W, 3].
    """

    config: type
    dataset: type
    score: tuple
    least: float
    draw: collections.abc.Callable


MEMBERS = {
    "panoptic": Member(PanopticConfig, GroundsDataset, ("panoptic", "PQ"), 0.7, draw_segments),
}


def pictures(member, count, config, seed):
    """A prepared data set of so many pictures of the config's size."""
    dataset = member.dataset()
    dataset.load_shapes(count, *config.IMAGE_SHAPE[:2], seed=seed)
    dataset.prepare()
    return dataset


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--member", choices=MEMBERS, required=True)
    parser.add_argument("--output", required=True, help="folder of checkpoints and the picture")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of 4 pictures")
    arguments = parser.parse_args()
    member = MEMBERS[arguments.member]
    keras.utils.set_random_seed(0)
    config = member.config()
    epochs = math.ceil(arguments.steps / EPOCH)
    config.STEPS_PER_EPOCH = math.ceil(arguments.steps / epochs)
    train, held_out = (pictures(member, n, config, i) for i, n in enumerate((2000, 50)))
    start = time.time()
    model = create("training", config, arguments.output)
    rate = warm_cosine(config.LEARNING_RATE, config.STEPS_PER_EPOCH * epochs)
    model.train(train, None, rate, epochs, layers="all")
    minutes = (time.time() - start) / 60
    scores = evaluate(model, held_out, max_detections=config.DETECTION_MAX_INSTANCES)
    print(format_table(scores))
    kind, name = member.score
    print(f"{arguments.member}: {name} {scores[kind][name]:.3f} after {minutes:.1f} minutes")
    print(f"expected: {member.least} at least")
    drawn = [member.draw(model, held_out, image_id) for image_id in held_out.image_ids[:SHOWN]]
    gap = np.full((GAP, drawn[0].shape[1], 3), 255, np.uint8)
    rows = [np.concatenate([picture, gap]) for picture in drawn]
    imsave(os.path.join(arguments.output, f"{arguments.member}.png"), np.concatenate(rows))


if __name__ == "__main__":
    main()
