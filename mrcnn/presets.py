"""The numerics families as `Config` subclasses: numbers only.

The same architecture exists in several numerically different families, and the weights of one are
silently worth several AP less in another. `Config` itself is matterport's; each class here sets
every key in which its family differs, after the sources of torchvision 0.28 and detectron2's model
zoo. Subclass a preset as you subclass `Config`. How long, how fast and how carefully to train is
left to you (LEARNING_RATE, GRADIENT_CLIP_NORM, TRAIN_BN), and so is USE_MINI_MASK: both libraries
take mask targets from whole masks, which need far more memory.

Some differences need no key, because `mrcnn.weights` rewrites the weights: the order of box deltas
and of classes, BGR input, one objectness logit instead of two.
"""

import numpy as np

from mrcnn.config import Config

_IMAGENET_MEAN = np.array([123.675, 116.28, 103.53])  # RGB
_IMAGENET_STD = np.array([58.395, 57.12, 57.375])


class _FeaturePyramidRCNN(Config):
    """What torchvision and detectron2 share."""

    CONV_BIAS_BEFORE_NORM = False
    BATCH_NORM_EPSILON = 1e-5
    RESNET_SYMMETRIC_PADDING = True

    IMAGE_RESIZE_MODE = "shortest_edge"
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1333
    MEAN_PIXEL = _IMAGENET_MEAN
    BOX_OFFSET = 0

    RPN_CHANNELS = 256
    RPN_INIT_STD = 0.01
    RPN_ANCHOR_RATIOS = [2, 1, 0.5]  # noqa: RUF012  (width / height)
    RPN_BBOX_STD_DEV = np.array([1.0, 1.0, 1.0, 1.0])
    RPN_NMS_PER_LEVEL = True
    RPN_CLIP_TO_WINDOW = True
    PRE_NMS_LIMIT = 1000
    PRE_NMS_LIMIT_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000

    ROI_LEVEL_ROUNDING = "floor"
    ROI_ALIGN_MODE = "roi_align"
    BOX_HEAD_FC_NORM = False
    MASK_HEAD_NORM = False

    DETECTION_PER_CLASS = True
    DETECTION_MIN_CONFIDENCE = 0.05
    DETECTION_NMS_THRESHOLD = 0.5

    TRAIN_ROIS_PER_IMAGE = 512
    ROI_POSITIVE_RATIO = 0.25
    ROI_FILL_NEGATIVES = True
    ROI_ADD_GT = True
    BBOX_LOSS_NORMALIZER = "sampled"
    WEIGHT_DECAY_BY_SIZE = False


class TorchvisionMaskRCNNResNet50FPN(_FeaturePyramidRCNN):
    """torchvision's `maskrcnn_resnet50_fpn`: 91 COCO ids."""

    PRESET = "torchvision/maskrcnn_resnet50_fpn"
    NAME = "coco"
    NUM_CLASSES = 91
    BACKBONE = "resnet50"
    RESNET_STRIDE_IN_1X1 = False
    STD_PIXEL = _IMAGENET_STD
    IMAGE_INTERPOLATION = "edge"

    RPN_ANCHOR_ROUNDING = True
    RPN_ANCHOR_MEASURED_STRIDES = True
    POST_NMS_ROIS_TRAINING = 2000
    ROI_ALIGN_SAMPLING_RATIO = 2
    ROI_ALIGN_ALIGNED = False
    MASK_PASTE = "padded"

    SMOOTH_L1_BETA = 1 / 9
    MASK_TARGET = "roi_align"


class TorchvisionMaskRCNNResNet50FPNV2(TorchvisionMaskRCNNResNet50FPN):
    """torchvision's `maskrcnn_resnet50_fpn_v2`: BatchNorm in pyramid and heads."""

    PRESET = "torchvision/maskrcnn_resnet50_fpn_v2"
    FPN_NORM = True
    RPN_CONV_LAYERS = 2
    BOX_HEAD_CONV_LAYERS = 4
    BOX_HEAD_FC_LAYERS = 1
    MASK_HEAD_NORM = True


class TorchvisionKeypointRCNNResNet50FPN(TorchvisionMaskRCNNResNet50FPN):
    """torchvision's `keypointrcnn_resnet50_fpn`: persons with COCO's 17 keypoints."""

    PRESET = "torchvision/keypointrcnn_resnet50_fpn"
    NUM_CLASSES = 2
    USE_MASK = False
    USE_KEYPOINTS = True
    KEYPOINT_SCORES = "logits"


class Detectron2MaskRCNNR50FPN3x(_FeaturePyramidRCNN):
    """detectron2's `mask_rcnn_R_50_FPN_3x`: 80 contiguous COCO classes."""

    PRESET = "detectron2/mask_rcnn_R_50_FPN_3x"
    NAME = "coco"
    NUM_CLASSES = 81
    BACKBONE = "resnet50"
    RESNET_STRIDE_IN_1X1 = True
    IMAGE_INTERPOLATION = "antialias"

    POST_NMS_ROIS_TRAINING = 1000
    ROI_ALIGN_SAMPLING_RATIO = 0  # adaptive
    ROI_ALIGN_ALIGNED = True
    MASK_PASTE = "sampled"

    SMOOTH_L1_BETA = 0.0
    MASK_TARGET = "roi_align_binary"


