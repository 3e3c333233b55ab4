"""The demonstration of the family: each member learns pictures that need no download, from nothing.

The network is small, as that of `mrcnn.demo`: minutes on a CPU.
"""

import dataclasses
import os
import time

import keras
import numpy as np

from mrcnn.data.corners import NAMES, CornersDataset
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.keypoints import skeleton_of
from mrcnn.data.shapes import ShapesDataset
from mrcnn.demo import EPOCH, STEPS, DemoConfig, Progress, small_backbone, warm_cosine
from mrcnn.evaluate import evaluate, format_table
from mrcnn.evaluate.detecting import detect_some
from mrcnn.model import create
from mrcnn.presets import PRESETS
from mrcnn.reports.run_folder import truth_of
from mrcnn.visualize import draw_comparison

SHOWN = 8  # pictures that are drawn
HELD_OUT = 50  # that are scored
SURE_POINT = 0.35  # score from which a keypoint is drawn: a circle has none


class FasterRCNNConfig(DemoConfig):
    """Faster R-CNN: boxes without masks."""

    NAME = "faster_rcnn"
    USE_MASK = False


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
    POST_NMS_ROIS_TRAINING = POST_NMS_ROIS_INFERENCE = 100
    LOSS_WEIGHTS = {"rpn_class_loss": 0.0, "rpn_bbox_loss": 0.0}  # noqa: RUF012


class RCNNConfig(DemoConfig):
    """R-CNN: boxes that are given, each a small picture of its own."""

    NAME = "rcnn"
    ARCHITECTURE = "rcnn"
    USE_RPN_ROIS = False
    USE_MASK = False
    WARP_SIZE = 32
    WARP_CONTEXT = 4
    POST_NMS_ROIS_TRAINING = POST_NMS_ROIS_INFERENCE = 100


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


class SemanticConfig(PanopticConfig):
    NAME = "semantic"
    ARCHITECTURE = "semantic_fpn"


class MaXDeepLabConfig(PRESETS["deeplab2/max_deeplab_l_os16_res1025_100k"]):
    """An eighth of MaX-DeepLab-L in width, with few blocks, for shapes over grounds.

    Of the large one, as its semantic head takes the features of stride 4 that the masks' decoder
    goes on from: what tells kinds apart is learnt there first, so this loss weighs most.
    """

    NAME = "max_deeplab"
    NUM_CLASSES = 6
    NUM_STUFF_CLASSES = 2
    IMAGE_MAX_DIM = 97
    IMAGES_PER_GPU = 4
    MAX_GT_INSTANCES = 8
    MASK_SLOTS = 10
    MAX_DEEPLAB_WIDTH = 0.125
    MAX_DEEPLAB_BLOCKS = (1, 2, 1, 1)
    MAX_DEEPLAB_GAMMAS = (1.0, 2.0)
    DROP_PATH = 0.0
    NORM = "group"
    PANOPTIC_THING_AREA = 16
    PANOPTIC_STUFF_AREA = 64
    OPTIMIZER = "adamw"
    LEARNING_RATE = 0.003
    LOSS_WEIGHTS = {  # noqa: RUF012
        **PRESETS["deeplab2/max_deeplab_l_os16_res1025_100k"].LOSS_WEIGHTS,
        "pq_class_loss": 6.0,
        "pq_mask_loss": 6.0,
        "mask_id_loss": 1.0,
        "semantic_loss": 4.0,
    }


def draw_pairs(model, dataset, image_ids, score=0.5, **options):
    """Draws the truth beside the confident detections, as the member has them: boxes, masks,
    confident keypoints, or a map.

    Args:
        model: a `DetectionModel`.
        dataset: a prepared `Dataset`.
        image_ids: of the images that are drawn.
        score: float, the least of a detection.
        options: of `mrcnn.visualize.draw_comparison`: `columns`, `tile`, `save_path`.

    Returns:
        [H, W, 3] uint8.
    """
    images = [dataset.load_image(image_id) for image_id in image_ids]
    found = detect_some(model, dataset, image_ids, images)
    found = [each.filter(each["scores"] >= score) for each in found]
    for each in found:
        if "keypoints" in each:
            points = each["keypoints"]
            each["keypoints"] = np.where(points[..., 2:] >= SURE_POINT, points, 0)
    truths = [
        truth_of(model, dataset, image_id, image)
        for image_id, image in zip(image_ids, images, strict=True)
    ]
    if not model.settings.mask_head.enabled:
        truths = [{k: v for k, v in truth.items() if k != "masks"} for truth in truths]
    skeleton = skeleton_of(dataset)
    return draw_comparison(images, truths, found, dataset.class_names, skeleton=skeleton, **options)


