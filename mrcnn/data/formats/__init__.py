"""Annotation formats: each is a `Dataset` that reads it, and for some a function that writes it."""

from mrcnn.data.formats.coco import CocoDataset, write_coco
from mrcnn.data.formats.coco_panoptic import CocoPanopticDataset, write_coco_panoptic
from mrcnn.data.formats.cvat import CvatDataset
from mrcnn.data.formats.label_images import LabelImageDataset, write_labels
from mrcnn.data.formats.label_studio import LabelStudioDataset
from mrcnn.data.formats.labelme import LabelMeDataset, write_labelme
from mrcnn.data.formats.mask_folders import MaskFolderDataset, write_masks
from mrcnn.data.formats.shards import ShardsDataset, write_shards
from mrcnn.data.formats.via import ViaDataset, write_via
from mrcnn.data.formats.voc import VocDataset
from mrcnn.data.formats.yolo import YoloDataset, write_yolo

# What `mrcnn.data.load` recognises, and what `mrcnn.data.convert` writes.
_KINDS = (
    CocoDataset,
    CocoPanopticDataset,
    ViaDataset,
    LabelMeDataset,
    VocDataset,
    YoloDataset,
    CvatDataset,
    LabelStudioDataset,
    MaskFolderDataset,
    LabelImageDataset,
    ShardsDataset,
)
FORMATS = {kind.source: kind for kind in _KINDS}
WRITERS = {
    "coco": write_coco,
    "coco_panoptic": write_coco_panoptic,
    "labelme": write_labelme,
    "via": write_via,
    "yolo": write_yolo,
    "masks": write_masks,
    "labels": write_labels,
    "shards": write_shards,
}
HOLDS_STUFF = ("coco_panoptic",)  # of the writers
WITH_KEYPOINTS = ("coco", "shards")

__all__ = [
    "FORMATS",
    "HOLDS_STUFF",
    "WITH_KEYPOINTS",
    "WRITERS",
    "CocoDataset",
    "CocoPanopticDataset",
    "CvatDataset",
    "LabelImageDataset",
    "LabelMeDataset",
    "LabelStudioDataset",
    "MaskFolderDataset",
    "ShardsDataset",
    "ViaDataset",
    "VocDataset",
    "YoloDataset",
]