class Detectron2MaskRCNNR101FPN3x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `mask_rcnn_R_101_FPN_3x`."""

    PRESET = "detectron2/mask_rcnn_R_101_FPN_3x"
    BACKBONE = "resnet101"


class Detectron2MaskRCNNX101FPN3x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `mask_rcnn_X_101_32x8d_FPN_3x`: a ResNeXt, its input divided by the std."""

    PRESET = "detectron2/mask_rcnn_X_101_32x8d_FPN_3x"
    BACKBONE = "resnext101_32x8d"
    RESNET_STRIDE_IN_1X1 = False
    STD_PIXEL = np.array([58.395, 57.12, 57.375])


class Detectron2CascadeMaskRCNNR50FPN3x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `cascade_mask_rcnn_R_50_FPN_3x`: three box heads in turn."""

    PRESET = "detectron2/cascade_mask_rcnn_R_50_FPN_3x"
    ARCHITECTURE = "cascade_rcnn"
    BOX_CLASS_AGNOSTIC = True
    POST_NMS_ROIS_TRAINING = 2000


class Detectron2MaskRCNNR50C43x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `mask_rcnn_R_50_C4_3x`: no pyramid, stage 5 as the head."""

    PRESET = "detectron2/mask_rcnn_R_50_C4_3x"
    ARCHITECTURE = "c4"
    BACKBONE_STRIDES = [16]  # noqa: RUF012
    RPN_ANCHOR_SCALES = ((32, 64, 128, 256, 512),)

    RPN_CHANNELS = 1024
    PRE_NMS_LIMIT = 6000
    PRE_NMS_LIMIT_TRAINING = 12000
    POST_NMS_ROIS_TRAINING = 2000

    POOL_SIZE = 14
    FPN_CLASSIF_FC_LAYERS_SIZE = 2048  # of stage 5
    MASK_POOL_SIZE = 7
    MASK_SHAPE = [14, 14]  # noqa: RUF012
    MASK_HEAD_CONV_LAYERS = 0


class Detectron2MaskRCNNR50DC53x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `mask_rcnn_R_50_DC5_3x`: no pyramid, a dilated stage 5 as the one map."""

    PRESET = "detectron2/mask_rcnn_R_50_DC5_3x"
    ARCHITECTURE = "dc5"
    BACKBONE_STRIDES = [16]  # noqa: RUF012
    RPN_ANCHOR_SCALES = ((32, 64, 128, 256, 512),)

    RPN_CHANNELS = 2048
    PRE_NMS_LIMIT = 6000
    PRE_NMS_LIMIT_TRAINING = 12000
    POST_NMS_ROIS_TRAINING = 2000


class _RetinaNet(_FeaturePyramidRCNN):
    """What the RetinaNets of both libraries share: boxes without masks, from P3 to P7."""

    ARCHITECTURE = "retinanet"
    BACKBONE_STRIDES = [8, 16, 32, 64, 128]  # noqa: RUF012
    USE_MASK = False
    BBOX_STD_DEV = np.array([1.0, 1.0, 1.0, 1.0])
    SMOOTH_L1_BETA = 0.0
    LOSS_WEIGHTS = {  # noqa: RUF012
        "retinanet_class_loss": 1.0,
        "retinanet_bbox_loss": 1.0,
    }


class TorchvisionRetinaNetResNet50FPN(_RetinaNet, TorchvisionMaskRCNNResNet50FPN):
    """torchvision's `retinanet_resnet50_fpn`: 91 COCO ids."""

    PRESET = "torchvision/retinanet_resnet50_fpn"
    FPN_P6_FROM = "P5"
    RPN_ANCHOR_SCALES = (  # three an octave, in whole pixels
        (32, 40, 50),
        (64, 80, 101),
        (128, 161, 203),
        (256, 322, 406),
        (512, 645, 812),
    )
    DETECTION_MAX_INSTANCES = 300


class TorchvisionRetinaNetResNet50FPNV2(TorchvisionRetinaNetResNet50FPN):
    """torchvision's `retinanet_resnet50_fpn_v2`: GroupNorm in the heads, boxes by their GIoU."""

    PRESET = "torchvision/retinanet_resnet50_fpn_v2"
    FPN_P6_FROM = "C5"
    RETINANET_HEAD_NORM = True
    BBOX_LOSS = "giou"


class Detectron2RetinaNetR50FPN3x(_RetinaNet, Detectron2MaskRCNNR50FPN3x):
    """detectron2's `retinanet_R_50_FPN_3x`: 80 contiguous COCO classes."""

    PRESET = "detectron2/retinanet_R_50_FPN_3x"
    RPN_ANCHOR_SCALES = tuple(  # three an octave
        tuple(scale * 2 ** (third / 3) for third in range(3)) for scale in (32, 64, 128, 256, 512)
    )
    DETECTION_CLIP_FIRST = False


