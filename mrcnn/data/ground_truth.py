"""The ground truth of one image: loaded, checked, resized, augmented.

Shape legend: H, W size in pixels; C channels; N instances of an image; K classes, background
included; mh, mw = `MINI_MASK_SHAPE`. Boxes are `y1, x1, y2, x2` in pixels of the resized image,
half-open.
"""

import contextlib
import functools

import numpy as np

from mrcnn.data.augmentation import as_callable
from mrcnn.data.fitting import check_classes, check_dataset
from mrcnn.data.keypoints import from_points, load_checked, to_points
from mrcnn.data.sample import Sample, Step, augment_sample
from mrcnn.image.label_maps import resize_labels
from mrcnn.image.masks import (
    extract_bboxes,
    fill_boxes,
    minimize_mask,
    resize_boxes,
    resize_mask,
    to_bool,
)
from mrcnn.image.meta import compose_image_meta
from mrcnn.image.pixels import to_model_image
from mrcnn.image.placement import Placement
from mrcnn.image.proposals import from_corners, mold_proposals, to_corners
from mrcnn.image.resizing import (
    resize_by,
    resize_points,
    resized_scale,
    resized_sides,
    scaled_size,
)
from mrcnn.settings import Settings

MAX_DRAWS = 20  # of a second picture, in search of one of the same source


def image_name(dataset, image_id):
    """What errors call an image: its id, and its path or reference."""
    info = dataset.image_info[image_id]
    reference = info.get("path") or dataset.image_reference(image_id) or info["id"]
    return f"Image {image_id} ({reference})"


@contextlib.contextmanager
def _naming(name, step):
    """Puts the image's name into whatever error the user's code raises."""
    try:
        yield
    except ValueError as e:
        if str(e).startswith(name):
            raise
        raise ValueError(f"{name}, {step}: {e}") from e
    except Exception as e:
        raise RuntimeError(f"{name}, {step}: {type(e).__name__}: {e}") from e


def load_image_gt(dataset, config, image_id, augmentation=None, use_mini_mask=False, rng=None):
    """Loads an image with its ground truth, resized, augmented and checked.

    Args:
        dataset: prepared `Dataset`.
        config: `Config`, or the `Settings` made from one.
        image_id: int, one of `dataset.image_ids`.
        augmentation: callable `(image, masks) -> (image, masks)` on `[H, W, C]` and bool
            `[H, W, N]`; it must keep shapes, dtype and the order of the instances. One that has
            an argument `rng` is given a generator to draw from, and is repeatable by seed. Or
            any other kind that `mrcnn.augment` lists: imgaug, albumentations, Keras layers.
        use_mini_mask: bool, whether masks are cut to their boxes; training takes the config's.
        rng: `np.random.Generator` of the random crop and flip.

    Returns:
        image: `[H, W, C]`, uint8 or float32, not molded.
        image_meta: float32 `[12 + K]`, see `compose_image_meta`.
        class_ids: int32 `[N]`; instances that resizing or augmentation left empty are dropped.
        bbox: int32 `[N, 4]`, computed from the masks.
        mask: bool `[H, W, N]`, or `[mh, mw, N]` mini-masks.

    Raises:
        ValueError: names the image, if its picture or instances are unusable.
        RuntimeError: names the image, if the data set's code or the augmentation fails.
    """
    settings = Settings.from_config(config)
    check_dataset(dataset, "dataset")
    check_classes(dataset, settings)
    annotated = load_annotated(dataset, settings, image_id)
    found = to_ground_truth(
        dataset,
        settings,
        image_id,
        *annotated,
        as_callable(augmentation),
        use_mini_mask,
        rng or np.random.default_rng(),
    )
    return tuple(found[name] for name in ("image", "image_meta", "class_ids", "boxes", "masks"))


def load_annotated(dataset, settings, image_id):
    """Returns the checked image, masks and class ids as the data set has them.

    Masks that are run-length codes stay so: `EncodedMasks`.
    """
    image = load_checked_image(dataset, settings, image_id)
    with _naming(image_name(dataset, image_id), "load_mask"):
        encoded = getattr(dataset, "load_encoded", lambda *arguments: None)(image_id, image.shape)
    if encoded is not None:
        return image, *encoded
    masks, class_ids = load_instances(dataset, image_id, image.shape, settings.image.num_classes)
    return image, masks, class_ids


def load_boxed(dataset, settings, image_id):
    """As `load_annotated`, with boxes int32 `[N, 4]` in place of masks, of which none is made."""
    image = load_checked_image(dataset, settings, image_id)
    with _naming(image_name(dataset, image_id), "load_boxes"):
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
    """The image as the network's channels have it."""
    name = image_name(dataset, image_id)
    with _naming(name, "load_image"):
        image = dataset.load_image(image_id)
        return to_model_image(image, settings.image.channels, name, dataset)


def load_instances(dataset, image_id, image_shape, num_classes):
    """Returns the checked masks and class ids of an image, as `check_instances`."""
    with _naming(image_name(dataset, image_id), "load_mask"):
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
    with _naming(image_name(dataset, image_id), "load_keypoints"):
        return load_checked(dataset, image_id, count)


