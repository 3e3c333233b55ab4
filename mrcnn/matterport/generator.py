"""matterport's generator and NumPy targets under its signatures, to look at and to train by hand.

The network needs none of it: `mrcnn.data.DataGenerator` yields images and ground truth, and
targets are computed in the graph. The maths here is that of the graph. What is drawn comes from
NumPy's global state, as there: `np.random.seed` makes it repeatable.

Shapes: B images, H W, A anchors, N ROIs, T = `TRAIN_ROIS_PER_IMAGE`, S =
`RPN_TRAIN_ANCHORS_PER_IMAGE`, M ground truths, G = `MAX_GT_INSTANCES`, K classes.
"""

import functools
import itertools
import warnings

import numpy as np
from keras import ops

from mrcnn.data.fitting import check_classes
from mrcnn.data.generator import MAX_ERRORS, MIN_TRIES
from mrcnn.data.image_loading import image_name
from mrcnn.image import meta as image_meta
from mrcnn.image import molding
from mrcnn.image.meta import compose_image_meta
from mrcnn.layers.anchors import Anchors, anchors_of
from mrcnn.matterport.data import load_image_gt
from mrcnn.matterport.random_rois import generate_random_rois
from mrcnn.network.trunk import feature_shapes
from mrcnn.ops import targets
from mrcnn.ops.boxes import norm_boxes
from mrcnn.settings import Image, Settings

__all__ = [
    "build_detection_targets",
    "build_rpn_targets",
    "compose_image_meta",
    "compute_backbone_shapes",
    "data_generator",
    "generate_random_rois",
    "mold_image",
    "parse_image_meta",
    "unmold_image",
]


def compute_backbone_shapes(config, image_shape):
    """Sizes of the feature maps P2..P6 of an image.

    Args:
        config: `Config`; a callable backbone's own `COMPUTE_BACKBONE_SHAPE` goes first.
        image_shape: (H, W, ...) in pixels.

    Returns:
        int NumPy [5, 2], height and width of each level.
    """
    if callable(config.BACKBONE) and callable(config.COMPUTE_BACKBONE_SHAPE):
        return np.asarray(config.COMPUTE_BACKBONE_SHAPE(config, image_shape))
    return feature_shapes(image_shape, config.BACKBONE_STRIDES)


def mold_image(images, config):
    """Images [..., C] minus `MEAN_PIXEL` (over `STD_PIXEL`), float32."""
    return molding.mold_image(images, config.MEAN_PIXEL, config.STD_PIXEL)


def unmold_image(normalized_images, config):
    """Inverts `mold_image`: uint8, rounded."""
    return molding.unmold_image(normalized_images, config.MEAN_PIXEL, config.STD_PIXEL)


def parse_image_meta(meta):
    """Splits meta vectors [..., 12 + K] into a dict of arrays: `scale` float, the others int32."""
    parts = image_meta.parse_image_meta(np.asarray(meta))
    return {k: part if k == "scale" else part.astype(np.int32) for k, part in parts.items()}