class Detectron2KeypointRCNNR50FPN3x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `keypoint_rcnn_R_50_FPN_3x`: persons with COCO's 17 keypoints."""

    PRESET = "detectron2/keypoint_rcnn_R_50_FPN_3x"
    NUM_CLASSES = 2
    USE_MASK = False
    USE_KEYPOINTS = True
    POST_NMS_ROIS_TRAINING = 1500
    SMOOTH_L1_BETA = 0.5
    RPN_SMOOTH_L1_BETA = 0.0


class Detectron2PanopticFPNR503x(Detectron2MaskRCNNR50FPN3x):
    """detectron2's `panoptic_fpn_R_50_3x`: 80 things and 53 kinds of stuff of COCO."""

    PRESET = "detectron2/panoptic_fpn_R_50_3x"
    ARCHITECTURE = "panoptic_fpn"
    NUM_CLASSES = 134
    NUM_STUFF_CLASSES = 53
    LOSS_WEIGHTS = {**Config.LOSS_WEIGHTS, "semantic_loss": 0.5}  # noqa: RUF012


class Deeplab2MaXDeepLabS(Config):
    """deeplab2's `max_deeplab_s_os16_res641_100k`: 80 things and 53 kinds of stuff of COCO."""

    PRESET = "deeplab2/max_deeplab_s_os16_res641_100k"
    NAME = "coco"
    ARCHITECTURE = "max_deeplab"
    BACKBONE = "max_deeplab_s"
    NUM_CLASSES = 134
    NUM_STUFF_CLASSES = 53
    CONV_BIAS_BEFORE_NORM = False

    IMAGE_RESIZE_MODE = "longest_edge"
    IMAGE_MAX_DIM = 641
    IMAGE_INTERPOLATION = "corners"
    MEAN_PIXEL = np.array([127.5, 127.5, 127.5])
    STD_PIXEL = 127.5
    USE_MINI_MASK = False

    PANOPTIC_MIN_CONFIDENCE = 0.7
    PANOPTIC_STUFF_AREA = 1600
    # `loss_options` of the textproto in deeplab2's `configs/coco/max_deeplab`.
    LOSS_WEIGHTS = {  # noqa: RUF012
        "pq_class_loss": 3.0,
        "pq_mask_loss": 3.0,
        "mask_id_loss": 0.3,
        "instance_loss": 1.0,
        "semantic_loss": 1.0,
    }


class Deeplab2MaXDeepLabS1025(Deeplab2MaXDeepLabS):
    """deeplab2's `max_deeplab_s_os16_res1025_100k`."""

    PRESET = "deeplab2/max_deeplab_s_os16_res1025_100k"
    IMAGE_MAX_DIM = 1025
    PANOPTIC_THING_AREA = 256
    PANOPTIC_STUFF_AREA = 4096


class Deeplab2MaXDeepLabL1025(Deeplab2MaXDeepLabS1025):
    """deeplab2's `max_deeplab_l_os16_res1025_100k`."""

    PRESET = "deeplab2/max_deeplab_l_os16_res1025_100k"
    BACKBONE = "max_deeplab_l"


class MatterportMaskRCNN(Config):
    """matterport's `mask_rcnn_coco.h5`: ResNet-101, 80 contiguous COCO classes."""

    NAME = "coco"
    NUM_CLASSES = 81


class MatterportResNet101(MatterportMaskRCNN):
    """matterport's network as the reference `matterport_resnet101` was computed with it."""

    PRESET = "matterport/resnet101"
    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 512
    DETECTION_MIN_CONFIDENCE = 0.3


class MatterportResNet50(MatterportResNet101):
    """The same of `matterport_resnet50`."""

    PRESET = "matterport/resnet50"
    BACKBONE = "resnet50"


PRESETS = {
    preset.PRESET: preset
    for preset in (
        MatterportMaskRCNN,
        MatterportResNet101,
        MatterportResNet50,
        TorchvisionMaskRCNNResNet50FPN,
        TorchvisionMaskRCNNResNet50FPNV2,
        TorchvisionKeypointRCNNResNet50FPN,
        Detectron2MaskRCNNR50FPN3x,
        Detectron2MaskRCNNR101FPN3x,
        Detectron2MaskRCNNX101FPN3x,
        Detectron2CascadeMaskRCNNR50FPN3x,
        Detectron2MaskRCNNR50C43x,
        Detectron2MaskRCNNR50DC53x,
        TorchvisionRetinaNetResNet50FPN,
        TorchvisionRetinaNetResNet50FPNV2,
        Detectron2RetinaNetR50FPN3x,
        Detectron2KeypointRCNNR50FPN3x,
        Detectron2PanopticFPNR503x,
        Deeplab2MaXDeepLabS,
        Deeplab2MaXDeepLabS1025,
        Deeplab2MaXDeepLabL1025,
    )
}
