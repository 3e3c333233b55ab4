"""The ground truth of one image: what was loaded, resized and augmented.

Shape legend: H, W size in pixels; C channels; N instances of an image; K classes, background
included; mh, mw = `MINI_MASK_SHAPE`. Boxes are `y1, x1, y2, x2` in pixels of the resized image,
half-open.
"""

import functools

import numpy as np

from mrcnn.data.augmentation import as_callable
from mrcnn.data.fitting import check_classes, check_dataset
from mrcnn.data.image_loading import image_name, load_annotated, load_keypoints, naming
from mrcnn.data.keypoints import from_points, to_points
from mrcnn.data.sample import Sample, Step, augment_sample
from mrcnn.image.label_maps import resize_labels
from mrcnn.image.masks import (
    extract_bboxes,
    fill_boxes,
    minimize_mask,
    resize_boxes,
    resize_mask,
)
from mrcnn.image.meta import compose_image_meta
from mrcnn.image.placement import Placement
from mrcnn.image.proposals import from_corners, mold_proposals, to_corners
from mrcnn.image.resizing import resize_by, resize_points
from mrcnn.image.sizes import resized_scale, resized_sides, scaled_size
from mrcnn.settings import Settings

MAX_DRAWS = 20  # of a second picture, in search of one of the same source


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
    image, window, place, augmentation = _resized(settings.image, image, masks, augmentation, rng)
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
            with naming(name, "augmentation"):
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

    active_class_ids = _active_class_ids(dataset, image_id)
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


def _active_class_ids(dataset, image_id):
    """1 for each class that the source of an image has, int32 `[K]`."""
    source = dataset.image_info[image_id]["source"]
    if source not in dataset.source_class_ids:
        raise ValueError(
            f"{image_name(dataset, image_id)}: expected a source that has classes, "
            f"{dataset.sources[1:]}, received {source!r}. Call add_class({source!r}, ...)."
        )
    active_class_ids = np.zeros(dataset.num_classes, np.int32)
    active_class_ids[dataset.source_class_ids[source]] = 1
    return active_class_ids


def _resized(settings, image, instances, augmentation, rng):
    """The image at the network's size, by the zoom that the augmentation begins with.

    Args:
        instances: masks `[H, W, N]` or boxes `[N, 4]` of the image as it is.

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
        size = scaled_size(height, width, scale)
        drawn = zoom.draw(canvas, size, rng, lambda: scale * _boxes(instances))
        if drawn is not None:
            scale *= drawn
            place = Placement.drawn((height, width), scale, canvas, rng)
            image = place.image(image, settings.padding_value)
            return image, place.window, (scale, place.padding, place.crop, place.size), rest
    resized = resize_by(settings, image, settings.resize_mode, rng)
    image, window, scale, padding, crop = resized
    size = (window[2] - window[0], window[3] - window[1])
    return image, window, (scale, padding, crop, None if crop else size), rest


def _boxes(instances):
    return instances if instances.ndim == 2 else extract_bboxes(instances)


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
