"""Pascal VOC's format: `VocDataset` reads it."""

from mrcnn.data.formats.voc.dataset import VocDataset

__all__ = ["VocDataset"]
