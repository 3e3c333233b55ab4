"""CVAT's XML: `CvatDataset` reads it."""

from mrcnn.data.formats.cvat.dataset import CvatDataset

__all__ = ["CvatDataset"]
