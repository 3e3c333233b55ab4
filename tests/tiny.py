"""A model of 30 thousand weights on 64 x 64 pictures of shapes, for tests of the whole."""

from keras import layers

from mrcnn.backbone import BatchNorm
from mrcnn.shapes import ShapesConfig, ShapesDataset


def tiny_backbone(input_image, stage5=True, train_bn=None):
    """One convolution a stage."""
    x, features = input_image, []
    for stage in (1, 2, 3, 4, 5):
        x = layers.Conv2D(8, 3, 2, padding="same", name=f"res{stage}a_conv")(x)
        x = layers.ReLU()(BatchNorm(train_bn, name=f"bn{stage}a")(x))
        features.append(x)
    return features


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


def shapes(count=4, seed=0, side=64):
    dataset = ShapesDataset()
    dataset.load_shapes(count, side, side, seed=seed)
    dataset.prepare()
    return dataset
