"""Augmentation: built-in steps, adapters for other libraries, and a preview.

`augmentation=` of `MaskRCNN.train`, `DataGenerator` and `load_image_gt` takes any of

- a callable `(image, masks) -> (image, masks)`, with an argument `rng` or without;
- the steps of this module, which need no extra package, several as one in `Compose`, or by the name
  of a composition: `named("photo")`;
- an imgaug augmenter (`pip install 'mrcnn[imgaug]'`);
- an albumentations transform or composition (`pip install 'mrcnn[albumentations]'`);
- a Keras image preprocessing layer, or a `Pipeline` or `Sequential` of them.

Images are `[H, W, C]`, uint8 or float32, of any number of channels and on any scale; masks
are bool `[H, W, N]`. Both keep their shapes, and boxes are computed from the masks afterwards. A
step of one's own that must know more, the window or the other pictures, is a subclass of `Step`.
Random numbers come from `rng`, a `np.random.Generator`: with `config.SEED` a run repeats itself,
whatever the number of workers. Where a border is filled by reflecting the image (the default of
Keras layers), what is reflected belongs to its object: its box grows; prefer a constant fill.
"""

from mrcnn.augment.compositions import COMPOSITIONS, Compose, named
from mrcnn.augment.geometry import (
    FlipLeftRight,
    FlipUpDown,
    LargeScaleJitter,
    ObjectSizeJitter,
    Rotate90,
    ScaleJitter,
)
from mrcnn.augment.microscopy import ElasticTransform, StainJitter
from mrcnn.augment.mixing import CopyPaste
from mrcnn.augment.photometric import (
    ColorJitter,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Photometric,
)
from mrcnn.data.augmentation import as_callable, load_imgaug
from mrcnn.data.sample import Sample, Step, takes_rng

__all__ = [
    "COMPOSITIONS",
    "ColorJitter",
    "Compose",
    "CopyPaste",
    "ElasticTransform",
    "FlipLeftRight",
    "FlipUpDown",
    "GaussianBlur",
    "GaussianNoise",
    "JPEGCompression",
    "LargeScaleJitter",
    "ObjectSizeJitter",
    "Photometric",
    "Rotate90",
    "Sample",
    "ScaleJitter",
    "StainJitter",
    "Step",
    "as_callable",
    "load_imgaug",
    "named",
    "preview",
    "takes_rng",
]


def __getattr__(name):
    """Imports `preview` when it is first asked for: training does not need Matplotlib."""
    if name == "preview":
        from mrcnn.visualize.augmentations import preview

        return preview
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