@dataclasses.dataclass(frozen=True)
class Member:
    """What is trained, on which shapes, and the score that it is expected to reach.

    Attributes:
        config: class of a `Config`.
        dataset: class of a data set with `load_shapes`.
        score: (kind, name) in what `evaluate` returns.
        expected: float, what it should reach.
        steps: int, training steps of 4 pictures that it takes for that.
        decays: bool, whether the learning rate warms up and falls to 0 meanwhile, or stays.
    """

    config: type
    dataset: type
    score: tuple
    expected: float
    steps: int = STEPS
    decays: bool = True

    def pictures(self, count, seed):
        """A prepared data set of so many pictures of the config's size."""
        dataset = self.dataset()
        dataset.load_shapes(count, *self.config().IMAGE_SHAPE[:2], seed=seed)
        dataset.prepare()
        return dataset


MEMBERS = {
    "mask_rcnn": Member(DemoConfig, ShapesDataset, ("segm", "AP50"), 0.85),
    "faster_rcnn": Member(FasterRCNNConfig, ShapesDataset, ("bbox", "AP50"), 0.85),
    "cascade": Member(CascadeConfig, ShapesDataset, ("segm", "AP50"), 0.85),
    "c4": Member(C4Config, ShapesDataset, ("segm", "AP50"), 0.85),
    "dc5": Member(DilatedConfig, ShapesDataset, ("segm", "AP50"), 0.85),
    "fast_rcnn": Member(FastRCNNConfig, ProposedShapes, ("bbox", "AP50"), 0.85),
    "rcnn": Member(RCNNConfig, ProposedShapes, ("bbox", "AP50"), 0.85),
    "retinanet": Member(RetinaNetConfig, ShapesDataset, ("bbox", "AP50"), 0.85),
    "keypoints": Member(KeypointsConfig, CornersDataset, ("keypoints", "AP"), 0.8, 2400),
    "panoptic": Member(PanopticConfig, GroundsDataset, ("panoptic", "PQ"), 0.7),
    # Kinds come late and at once, which a rate that falls meanwhile would miss.
    "max_deeplab": Member(MaXDeepLabConfig, GroundsDataset, ("panoptic", "PQ"), 0.6, 2400, False),
    "semantic": Member(SemanticConfig, GroundsDataset, ("semantic", "mIoU"), 0.8),
}


def run_member(name, output, steps=None, seed=0):
    """Trains a member, scores it on 50 pictures that it has not seen, and draws some.

    Args:
        name: str, of `MEMBERS`.
        output: str, folder that gets `detections.png`, logs and a checkpoint each `EPOCH` steps.
        steps: int, training steps of 4 pictures; None: as many as the member says.
        seed: int, of the weights and the pictures.

    Returns:
        dict of scores, as `mrcnn.evaluate.evaluate`.
    """
    member, start = MEMBERS[name], time.time()
    model, held_out = train_member(name, output, steps, seed)
    seconds = time.time() - start
    scores = evaluate(model, held_out, max_detections=model.config.DETECTION_MAX_INSTANCES)
    print(f"\nScores on {len(held_out.image_ids)} pictures it has not seen, in percent:")
    print(format_table(scores))
    kind, measure = member.score
    reached, expected = 100 * scores[kind][measure], 100 * member.expected
    print(f"{kind} {measure} {reached:.1f}, of {expected:.0f}; trained for {seconds:.0f} seconds")
    picture = os.path.join(output, "detections.png")
    draw_pairs(model, held_out, held_out.image_ids[:SHOWN], save_path=picture)
    print(f"Ground truth beside detections: {picture}")
    return scores


def train_member(name, model_dir, steps=None, seed=0):
    """Trains a new model of a member on 2000 pictures.

    Args:
        name, steps, seed: see `run_member`.
        model_dir: str, folder of logs and checkpoints.

    Returns:
        The model, and a data set of 50 pictures that it has not seen.
    """
    keras.utils.set_random_seed(seed)
    member = MEMBERS[name]
    steps = steps or member.steps
    config, epochs = member.config(), max(1, round(steps / EPOCH))
    config.STEPS_PER_EPOCH = max(1, steps // epochs)
    train_set, held_out = (
        member.pictures(count, 2 * seed + i) for i, count in enumerate((2000, HELD_OUT))
    )
    model = create("training", config, model_dir)
    rate = config.LEARNING_RATE
    if member.decays:
        rate = warm_cosine(rate, config.STEPS_PER_EPOCH * epochs)
    model.train(train_set, None, rate, epochs, layers="all", custom_callbacks=[Progress()])
    return model, held_out


def trained_member(name, model_dir, steps=None):
    """Returns a trained model of a member, for the notebook, and pictures that it has not seen.

    Args:
        name: see `run_member`.
        model_dir: str; the newest checkpoint below it is loaded. Where there is none,
            `train_member` writes one: minutes on two CPU cores.
        steps: int, of that training; None: as many as the member says.

    Returns:
        The model, and a data set of 50 pictures.
    """
    member = MEMBERS[name]
    model = create("inference", member.config(), model_dir)
    try:
        path = model.find_last()
    except FileNotFoundError:
        train_member(name, model_dir, steps)
        path = model.find_last()
    model.load_weights(path)
    return model, member.pictures(HELD_OUT, 1)
