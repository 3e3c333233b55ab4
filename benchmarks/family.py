"""Trains a member of the family on shapes, from nothing, and scores it on 50 others.

python benchmarks/family.py --member cascade --output OUT

Prints its scores, and whether the member reached what it is expected to; leaves a checkpoint of
each epoch and `detections.png`, what it finds in pictures that it has not seen, in OUT.
"""

import argparse
import collections.abc
import dataclasses
import os
import sys
import time

import machine
import keras
import numpy as np
from skimage.io import imsave

from mrcnn.data.corners import NAMES, CornersDataset
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.shapes import ShapesDataset
from mrcnn.demo import DemoConfig, small_backbone, warm_cosine
from mrcnn.evaluate import evaluate, format_table
from mrcnn.evaluate.detecting import wants_proposals
from mrcnn.model import create
from mrcnn.presets import PRESETS
from mrcnn.visualize import draw_panoptic
from mrcnn.visualize.grids import draw_grid

EPOCH = 200  # steps
SHOWN = 9  # pictures that are drawn
GAP = 4  # pixels between them


class CascadeConfig(DemoConfig):
    ARCHITECTURE = "cascade_rcnn"
    BOX_CLASS_AGNOSTIC = True


class C4Config(DemoConfig):
    ARCHITECTURE = "c4"
    BACKBONE_STRIDES = [16]  # noqa: RUF012
    RPN_ANCHOR_SCALES = ((24, 32, 48, 64, 96),)
    POOL_SIZE = 14
    MASK_HEAD_CONV_LAYERS = 0


class DilatedConfig(DemoConfig):
    ARCHITECTURE = "dc5"
    BACKBONE_STRIDES = [16]  # noqa: RUF012
    RPN_ANCHOR_SCALES = C4Config.RPN_ANCHOR_SCALES


class FastRCNNConfig(DilatedConfig):
    """Fast R-CNN: boxes that are given, the maxima of one map, no region proposal network."""

    NAME = "fast_rcnn"
    USE_RPN_ROIS = False
    USE_MASK = False
    ROI_ALIGN_MODE = "roi_pool"
    POST_NMS_ROIS_TRAINING = 100
    LOSS_WEIGHTS = {"rpn_class_loss": 0.0, "rpn_bbox_loss": 0.0}  # noqa: RUF012


class ProposedShapes(ShapesDataset):
    """Shapes with proposals: each box `NEAR` times, moved and stretched, among random boxes."""

    NEAR, FAR = 8, 40

    def load_proposals(self, image_id):
        info = self.image_info[image_id]
        boxes, _ = self.load_boxes(image_id, (info["height"], info["width"]))
        rng = np.random.default_rng(image_id)
        near = np.repeat(boxes, self.NEAR, axis=0).astype(float)
        sides = np.tile(near[:, 2:] - near[:, :2], 2)
        near += rng.uniform(-0.25, 0.25, near.shape) * sides
        far = rng.uniform(0, [info["height"], info["width"]], (self.FAR, 2, 2))
        far = np.concatenate([far.min(axis=1), far.max(axis=1)], axis=1)
        return rng.permutation(np.concatenate([near, far]))


class RetinaNetConfig(PRESETS["torchvision/retinanet_resnet50_fpn_v2"]):
    """The demonstration's backbone and a head of 64 channels, both normalised in groups."""

    NAME = "retinanet_shapes"
    NUM_CLASSES = 1 + 3
    BACKBONE = small_backbone
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 128
    IMAGES_PER_GPU = 4
    TOP_DOWN_PYRAMID_SIZE = 64
    RPN_ANCHOR_SCALES = tuple((x, 1.26 * x, 1.59 * x) for x in (16, 32, 64, 128, 256))
    RPN_INIT_STD = None
    MAX_GT_INSTANCES = 8
    DETECTION_MAX_INSTANCES = 16
    LEARNING_RATE = 0.02


class KeypointsConfig(DemoConfig):
    """The demonstration's network with a small keypoint head in place of masks."""

    NAME = "corners"
    USE_MASK = False
    USE_KEYPOINTS = True
    NUM_KEYPOINTS = len(NAMES)
    KEYPOINT_HEAD_LAYERS = 4
    KEYPOINT_HEAD_CHANNELS = 64


class PanopticConfig(DemoConfig):
    """The demonstration's network with a semantic head, for shapes over two kinds of ground."""

    NAME = "panoptic"
    ARCHITECTURE = "panoptic_fpn"
    NUM_CLASSES = 6
    NUM_STUFF_CLASSES = 2
    SEMANTIC_HEAD_CHANNELS = 32
    PANOPTIC_STUFF_AREA = 64


