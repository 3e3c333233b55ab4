"""What a data set has of one image, loaded and checked: pixels, instances, keypoints.

Shape legend: H, W size in pixels; N instances of an image; K classes, background included, or
keypoints of an instance. Boxes are `y1, x1, y2, x2` in pixels, half-open.
"""

import contextlib

import numpy as np

from mrcnn.data.keypoints import load_checked
from mrcnn.data.picture_cache import picture_cache
from mrcnn.image.masks import to_bool
from mrcnn.image.pixels import to_model_image


def image_name(dataset, image_id):
    """What errors call an image: its id, and its path or reference."""
    info = dataset.image_info[image_id]
    reference = info.get("path") or dataset.image_reference(image_id) or info["id"]
    return f"Image {image_id} ({reference})"


@contextlib.contextmanager
def naming(name, step):
    """Puts the image's name into whatever error the user's code raises."""
    try:
        yield
    except ValueError as e:
        if str(e).startswith(name):
            raise
        raise ValueError(f"{name}, {step}: {e}") from e
    except Exception as e:
        raise RuntimeError(f"{name}, {step}: {type(e).__name__}: {e}") from e


def load_annotated(dataset, settings, image_id):
    """Returns the checked image, masks and class ids as the data set has them.

    Masks that are run-length codes stay so: `EncodedMasks`.
    """
    image = load_checked_image(dataset, settings, image_id)
    with naming(image_name(dataset, image_id), "load_mask"):
        encoded = getattr(dataset, "load_encoded", lambda *arguments: None)(image_id, image.shape)
    if encoded is not None:
        return image, *encoded
    masks, class_ids = load_instances(dataset, image_id, image.shape, settings.image.num_classes)
    return image, masks, class_ids


def load_boxed(dataset, settings, image_id):
    """As `load_annotated`, with boxes int32 `[N, 4]` in place of masks, of which none is made."""
    image = load_checked_image(dataset, settings, image_id)
    with naming(image_name(dataset, image_id), "load_boxes"):
        boxes, class_ids = dataset.load_boxes(image_id, image.shape)
        boxes, class_ids = np.asarray(boxes).reshape(-1, 4), np.asarray(class_ids)
        height, width = image.shape[:2]
        wrong = (boxes < 0).any(axis=1) | (boxes > [height, width, height, width]).any(axis=1)
        if wrong.any():
            raise ValueError(
                f"expected boxes y1 x1 y2 x2 within the image {list(image.shape)}, received "
                f"{boxes[wrong][0].tolist()}."
            )
        class_ids = _checked_class_ids(class_ids, len(boxes), "boxes")
        _check_known(class_ids, settings.image.num_classes)
    return image, boxes.astype(np.int32), class_ids.astype(np.int32)


def load_checked_image(dataset, settings, image_id):
    """The image as the network's channels have it; one that IMAGE_CACHE_MB keeps is not read."""
    name, channels = image_name(dataset, image_id), settings.image.channels

    def load():
        return to_model_image(dataset.load_image(image_id), channels, name, dataset)

    with naming(name, "load_image"):
        if not settings.runtime.cache_megabytes:
            return load()
        key = image_id, channels, getattr(dataset, "channels", None)
        return picture_cache(dataset, settings.runtime.cache_megabytes).get(key, load)


def load_instances(dataset, image_id, image_shape, num_classes):
    """Returns the checked masks and class ids of an image, as `check_instances`."""
    with naming(image_name(dataset, image_id), "load_mask"):
        return check_instances(dataset.load_mask(image_id), image_shape, num_classes)


def check_instances(instances, image_shape, num_classes):
    """Masks and class ids of an image as the library takes them, checked.

    Args:
        instances: what `Dataset.load_mask` returned.
        image_shape: (H, W, ...) of the image.
        num_classes: int K.

    Returns:
        bool `[H, W, N]` and int32 `[N]`.

    Raises:
        ValueError: says what was expected, what came, and the fix.
    """
    if not isinstance(instances, (tuple, list)) or len(instances) != 2:
        raise ValueError(f"expected (masks, class_ids), received {type(instances).__name__}.")
    masks, class_ids = (np.asarray(array) for array in instances)
    height, width = image_shape[:2]
    if not masks.size and not class_ids.size:
        return np.zeros((height, width, 0), bool), np.zeros(0, np.int32)
    if masks.ndim != 3 or masks.shape[:2] != (height, width):
        advice = "Stack one [H, W] mask an instance on the last axis."
        if masks.ndim == 3 and masks.shape[:2] == (width, height):
            advice = "Pictures are read upright, as their EXIF says: annotate them upright."
        raise ValueError(
            f"expected masks [{height}, {width}, N] as the image is {list(image_shape)}, "
            f"received {list(masks.shape)}. {advice}"
        )
    class_ids = _checked_class_ids(class_ids, masks.shape[2], "masks")
    masks = to_bool(masks)
    if not class_ids.all():
        # An empty mask of class 0 is how some data sets say that an image has no object.
        real = (class_ids != 0) | masks.any(axis=(0, 1))
        masks, class_ids = masks[:, :, real], class_ids[real]
    _check_known(class_ids, num_classes)
    return masks, class_ids.astype(np.int32)


def _checked_class_ids(class_ids, count, what):
    """The class ids of so many masks or boxes, as integers [N]."""
    if class_ids.dtype.kind == "f" and (class_ids == class_ids.round()).all():
        class_ids = class_ids.astype(np.int32)  # np.ones(n), in many scripts
    if class_ids.ndim != 1 or class_ids.dtype.kind not in "iu":
        raise ValueError(
            f"expected integer class ids [N], received {class_ids.dtype} "
            f"{list(class_ids.shape)}. Return np.array(class_ids, np.int32)."
        )
    if len(class_ids) != count:
        raise ValueError(
            f"expected one class id a {'mask' if what == 'masks' else 'box'}, received {count} "
            f"{what} and {len(class_ids)} class ids."
        )
    return class_ids


def _check_known(class_ids, num_classes):
    wrong = (np.abs(class_ids) < 1) | (np.abs(class_ids) >= num_classes)
    if wrong.any():
        raise ValueError(
            f"expected class ids from 1 to {num_classes - 1} (negative for crowds), received "
            f"{class_ids[wrong].tolist()}. Map ids with map_source_class_id('source.id')."
        )


def load_keypoints(dataset, image_id, count):
    """Returns the checked keypoints of the `count` instances that an image has, float32
    `[N, K, 3]`; None of a data set without."""
    if getattr(dataset, "keypoint_scheme", None) is None:
        return None
    with naming(image_name(dataset, image_id), "load_keypoints"):
        return load_checked(dataset, image_id, count)
