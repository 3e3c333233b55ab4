"""Label images: `LabelImageDataset` reads them, `write_labels` writes them."""

from mrcnn.data.formats.label_images.dataset import LabelImageDataset, write_labels

__all__ = ["LabelImageDataset", "write_labels"]
