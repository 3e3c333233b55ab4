"""Batches for networks that learn the class of each pixel.

Shape legend: B images of a batch; H, W size in pixels.
"""

import dataclasses

import numpy as np

from mrcnn.data.generator import DataGenerator
from mrcnn.data.image_loading import image_name
from mrcnn.data.panoptic import class_labels, load_labels, load_segments, segment_map
from mrcnn.image.label_maps import VOID, pad_labels
from mrcnn.settings import Settings


class PanopticGenerator(DataGenerator):
    """As `DataGenerator`, with `input_gt_labels` int32 `[B, H, W]`, the class of each pixel.

    An image without instances is no empty one here: it always takes part.

    Args:
        dataset: prepared `Dataset` that has `load_panoptic`, and as many stuff classes as the
            config.
        config: `Config`, or the `Settings` made from one.
        *args, **kwargs: as of `DataGenerator`.

    Raises:
        ValueError: the data set and the config count the stuff differently.
    """

    def __init__(self, dataset, config, *args, **kwargs):
        settings = Settings.from_config(config)
        everything = dataclasses.replace(settings.ground_truth, include_empty=True)
        settings = dataclasses.replace(settings, ground_truth=everything)
        super().__init__(dataset, settings, *args, **kwargs)
        count = settings.semantic_head.stuff_classes
        if dataset.num_stuff_classes != count:
            raise ValueError(
                f"Expected config.NUM_STUFF_CLASSES = {count} classes of stuff, received a data "
                f"set of {dataset.num_stuff_classes}: {dataset.class_names}. Set "
                f"NUM_STUFF_CLASSES = {dataset.num_stuff_classes}."
            )

    def _load_labels(self, image_id, annotated):
        found = load_segments(self.dataset, image_id, annotated[0].shape)
        if found is None:
            raise ValueError(
                f"{image_name(self.dataset, image_id)}: expected segments of things and stuff, "
                "and load_panoptic() returned None. Override it, or load a panoptic format: of "
                "COCO's folder format='coco_panoptic' (--format coco_panoptic)"
            )
        return class_labels(*found)

    def _collate(self, samples, first=0):
        inputs = super()._collate(samples, first)
        sides = inputs["input_image"].shape[1:3]
        labels = np.zeros((len(samples), *sides), np.int32)
        for i, sample in enumerate(samples):
            labels[i] = pad_labels(sample["labels"], sides)
        return {**inputs, "input_gt_labels": labels}


class LabelGenerator(PanopticGenerator):
    """As `PanopticGenerator`, without the instances: images, metas and the class of each pixel.

    Of a data set without `load_panoptic` that is the class of the instance there, and background
    between them.
    """

    def _load_labels(self, image_id, annotated):
        return load_labels(self.dataset, image_id, annotated[0].shape)

    def _collate(self, samples, first=0):
        names = ("input_image", "input_image_meta", "input_gt_labels")
        inputs = super()._collate(samples, first)
        return {name: inputs[name] for name in names}


class SegmentGenerator(LabelGenerator):
    """As `LabelGenerator`, with the segments of MaX-DeepLab.

    Beside those it yields `input_gt_segments` int32 `[B, H, W]`, which segment each pixel belongs
    to, and `input_gt_segment_classes` int32 `[B, MASK_SLOTS]`, the class of each, 0 where there is
    none: see `mrcnn.data.panoptic.segment_map`. Pixels of no segment have no class either.
    """

    def _collate(self, samples, first=0):
        inputs = super()._collate(samples, first)
        settings, labels = self.settings.mask_transformer, inputs["input_gt_labels"]
        segments = np.full_like(labels, VOID)
        classes = np.zeros((len(samples), settings.slots), np.int32)
        for i, sample in enumerate(samples):
            height, width = sample["labels"].shape
            here = settings.thing_classes, settings.slots
            annotated = sample["masks"], sample["class_ids"], sample["labels"]
            segments[i, :height, :width], classes[i] = segment_map(*annotated, *here)
        return {
            **inputs,
            "input_gt_labels": np.where(segments == VOID, VOID, labels),
            "input_gt_segments": segments,
            "input_gt_segment_classes": classes,
        }
