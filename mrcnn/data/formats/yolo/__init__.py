"""YOLO's format: `YoloDataset` reads it, `write_yolo` writes it."""

from mrcnn.data.formats.yolo.dataset import YoloDataset, write_yolo

__all__ = ["YoloDataset", "write_yolo"]