def to_ground_truth(
    dataset,
    settings,
    image_id,
    image,
    masks,
    class_ids,
    augmentation,
    use_mini_mask,
    rng,
    keypoints=None,
    labels=None,
    proposals=None,
):
    """Resizes and augments what `load_annotated` or `load_boxed` returned.

    Args:
        keypoints: what `load_keypoints` returned, or None.
        labels: int `[H, W]`, a class for each pixel, or None.
        proposals: what `mrcnn.data.proposals.load_proposals` returned, or None.

    Returns:
        dict of `image`, `image_meta`, `class_ids`, `boxes` and `masks`, as of `load_image_gt`, and
        `keypoints`, float32 `[N, K, 3]` as of `mrcnn.data.keypoints.from_points`, and `labels` and
        `proposals` at the image's size, or None. Where `masks` were boxes, masks that fill them.
    """
    original_shape, name = image.shape, image_name(dataset, image_id)
    image, window, place, augmentation = _resized(settings.image, image, augmentation, rng)
    labels = None if labels is None else resize_labels(labels, *place)
    mini_shape = settings.ground_truth.mini_mask_shape if use_mini_mask else None
    boxes = resize_boxes(masks, original_shape, *place) if masks.ndim == 2 else None
    if proposals is not None:
        proposals = mold_proposals(proposals, original_shape, place, window)
    points = None
    if keypoints is not None:
        points = resize_points(to_points(keypoints), original_shape[:2], *place)
    if boxes is not None and augmentation is None and use_mini_mask:
        bbox, masks = boxes, np.ones((*mini_shape, len(boxes)), bool)
    else:
        masks = resize_mask(masks, *place) if boxes is None else fill_boxes(boxes, image.shape)
        if augmentation is not None:
            other = functools.partial(_another, dataset, settings, image_id)
            fill = settings.image.padding_value
            sample = Sample(image, masks, class_ids, window, points, labels, other=other, fill=fill)
            if proposals is not None:
                sample = sample.replace(proposals=to_corners(proposals))
            if points is not None:
                sample = sample.replace(flip_pairs=dataset.keypoint_scheme.flip_pairs)
            with _naming(name, "augmentation"):
                # Padding that is the mean, see `mold`, stays where it is.
                alone = settings.image.pads_with_mean
                sample = augment_sample(augmentation, sample, rng, picture_alone=alone)
            image, masks, labels = sample.image, sample.masks, sample.labels
            class_ids, window, points = sample.class_ids, sample.window, sample.points
            if proposals is not None:
                proposals = from_corners(sample.proposals, window)
        bbox = extract_bboxes(masks)
        # Before some are dropped, which copies the masks.
        masks = _minimized(bbox, masks, mini_shape) if use_mini_mask else masks
    keypoints = None if points is None else from_points(points, window)
    visible = bbox[:, 2] > 0
    if not visible.all():
        masks, class_ids, bbox = masks[:, :, visible], class_ids[visible], bbox[visible]
        keypoints = None if keypoints is None else keypoints[visible]

    source = dataset.image_info[image_id]["source"]
    if source not in dataset.source_class_ids:
        raise ValueError(
            f"{name}: expected a source that has classes, {dataset.sources[1:]}, "
            f"received {source!r}. Call add_class({source!r}, ...)."
        )
    active_class_ids = np.zeros(dataset.num_classes, np.int32)
    active_class_ids[dataset.source_class_ids[source]] = 1
    image_meta = compose_image_meta(
        image_id, original_shape, image.shape, window, place[0], active_class_ids
    )
    return {
        "image": image,
        "image_meta": image_meta,
        "class_ids": class_ids,
        "boxes": bbox,
        "masks": masks,
        "keypoints": keypoints,
        "labels": labels,
        "proposals": proposals,
    }


def _resized(settings, image, augmentation, rng):
    """The image at the network's size, by the zoom that the augmentation begins with.

    Returns:
        image, its window, the arguments of `resize_mask` beside the masks, and the augmentation
        that is left, or None.
    """
    zoom, rest = None, augmentation
    if isinstance(augmentation, Step):
        zoom, rest = augmentation.split_zoom()
    height, width = image.shape[:2]
    if zoom is not None:
        scale = resized_scale(settings, height, width)
        canvas = resized_sides(settings, height, width, settings.resize_mode)
        drawn = zoom.draw(canvas, scaled_size(height, width, scale), rng)
        if drawn is not None:
            scale *= drawn
            place = Placement.drawn((height, width), scale, canvas, rng)
            image = place.image(image, settings.padding_value)
            return image, place.window, (scale, place.padding, place.crop, place.size), rest
    resized = resize_by(settings, image, settings.resize_mode, rng)
    image, window, scale, padding, crop = resized
    size = (window[2] - window[0], window[3] - window[1])
    return image, window, (scale, padding, crop, None if crop else size), rest


def _minimized(bbox, masks, mini_shape):
    # A mask without a pixel has no box: any does.
    return minimize_mask(np.where(bbox[:, 2:3] > 0, bbox, [0, 0, 1, 1]), masks, mini_shape)


def _another(dataset, settings, image_id, rng):
    """A random picture of the same source: what `Sample.other` returns.

    One of another source may show what this source does not annotate, or the reverse.
    """
    infos = dataset.image_info
    ids = (int(rng.integers(len(dataset.image_ids))) for _ in range(MAX_DRAWS))
    same = (i for i in ids if infos[i]["source"] == infos[image_id]["source"])
    chosen = next(same, image_id)
    try:
        image, masks, class_ids = load_annotated(dataset, settings, chosen)
        wanted = settings.keypoint_head.enabled
        keypoints = load_keypoints(dataset, chosen, len(class_ids)) if wanted else None
    except Exception:
        return None  # it is told when it is its own turn
    sample = Sample(image, masks, class_ids)
    if keypoints is not None:
        pairs = dataset.keypoint_scheme.flip_pairs
        sample = sample.replace(points=to_points(keypoints), flip_pairs=pairs)
    return sample, resized_scale(settings.image, *image.shape[:2])
