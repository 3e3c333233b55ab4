"""Several steps as one, and those that have names."""

from mrcnn.augment.geometry import (
    FlipLeftRight,
    LargeScaleJitter,
    ObjectSizeJitter,
    Rotate90,
    ScaleJitter,
)
from mrcnn.augment.microscopy import ElasticTransform, StainJitter
from mrcnn.augment.mixing import CopyPaste
from mrcnn.augment.photometric import ColorJitter, GaussianBlur, GaussianNoise, JPEGCompression
from mrcnn.data.augmentation import as_callable
from mrcnn.data.sample import Step, apply_augmentation


class Compose(Step):
    """Applies augmentations of any kinds one after another.

    Args:
        steps: list of what `augmentation=` takes.

    Example:

    >>> augmentation = Compose([ScaleJitter((0.8, 1.25)), FlipLeftRight(), ColorJitter()])
    """

    def __init__(self, steps):
        self.steps = [step for step in map(as_callable, steps) if step is not None]

    @property
    def keeps_rectangles(self):
        """Whether all steps do."""
        return all(getattr(step, "keeps_rectangles", False) for step in self.steps)

    def split_zoom(self):
        if not self.steps or not isinstance(self.steps[0], Step):
            return None, self
        zoom, rest = self.steps[0].split_zoom()
        rest = [] if rest is None else [rest]
        return (zoom, Compose([*rest, *self.steps[1:]])) if zoom else (None, self)

    def apply(self, sample, rng):
        for step in self.steps:
            sample = apply_augmentation(step, sample, rng)
        return sample


_MICROSCOPY = [
    FlipLeftRight(),
    Rotate90(),
    ElasticTransform(p=0.15),
    ColorJitter(saturation=0),
    GaussianBlur(p=0.1),
    GaussianNoise(p=0.2),
]
# A zoom comes first: see `ScaleJitter`.
COMPOSITIONS = {
    "none": [],
    "flip": [FlipLeftRight()],
    "photo": [
        ScaleJitter((0.5, 1.5)),
        FlipLeftRight(),
        ColorJitter(),
        GaussianBlur(p=0.1),
        JPEGCompression(p=0.1),
    ],
    "lsj": [LargeScaleJitter(), FlipLeftRight()],
    "copypaste": [LargeScaleJitter(), FlipLeftRight(), CopyPaste()],
    "microscopy": [ScaleJitter((0.67, 1.5), p=0.3), *_MICROSCOPY],
    "cells": [ObjectSizeJitter(), *_MICROSCOPY],
    "histology": [
        ScaleJitter((0.67, 1.5), p=0.3),
        FlipLeftRight(),
        Rotate90(),
        ElasticTransform(p=0.15),
        StainJitter(p=0.7),
        GaussianBlur(p=0.1),
    ],
}


def named(name):
    """The augmentation of a name: what `mrcnn train --augment NAME` takes.

    Args:
        name: a key of `COMPOSITIONS`.

    Returns:
        A `Compose`, or None for "none".

    Raises:
        ValueError: there is no such name.
    """
    if name not in COMPOSITIONS:
        names = ", ".join(COMPOSITIONS)
        raise ValueError(f"expected an augmentation of {names}, received {name!r}")
    return Compose(COMPOSITIONS[name]) if COMPOSITIONS[name] else None
