"""Label Studio's JSON: `LabelStudioDataset` reads it."""

from mrcnn.data.formats.label_studio.dataset import LabelStudioDataset

__all__ = ["LabelStudioDataset"]