def draw_instances(model, dataset, image_ids, path, score=0.5):
    """Writes the confident detections."""
    images = [dataset.load_image(image_id) for image_id in image_ids]
    options = {}
    if wants_proposals(model):
        options["proposals"] = [dataset.load_proposals(image_id) for image_id in image_ids]
    found = [each.filter(each["scores"] >= score) for each in model.detect(images, **options)]
    draw_grid(images, found, dataset.class_names, save_path=path)


def draw_segments(model, dataset, image_ids, path):
    """Writes the panoptic truth beside what is found, a row for each picture."""
    rows = []
    for image_id in image_ids:
        image = dataset.load_image(image_id)
        found = model.detect([image])[0]
        pairs = [dataset.load_panoptic(image_id), (found["segmentation"], found["segments"])]
        tiles = [draw_panoptic(image, *pair, dataset.class_names) for pair in pairs]
        gap = np.full((len(image), GAP, 3), 255, np.uint8)
        rows += [np.concatenate([tiles[0], gap, tiles[1]], axis=1)]
        rows += [np.full((GAP, rows[-1].shape[1], 3), 255, np.uint8)]
    imsave(path, np.concatenate(rows[:-1]), check_contrast=False)


@dataclasses.dataclass(frozen=True)
class Member:
    """What is trained, on which shapes, and the score that it is expected to reach.

    Attributes:
        config: class of a `Config`.
        dataset: class of a data set with `load_shapes`.
        score: (kind, name) in what `evaluate` returns.
        expected: float, what it should reach.
        draw: function of model, data set, image ids and a path that it writes a picture to.
    """

    config: type
    dataset: type
    score: tuple
    expected: float
    draw: collections.abc.Callable = draw_instances


MEMBERS = {
    "mask_rcnn": Member(DemoConfig, ShapesDataset, ("segm", "AP50"), 0.85),
    "cascade": Member(CascadeConfig, ShapesDataset, ("segm", "AP50"), 0.85),
    "c4": Member(C4Config, ShapesDataset, ("segm", "AP50"), 0.85),
    "dc5": Member(DilatedConfig, ShapesDataset, ("segm", "AP50"), 0.85),
    "fast_rcnn": Member(FastRCNNConfig, ProposedShapes, ("bbox", "AP50"), 0.85),
    "retinanet": Member(RetinaNetConfig, ShapesDataset, ("bbox", "AP50"), 0.85),
    "keypoints": Member(KeypointsConfig, CornersDataset, ("keypoints", "AP"), 0.8),
    "panoptic": Member(PanopticConfig, GroundsDataset, ("panoptic", "PQ"), 0.7, draw_segments),
}


def shapes(member, config, count, seed):
    """A prepared data set of so many pictures of the config's size."""
    dataset = member.dataset()
    dataset.load_shapes(count, *config.IMAGE_SHAPE[:2], seed=seed)
    dataset.prepare()
    return dataset


def train(member, output, steps, seed):
    """Returns a trained model and 50 pictures that it has not seen."""
    config = member.config()
    config.STEPS_PER_EPOCH, epochs = EPOCH, max(1, steps // EPOCH)
    model = create("training", config, output)
    rate = warm_cosine(config.LEARNING_RATE, EPOCH * epochs)
    model.train(shapes(member, config, 2000, 2 * seed), None, rate, epochs, layers="all")
    return model, shapes(member, config, 50, 2 * seed + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--member", required=True, choices=MEMBERS)
    parser.add_argument("--output", default="logs", help="folder of checkpoints and the picture")
    parser.add_argument("--steps", type=int, default=1600, help="of 4 pictures; default 1600")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    print(machine.describe())
    keras.utils.set_random_seed(args.seed)
    keras.utils.disable_interactive_logging()  # of Keras's progress bar
    member, start = MEMBERS[args.member], time.time()
    model, dataset = train(member, args.output, args.steps, args.seed)
    seconds = time.time() - start
    scores = evaluate(model, dataset, max_detections=model.config.DETECTION_MAX_INSTANCES)
    print(format_table(scores))
    kind, name = member.score
    reached = scores[kind][name]
    print(f"{kind} {name} {reached:.3f}, expected {member.expected}; {seconds:.0f} seconds")
    path = os.path.join(args.output, "detections.png")
    member.draw(model, dataset, dataset.image_ids[:SHOWN], path)
    sys.exit(int(reached < member.expected))


if __name__ == "__main__":
    main()
