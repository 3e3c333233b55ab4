"""A model of 30 thousand weights on 64 x 64 pictures of shapes, for tests of the whole."""

from keras import layers

from mrcnn.data.corners import CornersDataset
from mrcnn.data.shapes import ShapesConfig, ShapesDataset
from mrcnn.network.norm import BatchNorm
from mrcnn.presets import PRESETS


def tiny_backbone(input_image, stage5=True, train_bn=None):
    """One convolution a stage."""
    x, features = input_image, []
    for stage in (1, 2, 3, 4, 5):
        x = layers.Conv2D(8, 3, 2, padding="same", name=f"res{stage}a_conv")(x)
        x = layers.ReLU()(BatchNorm(train_bn, name=f"bn{stage}a")(x))
        features.append(x)
    return features


# Keys that make a model small.
SIZES = (
    *("BACKBONE", "IMAGES_PER_GPU", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "TOP_DOWN_PYRAMID_SIZE"),
    *("RPN_CHANNELS", "FPN_CLASSIF_FC_LAYERS_SIZE", "MASK_HEAD_CHANNELS", "MAX_GT_INSTANCES"),
    *("TRAIN_ROIS_PER_IMAGE", "POST_NMS_ROIS_TRAINING", "POST_NMS_ROIS_INFERENCE"),
    *("DETECTION_MAX_INSTANCES", "STEPS_PER_EPOCH", "VALIDATION_STEPS"),
)
# Of Mask R-CNN without keypoints.
LOSSES = (
    *("rpn_class_loss", "rpn_bbox_loss"),
    *("mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"),
)


class TinyConfig(ShapesConfig):
    NAME = "tiny"
    BACKBONE = tiny_backbone
    TRAIN_BN = None
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    TOP_DOWN_PYRAMID_SIZE = 8
    RPN_CHANNELS = 8
    FPN_CLASSIF_FC_LAYERS_SIZE = 16
    MASK_HEAD_CHANNELS = 8
    MAX_GT_INSTANCES = 6
    TRAIN_ROIS_PER_IMAGE = 12
    ROI_ADD_GT = True
    POST_NMS_ROIS_TRAINING = 24
    POST_NMS_ROIS_INFERENCE = 16
    DETECTION_MAX_INSTANCES = 8
    DETECTION_MIN_CONFIDENCE = 0.0
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    SEED = 1


def tiny_of(preset):
    """The numerics of a preset in a tiny model."""
    base = PRESETS[preset]
    kept = ("SEED", "RPN_ANCHOR_SCALES", "MEAN_PIXEL", *SIZES)
    values = {key: getattr(TinyConfig, key) for key in kept}
    values |= {"NAME": "tiny", "IMAGE_RESIZE_MODE": "square", "NUM_CLASSES": 4}
    values |= {"TRAIN_BN": False, "DETECTION_MIN_CONFIDENCE": 0.0}
    if len(base.BACKBONE_STRIDES) == 1:
        # Boxes smaller than a place of the map would have equal features, and tie.
        values["RPN_ANCHOR_SCALES"] = ((32, 40, 48, 56, 64),)
    config = type("Tiny", (base,), values)()
    return with_keypoints(config) if config.USE_KEYPOINTS else config


def with_keypoints(config):
    """The config, with a tiny keypoint head for `corners`."""
    config.USE_KEYPOINTS, config.NUM_KEYPOINTS = True, 5
    config.KEYPOINT_POOL_SIZE, config.KEYPOINT_HEAD_LAYERS = 4, 2
    config.KEYPOINT_HEAD_CHANNELS = 8
    return config


def corners(count=4, seed=0, side=64):
    return shapes(count, seed, side, CornersDataset)


def shapes(count=4, seed=0, side=64, dataset_type=ShapesDataset):
    dataset = dataset_type()
    dataset.load_shapes(count, side, side, seed=seed)
    dataset.prepare()
    return dataset
