"""Annotation formats: each is a `Dataset` that reads it, and for some a function that writes it."""

from mrcnn.data.formats.coco import CocoDataset
from mrcnn.data.formats.coco_writing import write_coco
from mrcnn.data.formats.cvat import CvatDataset
from mrcnn.data.formats.label_studio import LabelStudioDataset
from mrcnn.data.formats.labelme import LabelMeDataset, write_labelme
from mrcnn.data.formats.via import ViaDataset, write_via

# What `mrcnn.data.load` recognises, and what `mrcnn.data.convert` writes.
FORMATS = {
    kind.source: kind
    for kind in (
        CocoDataset,
        CvatDataset,
        LabelMeDataset,
        LabelStudioDataset,
        ViaDataset,
    )
}
WRITERS = {
    "coco": write_coco,
    "labelme": write_labelme,
    "via": write_via,
}

__all__ = [
    "FORMATS",
    "WRITERS",
    "CocoDataset",
    "CvatDataset",
    "LabelMeDataset",
    "LabelStudioDataset",
    "ViaDataset",
]