def build_rpn_targets(image_shape, anchors, gt_class_ids, gt_boxes, config):
    """Draws the anchors that train the RPN and encodes their targets.

    Args:
        image_shape: not used.
        anchors: float [A, 4], pixels.
        gt_class_ids: int [M], negative for crowds.
        gt_boxes: [M, 4], pixels.
        config: `Config`.

    Returns:
        rpn_match: int32 [A]; 1 object, -1 background, 0 does not count.
        rpn_bbox: float32 [S, 4], deltas of the positive anchors in their order, then zeros.
    """
    labels, matches = _match(anchors, gt_class_ids, gt_boxes, *targets.ANCHOR_IOU, match_best=True)
    anchors, count = np.asarray(anchors), config.RPN_TRAIN_ANCHORS_PER_IMAGE
    positive = _choose(np.flatnonzero(labels == targets.POSITIVE), count // 2)
    negative = _choose(np.flatnonzero(labels == targets.NEGATIVE), count - len(positive))
    rpn_match = np.zeros(len(anchors), np.int32)
    rpn_match[positive], rpn_match[negative] = 1, -1
    rpn_bbox = np.zeros((count, 4), np.float32)
    rpn_bbox[: len(positive)] = _encode(
        anchors[positive], matches[positive], gt_boxes, config.RPN_BBOX_STD_DEV
    )
    return rpn_match, rpn_bbox


def _choose(ids, count):
    """At most `count` of the ids, drawn without repetition, in their order."""
    return np.sort(np.random.permutation(ids)[:count])


def _match(boxes, gt_class_ids, gt_boxes, *thresholds, **options):
    """`targets.match` of one image: int32 [N] twice."""
    # One more ground truth, of zeros: there may be none.
    ids = np.append(np.asarray(gt_class_ids, np.int32), np.int32(0))
    gt_boxes = np.append(np.reshape(gt_boxes, (-1, 4)), np.zeros((1, 4)), axis=0)
    found = targets.match(*_batch(boxes, gt_boxes), ids[None], *thresholds, **options)
    return [ops.convert_to_numpy(x)[0] for x in found]


def _encode(boxes, matches, gt_boxes, std_dev):
    """`targets.encode_boxes` of one image: float32 [N, 4]."""
    if not len(boxes):
        return np.zeros((0, 4), np.float32)
    boxes, gt_boxes = _batch(boxes, gt_boxes)
    return ops.convert_to_numpy(targets.encode_boxes(boxes, matches[None], gt_boxes, std_dev))[0]


def _batch(*boxes):
    return [np.asarray(x, np.float32)[None] for x in boxes]


def build_detection_targets(rpn_rois, gt_class_ids, gt_boxes, gt_masks, config):
    """Draws training ROIs and encodes the targets of every class.

    Args:
        rpn_rois: [N, 4], pixels.
        gt_class_ids: int [M], negative for crowds, zero padded.
        gt_boxes: [M, 4], pixels.
        gt_masks: bool [H, W, M], or mini-masks [h, w, M] with `USE_MINI_MASK`.
        config: `Config`.

    Returns:
        rois: int or float [T, 4], pixels, as `rpn_rois`; positives first. Negatives repeat if they
            are few; without any, zeros fill up.
        class_ids: int32 [T], 0 background.
        bboxes: float32 [T, K, 4], deltas in the row of the class, zeros elsewhere.
        masks: float32 [T, *MASK_SHAPE, K], 0 or 1, in the channel of the class.
    """
    rpn_rois = np.asarray(rpn_rois)
    labels, matches = _match(rpn_rois, gt_class_ids, gt_boxes, config.ROI_IOU, config.ROI_IOU)
    count = config.TRAIN_ROIS_PER_IMAGE
    positive = np.flatnonzero(labels == targets.POSITIVE)
    positive = _choose(positive, max(1, int(count * config.ROI_POSITIVE_RATIO)))
    negative = _choose(np.flatnonzero(labels == targets.NEGATIVE), count - len(positive))
    keep = np.concatenate([positive, negative])
    if len(negative):
        keep = np.append(keep, np.random.choice(negative, count - len(keep)))

    rois = np.zeros((count, 4), rpn_rois.dtype)
    class_ids = np.zeros(count, np.int32)
    bboxes = np.zeros((count, config.NUM_CLASSES, 4), np.float32)
    masks = np.zeros((count, *config.MASK_SHAPE, config.NUM_CLASSES), np.float32)
    rois[: len(keep)] = rpn_rois[keep]
    if len(positive):
        rows, matches = np.arange(len(positive)), matches[positive]
        ids = class_ids[rows] = np.asarray(gt_class_ids)[matches]
        bboxes[rows, ids] = _encode(rpn_rois[positive], matches, gt_boxes, config.BBOX_STD_DEV)
        masks[rows, :, :, ids] = _encode_masks(
            rpn_rois[positive], matches, gt_boxes, gt_masks, config
        )
    return rois, class_ids, bboxes, masks


def _encode_masks(boxes, matches, gt_boxes, gt_masks, config):
    """`targets.encode_masks` of one image: float32 [N, *MASK_SHAPE]."""
    # Mini-masks are taken relative to their boxes, whatever the size of the image.
    shape = (2, 2) if config.USE_MINI_MASK else gt_masks.shape[:2]
    boxes, gt_boxes = (norm_boxes(x, shape, config.BOX_OFFSET) for x in _batch(boxes, gt_boxes))
    return ops.convert_to_numpy(
        targets.encode_masks(
            boxes,
            matches[None],
            gt_boxes,
            np.asarray(gt_masks)[None],
            config.MASK_SHAPE,
            config.USE_MINI_MASK,
            config.MASK_TARGET,
        )
    )[0]


def data_generator(
    dataset,
    config,
    shuffle=True,
    augment=False,
    augmentation=None,
    random_rois=0,
    batch_size=1,
    detection_targets=False,
    no_augmentation_sources=None,
):
    """Yields batches of images, RPN targets and ground truth without end.

    Images without objects are left out, unless `INCLUDE_EMPTY_IMAGES`. An image that fails is left
    out with a warning; the sixth in a row raises.

    Args:
        dataset: prepared `Dataset`.
        config: `Config`.
        shuffle: bool, another order in each pass.
        augment: deprecated, see `load_image_gt`.
        augmentation: see `load_image_gt`.
        random_rois: int, ROIs to draw for each image, see `generate_random_rois`.
        batch_size: int B.
        detection_targets: bool, add what `build_detection_targets` returns; needs `random_rois`.
        no_augmentation_sources: source names whose images are not augmented.

    Yields:
        (inputs, outputs). inputs: list of images float32 [B, H, W, C], molded; metas float32
        [B, 12 + K]; rpn_match int32 [B, A, 1]; rpn_bbox float32 [B, S, 4]; class ids int32 [B, G];
        boxes int32 [B, G, 4]; masks bool [B, h, w, G]; with `random_rois` the ROIs int32 [B, N, 4];
        with `detection_targets` those drawn of them [B, T, 4]. outputs: an empty list; with
        `detection_targets` their class ids [B, T, 1], deltas [B, T, K, 4] and masks
        [B, T, *MASK_SHAPE, K].

    Raises:
        ValueError, RuntimeError: name the image, if six in a row fail; if no image has an object;
            or if images of a batch differ in shape.
    """
    if not len(dataset.image_ids):
        raise ValueError("Expected at least one image, received an empty data set.")
    settings = Settings.from_config(config)
    check_classes(dataset, settings)
    excluded = set(no_augmentation_sources or ())

    @functools.lru_cache(maxsize=8)
    def anchors(*image_shape):
        shapes = compute_backbone_shapes(config, image_shape)
        return anchors_of(Anchors(settings.anchors), image_shape, shapes)["pixels"]

    def load(image_id):
        augmented = dataset.image_info[image_id]["source"] not in excluded
        image, *annotated = load_image_gt(
            dataset,
            config,
            image_id,
            augment=augment and augmented,
            augmentation=augmentation if augmented else None,
            use_mini_mask=config.USE_MINI_MASK,
            rng=np.random.default_rng(np.random.randint(2**31)),
        )
        if not (annotated[1] > 0).any() and not config.INCLUDE_EMPTY_IMAGES:
            return None
        try:
            return _encode_image(
                config, anchors(*image.shape), image, *annotated, random_rois, detection_targets
            )
        except Exception as e:
            raise RuntimeError(f"{image_name(dataset, image_id)}: {type(e).__name__}: {e}") from e

    samples = _usable(np.array(dataset.image_ids), shuffle, load)
    while True:
        batch = [next(samples) for _ in range(batch_size)]
        shapes = [list(sample[0].shape) for sample in batch]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(
                f"Expected images of one shape in a batch, received {shapes} in mode "
                f"{config.IMAGE_RESIZE_MODE!r}. Pass batch_size=1, or set IMAGE_RESIZE_MODE to "
                "'square' or 'crop'."
            )
        arrays = [np.stack(part) for part in zip(*batch, strict=True)]
        yield arrays[:9], arrays[9:]


def _usable(ids, shuffle, load):
    """The samples that `load` returns for images that have objects, without end."""
    errors = barren = 0
    for i in itertools.count():
        if shuffle and i % len(ids) == 0:
            np.random.shuffle(ids)
        try:
            sample = load(int(ids[i % len(ids)]))
        except Exception as e:
            errors += 1
            if errors > MAX_ERRORS:
                raise
            warnings.warn(f"An image is left out: {e}", stacklevel=2)
            continue
        errors = 0
        barren = 0 if sample else barren + 1
        if sample:
            yield sample
        elif barren >= max(len(ids), MIN_TRIES):
            raise ValueError(
                f"Expected an object in at least one image, received {len(ids)} images without "
                "any after resizing, cropping and augmentation. Check load_mask(), or set "
                "INCLUDE_EMPTY_IMAGES = True."
            )


def _encode_image(
    config, anchors, image, meta, class_ids, boxes, masks, random_rois, detection_targets
):
    """One image's part of each array that `data_generator` yields."""
    rpn_match, rpn_bbox = build_rpn_targets(image.shape, anchors, class_ids, boxes, config)
    kept = _choose(np.arange(len(class_ids)), config.MAX_GT_INSTANCES)
    class_ids, boxes, masks = class_ids[kept], boxes[kept], masks[:, :, kept]
    room = config.MAX_GT_INSTANCES - len(kept)
    sample = [
        molding.mold(image, parse_image_meta(meta)["window"], Image.from_config(config)),
        meta,
        rpn_match[:, None],
        rpn_bbox,
        np.pad(class_ids, (0, room)),
        np.pad(boxes, [(0, room), (0, 0)]),
        np.pad(masks, [(0, 0), (0, 0), (0, room)]),
    ]
    if random_rois:
        proposals = generate_random_rois(image.shape, random_rois, class_ids, boxes)
        sample.append(proposals)
        if detection_targets:
            rois, ids, *encoded = build_detection_targets(
                proposals, class_ids, boxes, masks, config
            )
            sample += [rois, ids[:, None], *encoded]
    return sample
