"""COCO's format: `CocoDataset` reads it, `write_coco` writes it."""

from mrcnn.data.formats.coco.dataset import CocoDataset
from mrcnn.data.formats.coco.writing import write_coco

__all__ = ["CocoDataset", "write_coco"]
