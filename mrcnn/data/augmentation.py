"""Augmentations of other libraries as steps.

Which kind an object is, the modules of its classes tell: no library is imported for that. Image
`[H, W, C]`, masks bool `[H, W, N]`. An adapter changes nothing in the object that it was given but
the seeds of Keras layers: threads share it, and every random number comes from `rng`.

Where a library moves maps of labels by the nearest pixel, eight masks travel as the bits of one.
The window travels as one more mask, and is the box of it afterwards; of labels of pixels each value
does. Nine places of the picture travel with the points: where they lie the other way round, the
picture was mirrored. Libraries know values of 0 to 255 alone: pictures of another range are brought
there and back, see `mrcnn.image.value_scale`.
"""

import copy
import functools
import random
import threading

import numpy as np

from mrcnn.data.distortions import mend_distortions
from mrcnn.data.sample import Step, clipped_window
from mrcnn.image.label_maps import labels_to_masks, masks_to_labels
from mrcnn.image.masks import extract_bboxes, no_masks, resize_mask
from mrcnn.image.value_scale import ValueScale
from mrcnn.startup import imgaug_import

# What pads with labels that exist; the statistics of a border ("mean", ...) are no labels.
_LABEL_PADDING = {"constant", "edge", "reflect", "symmetric", "wrap"}

_CV2_INTER_LINEAR = 1

# Keras layers after which no mask tells what belongs to an object.
_MIXING = {"AugMix", "CutMix", "MixUp"}


def as_callable(augmentation):
    """Returns what `load_image_gt` calls for an augmentation of any supported kind.

    Args:
        augmentation: None; a callable `(image, masks) -> (image, masks)`, with an argument `rng`
            or without, returned as it is; an imgaug augmenter; an albumentations transform or
            composition; a Keras image preprocessing layer, or a `Pipeline` or `Sequential` of them.

    Raises:
        ValueError: it is none of these.
    """
    libraries = {cls.__module__.partition(".")[0] for cls in type(augmentation).__mro__}
    for library, adapter in _ADAPTERS.items():
        if library in libraries:
            return adapter(augmentation)
    if augmentation is None or callable(augmentation):
        return augmentation
    raise ValueError(
        "Expected as augmentation a callable (image, masks) -> (image, masks), an imgaug "
        "augmenter, an albumentations transform or a Keras preprocessing layer, received "
        f"{type(augmentation).__name__}. Several are one in mrcnn.augment.Compose([...])."
    )


def load_imgaug():
    """Imports imgaug, which needs names that NumPy no longer has, and returns it.

    After `import mrcnn`, `import imgaug` alone does the same; see `mrcnn.startup.imgaug_import`.

    Raises:
        ImportError: it is not installed.
    """
    imgaug_import.install()
    try:
        import imgaug
    except ImportError as e:
        raise ImportError(f"imgaug cannot be imported: {e}. pip install 'mrcnn[imgaug]'") from e
    imgaug_import.mend()  # it may have been imported before mrcnn
    return imgaug


class Adapter(Step):
    """A step of another library; a subclass has `transform`."""

    def apply(self, sample, rng):
        if sample.proposals is not None:
            raise ValueError(
                "expected an augmentation that moves proposals, received one of another library. "
                "Take the steps of mrcnn.augment where proposals are given (USE_RPN_ROIS = False)"
            )
        count, labels = sample.masks.shape[2], sample.labels
        planes, values = (
            (no_masks(sample.size, 0), ()) if labels is None else labels_to_masks(labels)
        )
        masks = no_masks(sample.size, count + 1 + len(values))
        masks[:, :, :count], masks[:, :, count] = sample.masks, sample.window_mask()
        masks[:, :, count + 1 :] = planes
        scale = ValueScale.of(sample.image)
        grey = scale.to_grey(sample.image.copy())
        given, places = sample.points, _places(sample.size)
        if given is not None:
            there = ~np.isnan(given).any(axis=-1)
            given = np.concatenate([places, given[there]])
        image, masks, moved = self.transform(grey, masks, given, rng)
        points = sample.points
        if points is not None:
            points = np.full(points.shape, np.nan)
            points[there] = moved[len(places) :]
            points = sample.traded(points) if _mirrored(places, moved[: len(places)]) else points
        image = scale.restore(image)
        if np.any(sample.fill) and image.shape == sample.image.shape:
            image = np.where(masks[:, :, count : count + 1], image, sample.padding())
        window = clipped_window(extract_bboxes(masks[:, :, count : count + 1])[0], image.shape)
        if labels is not None:
            labels = masks_to_labels(masks[:, :, count + 1 :], values)
        changes = {"image": image, "masks": masks[:, :, :count], "window": window}
        return sample.replace(**changes, points=points, labels=labels)

    def transform(self, image, masks, points, rng):
        """Returns the three as the library moves them.

        Args:
            image: `[H, W, C]`, its own to change.
            masks: bool `[H, W, n]`, n at least 1.
            points: float `[P, 2]`, y x, or None; NaN comes back for those that are lost.
            rng: `np.random.Generator`.
        """
        raise NotImplementedError


