"""COCO's panoptic format: `CocoPanopticDataset` reads it, `write_coco_panoptic` writes it."""

from mrcnn.data.formats.coco_panoptic.dataset import CocoPanopticDataset
from mrcnn.data.formats.coco_panoptic.writing import write_coco_panoptic

__all__ = ["CocoPanopticDataset", "write_coco_panoptic"]
