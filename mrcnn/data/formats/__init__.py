"""Annotation formats: each is a `Dataset`."""

from mrcnn.data.formats.coco import CocoDataset

__all__ = ["CocoDataset"]