def _places(size):
    """Nine places of a picture of (height, width), on its edges and in the middle: float [9, 2]."""
    shares = np.stack(np.meshgrid([0, 0.5, 1], [0, 0.5, 1], indexing="ij"), axis=-1)
    return shares.reshape(-1, 2) * size


def _mirrored(before, after):
    """Whether places, float [n, 2], lie the other way round; those that are lost are NaN."""
    kept = ~np.isnan(after).any(axis=1)
    if kept.sum() < 3:
        return False
    before, after = (x[kept] - x[kept].mean(axis=0) for x in (before, after))
    linear, *_ = np.linalg.lstsq(before, after, rcond=None)
    return np.linalg.det(linear) < -1e-6  # 0 of places on a line


class ImgaugAdapter(Adapter):
    """Applies an imgaug augmenter to the image, and what moves pixels to the masks.

    imgaug knows what each augmenter does to a map of labels: those that move pixels move it, blur,
    noise and colour leave it as it is. matterport goes by a list of nine names instead (Sequential,
    SomeOf, OneOf, Sometimes, Fliplr, Flipud, CropAndPad, Affine, PiecewiseAffine), by which Rot90,
    Crop or PerspectiveTransform move the image and not its masks.
    """

    def __init__(self, augmenter):
        load_imgaug()
        self.augmenter = augmenter

    def transform(self, image, masks, points, rng):
        augmenter = self.augmenter.deepcopy()
        augmenter.seed_(int(rng.integers(2**31)))
        for part in (augmenter, *augmenter.get_all_children(flat=True)):
            _pad_labels_as_image(part)
        maps = _label_maps_class()(_pack(masks), shape=image.shape)
        given = {} if points is None else {"keypoints": _imgaug_points(points, image.shape)}
        image, maps, *moved = augmenter(image=image, segmentation_maps=maps, **given)
        if points is not None:
            points = moved[0].to_xy_array()[:, ::-1].astype(float)
        return image, _unpack(maps.get_arr(), masks.shape[2]), points


def _imgaug_points(points, shape):
    from imgaug.augmentables.kps import KeypointsOnImage

    return KeypointsOnImage.from_xy_array(points[:, ::-1], shape=shape)


@functools.cache
def _label_maps_class():
    from imgaug.augmentables import segmaps

    class SegmentationMapsOnImage(segmaps.SegmentationMapsOnImage):  # imgaug goes by this name
        """Maps that stay aligned with an image that is resized after a crop: a pixel takes the
        value under its centre, imgaug's own takes one half a pixel towards the corner."""

        def resize(self, sizes, interpolation="nearest"):
            return self.deepcopy(resize_mask(self.arr, 1, [(0, 0)], size=tuple(sizes)[:2]))

        def deepcopy(self, arr=None, shape=None):
            maps = super().deepcopy(arr, shape)
            maps.__class__ = type(self)  # so that the next resize is this one too
            return maps

    return SegmentationMapsOnImage


def _pad_labels_as_image(augmenter):
    """Has an object that the border mirrors or repeats in the image do so in the masks.

    imgaug fills maps of labels with zeros by default, and takes None for "as the image".
    """
    if hasattr(augmenter, "_mode_segmentation_maps"):
        augmenter._mode_segmentation_maps = None
    if hasattr(augmenter, "_pad_mode_segmentation_maps"):
        parameter = augmenter.pad_mode
        modes = getattr(parameter, "a", getattr(parameter, "value", "unknown"))
        if _LABEL_PADDING.issuperset(np.atleast_1d(modes).tolist()):
            augmenter._pad_mode_segmentation_maps = None


class AlbumentationsAdapter(Adapter):
    """Applies an albumentations transform; it works on float images of 0 to 1."""

    def __init__(self, transform):
        if not hasattr(transform, "set_random_state"):
            raise ValueError(
                "Expected a transform of albumentations 2, whose random numbers can be set, "
                f"received {type(transform).__name__} without set_random_state(). Update it."
            )
        self.library_transform = transform = copy.deepcopy(transform)
        mend_distortions(transform)
        # Nearest, the default, moves a crop that is enlarged by up to half a pixel of its own.
        if hasattr(transform, "set_mask_interpolation"):
            transform.set_mask_interpolation(_CV2_INTER_LINEAR)
        elif hasattr(transform, "mask_interpolation"):
            transform.mask_interpolation = _CV2_INTER_LINEAR

    def transform(self, image, masks, points, rng):
        transform = copy.deepcopy(self.library_transform)
        given = {}
        if points is not None:
            transform, given = _with_points(transform, points)
        # One state for all steps: set_random_seed() would give each its own with the same seed.
        transform.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        scale = 1 if image.dtype == np.uint8 else np.float32(255)
        separate = list(np.moveaxis(masks, 2, 0) * np.uint8(255))
        result = transform(image=image if scale == 1 else image / scale, masks=separate, **given)
        image = result["image"] if scale == 1 else result["image"] * scale
        if points is not None:
            found = np.reshape(result["keypoints"], (-1, 2))[:, ::-1] + 0.5
            points = np.full(points.shape, np.nan)
            points[np.asarray(result["places"], int)] = found
        return image, np.moveaxis(np.stack(result["masks"]) > 127, 0, -1), points


