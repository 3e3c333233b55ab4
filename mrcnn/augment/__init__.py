"""Augmentation: built-in steps, adapters for other libraries, and a preview.

`augmentation=` of `MaskRCNN.train`, `DataGenerator` and `load_image_gt` takes any of

- a callable `(image, masks) -> (image, masks)`, with an argument `rng` or without;
- the steps of this module, which need no extra package;
- an imgaug augmenter (`pip install 'mrcnn[imgaug]'`);
- an albumentations transform or composition (`pip install 'mrcnn[albumentations]'`);
- a Keras image preprocessing layer, or a `Pipeline` or `Sequential` of them.

Images are `[H, W, C]`, uint8 or float32 on the scale of 0 to 255, of any number of channels; masks
are bool `[H, W, N]`. Both keep their shapes, and boxes are computed from the masks afterwards.
Random numbers come from `rng`, a `np.random.Generator`: with `config.SEED` a run repeats itself,
whatever the number of workers. Where a border is filled by reflecting the image (the default of
Keras layers), what is reflected belongs to its object: its box grows; prefer a constant fill.
"""

from mrcnn.augment.steps import (
    ColorJitter,
    Compose,
    FlipLeftRight,
    FlipUpDown,
    Rotate90,
    ScaleJitter,
)
from mrcnn.data.augmentation import as_callable, load_imgaug, takes_rng

__all__ = [
    "ColorJitter",
    "Compose",
    "FlipLeftRight",
    "FlipUpDown",
    "Rotate90",
    "ScaleJitter",
    "as_callable",
    "load_imgaug",
    "preview",
    "takes_rng",
]


def __getattr__(name):
    """Imports `preview` when it is first asked for: training does not need Matplotlib."""
    if name == "preview":
        from mrcnn.visualize.augmentations import preview

        return preview
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
