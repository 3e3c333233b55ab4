"""`Dataset`, `DataGenerator` and `load_image_gt` with the arguments that only matterport has."""

import warnings

import numpy as np

from mrcnn.augment import Compose, FlipLeftRight
from mrcnn.data import dataset, generator, ground_truth
from mrcnn.data.augmentation import as_callable


class Dataset(dataset.Dataset):
    __doc__ = dataset.Dataset.__doc__

    def append_data(self, class_info, image_info):
        """Adds the `class_info` and `image_info` lists of another data set."""
        for info in class_info:
            self.add_class(info["source"], info["id"], info["name"])
        self.image_info.extend(image_info)


class DataGenerator(generator.DataGenerator):
    """`mrcnn.data.DataGenerator`, whose batches `keras_model` takes.

    Args:
        random_rois, detection_targets: must stay off: use `mrcnn.model.data_generator` for these.
        augment: deprecated, flips images at random.
    """

    def __init__(
        self,
        dataset,
        config,
        shuffle=True,
        augmentation=None,
        random_rois=0,
        detection_targets=False,
        *,
        augment=False,
        **kwargs,
    ):
        if random_rois or detection_targets:
            raise ValueError(
                f"Expected random_rois=0 and detection_targets=False, received {random_rois} and "
                f"{detection_targets}: here the network makes proposals and targets. "
                "mrcnn.model.data_generator yields them."
            )
        if augment:
            augmentation = flip_first(augmentation)
        super().__init__(dataset, config, shuffle, augmentation, **kwargs)

    def __getitem__(self, index):
        """As its base, with empty RPN targets, which tell the network to compute its own."""
        (inputs,) = super().__getitem__(index)
        size = len(inputs["input_image"])
        first = {name: inputs.pop(name) for name in ("input_image", "input_image_meta")}
        targets = {
            "input_rpn_match": np.zeros((size, 0, 1), np.int32),
            "input_rpn_bbox": np.zeros((size, 0, 4), np.float32),
        }
        return ({**first, **targets, **inputs},)  # in the order of `keras_model.inputs`


def load_image_gt(
    dataset,
    config,
    image_id,
    augment=False,
    augmentation=None,
    use_mini_mask=False,
    rng=None,
):
    """`mrcnn.data.load_image_gt`; `augment` is deprecated and flips the image at random."""
    if augment:
        augmentation = flip_first(augmentation)
    return ground_truth.load_image_gt(dataset, config, image_id, augmentation, use_mini_mask, rng)


def flip_first(augmentation):
    """What the outdated argument `augment=True` asks for: a flip before the augmentation."""
    warnings.warn(
        "augment=True is outdated; pass augmentation=mrcnn.augment.FlipLeftRight()",
        FutureWarning,
        stacklevel=3,
    )
    return Compose([FlipLeftRight(), as_callable(augmentation)])