def _with_points(transform, points):
    """The transform in a composition that moves points, and the argument that holds them.

    The library counts from the centre of the first pixel.
    """
    import albumentations

    keep = albumentations.KeypointParams("xy", remove_invisible=False, label_fields=["places"])
    given = {"keypoints": points[:, ::-1] - 0.5, "places": np.arange(len(points))}
    return albumentations.Compose([transform], keypoint_params=keep), given


class KerasAdapter(Adapter):
    """Applies Keras image preprocessing layers, on the CPU and one image at a time."""

    def __init__(self, layer):
        self.layers = list(_leaves(layer))
        for leaf in self.layers:
            if not hasattr(leaf, "transform_segmentation_masks"):
                raise ValueError(
                    "Expected Keras layers that transform images with their segmentation masks, "
                    f"such as RandomFlip, received {type(leaf).__name__}."
                )
            if type(leaf).__name__ in _MIXING:
                raise ValueError(
                    "Expected Keras layers that move each pixel to one place, received "
                    f"{type(leaf).__name__}, which mixes images. Leave it out."
                )
            if leaf.data_format != "channels_last":
                raise ValueError(
                    f"Expected layers of data_format 'channels_last', received {leaf.data_format} "
                    f"in {leaf.name}. Pass data_format='channels_last'."
                )
        self._lock = threading.Lock()  # the layers' seeds are state

    def transform(self, image, masks, points, rng):
        import keras

        if points is not None:
            raise ValueError(
                "expected an augmentation that moves points, received Keras layers. Take "
                "mrcnn.augment, imgaug or albumentations"
            )
        # The last map tells where a layer filled in a value of its own.
        packed = np.concatenate([_pack(masks), np.zeros((*masks.shape[:2], 1), np.uint8)], axis=2)
        with self._lock, keras.device("cpu"):
            pair = [keras.ops.convert_to_tensor(a[None], "float32") for a in (image, packed)]
            for layer in self.layers:
                pair = _apply_layer(layer, *pair, rng)
            new_image, packed = (keras.ops.convert_to_numpy(array)[0] for array in pair)
        if image.dtype == np.uint8:
            new_image = np.clip(np.rint(new_image), 0, 255)
        packed = packed.astype(np.uint8)
        filled = packed[:, :, -1:] > 0
        masks = _unpack(packed[:, :, :-1], masks.shape[2]) & ~filled
        return new_image.astype(image.dtype), masks, points


def _apply_layer(layer, images, maps, rng):
    states = [v for v in layer.variables if v.name == "seed_generator_state"]
    seeds = [rng.integers(2**31, size=2) for _ in states]

    def seed():
        for state, value in zip(states, seeds, strict=True):
            state.assign(value.astype(state.dtype))

    seed()
    change = layer.get_random_transformation({"images": images}, training=True)
    seed()  # RandomElasticTransform draws while it transforms: the same for both
    images = layer.transform_images(images, change, training=True)
    seed()
    return images, layer.transform_segmentation_masks(maps, change, training=True)


def _leaves(layer):
    """Yields the layers of nested `Pipeline` and `Sequential`, in order."""
    if hasattr(layer, "layers"):
        for inner in layer.layers:
            yield from _leaves(inner)
    else:
        yield layer


def _pack(masks):
    """bool `[H, W, N]` -> uint8 `[H, W, ceil(N / 8)]`; plane by plane, as the masks lie."""
    height, width, count = masks.shape
    packed = np.zeros((height, width, -(-count // 8)), np.uint8)
    for i in range(count):
        packed[:, :, i // 8] |= masks[:, :, i].view(np.uint8) << (7 - i % 8)
    return packed


def _unpack(packed, count):
    masks = no_masks(packed.shape[:2], count)
    for i in range(count):
        np.not_equal(packed[:, :, i // 8] & (128 >> i % 8), 0, out=masks[:, :, i])
    return masks


_ADAPTERS = {
    "imgaug": ImgaugAdapter,
    "albumentations": AlbumentationsAdapter,
    "keras": KerasAdapter,
}
