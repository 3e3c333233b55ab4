"""Batches for training.

Shape legend: B images of a batch; H, W size in pixels; C channels; N instances of an image;
M = `MAX_GT_INSTANCES`; K classes, background included; mh, mw = `MINI_MASK_SHAPE`.
Boxes are `y1, x1, y2, x2` in pixels of the resized image, half-open.
"""

import dataclasses
import math
import random
import time
import warnings

import keras
import numpy as np

from mrcnn.data.augmentation import as_callable
from mrcnn.data.fitting import (
    check_classes,
    check_dataset,
    check_keypoints,
    check_outlines,
    check_proposals,
)
from mrcnn.data.ground_truth import to_ground_truth
from mrcnn.data.image_loading import load_annotated, load_boxed, load_keypoints
from mrcnn.data.proposals import load_proposals
from mrcnn.data.sample import takes_rng
from mrcnn.data.sampling import Passes, repeat_factors
from mrcnn.data.seen import Seen
from mrcnn.data.tiles import in_tiles
from mrcnn.image.meta import META, parse_image_meta, with_image_shape
from mrcnn.image.molding import mold
from mrcnn.image.proposals import pad_proposals
from mrcnn.image.resizing import pad_to
from mrcnn.image.sizes import bucket_sides
from mrcnn.settings import Settings

MIN_TRIES = 100  # images loaded in search of an object before a batch is given up
MAX_ERRORS = 5  # images in a row that may fail before training does
# Batches whose images are remembered: far more than are made ahead of a step, or are behind it
# until its loss is known.
KEPT = 1000


class DataGenerator(keras.utils.PyDataset):
    """Batches of images and padded ground truth, the training graph's inputs.

    The data are read in passes; each pass is a new permutation of all images, in which
    `REPEAT_FACTOR_THRESHOLD` repeats some. A batch depends on the seed, the epoch and its index
    only, so any number of workers gives the same batches.
    An `augmentation` without an argument `rng` has random numbers of its own: with a seed, one
    worker calls it in order, and seeds those of Python and NumPy before each call. Give the
    generator to `fit` with `shuffle=False`: the order is its own.

    An image whose data set or augmentation fails is left out with a warning that names it, as
    in matterport's library: one broken file in thousands does not end a training.

    With `TILE_SIZE` an image that is larger counts as its tiles, see `mrcnn.data.tiles`.

    Args:
        dataset: prepared `Dataset`.
        config: `Config`, or the `Settings` made from one.
        shuffle: bool, False for natural order without repeats, the same batches in each epoch.
        augmentation: as in `load_image_gt`; `mrcnn.augment` lists the kinds.
        steps: int, batches of an epoch; the passes then run on across epochs. By default an
            epoch is one pass: each image once, or as often as it is repeated; the last batch may
            be smaller.
        no_augmentation_sources: source names whose images are not augmented.
        batch_size: int, images of a batch; by default the config's.
        share: `mrcnn.parallel.shares.Share`, of one of several hosts: which images of each batch
            are made here. None: all.
        **kwargs: `workers` (by default the config's), `max_queue_size`, ... of `PyDataset`.

    Attributes:
        epoch: int, counts finished epochs; set it to go on from another one.
        first_step: int, batches of the epoch that are left out: it was interrupted after them.
        error: the exception that the last failing batch raised, or None. TensorFlow's `fit`
            raises one of its own instead, which only quotes it.
        ready: dict, by index of a batch when it was made last, in `time.perf_counter` seconds.
        made_of: dict, by index of a batch the ids of its images, a list; of the last `KEPT`
            batches of an epoch.
        seen: `mrcnn.data.seen.Seen`, of all batches so far.
        in_order: bool, whether one worker makes all batches, for a seed and an `augmentation` with
            random numbers of its own.

    Example:

    >>> generator = DataGenerator(dataset, config)  # doctest: +SKIP
    >>> (inputs,) = generator[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        dataset,
        config,
        shuffle=True,
        augmentation=None,
        *,
        steps=None,
        no_augmentation_sources=None,
        batch_size=None,
        share=None,
        **kwargs,
    ):
        check_dataset(dataset, "dataset")
        settings, augmentation = Settings.from_config(config), as_callable(augmentation)
        runtime = settings.runtime
        own_numbers = augmentation is not None and not takes_rng(augmentation)
        in_order = runtime.seed is not None and own_numbers
        kwargs.setdefault("workers", 1 if in_order else runtime.workers)
        super().__init__(**kwargs)
        self.in_order = in_order
        dataset = in_tiles(dataset, settings.tiles, settings.ground_truth.include_empty)
        self.dataset, self.settings = dataset, settings
        self.shuffle, self.augmentation, self.steps = shuffle, augmentation, steps
        self.no_augmentation_sources = set(no_augmentation_sources or ())
        self.batch_size, self.share = batch_size or runtime.batch_size, share
        self.image_ids = image_ids = np.array(dataset.image_ids)
        if not image_ids.size:
            raise ValueError("Expected at least one image, received an empty data set.")
        if steps is not None and steps < 1:
            raise ValueError(f"Expected at least one step an epoch, received {steps}.")
        check_classes(dataset, settings)
        check_outlines(dataset, settings)
        check_keypoints(dataset, settings)
        check_proposals(dataset, settings)
        # NumPy's global state: keras.utils.set_random_seed reaches it.
        self.seed = np.random.randint(2**31) if runtime.seed is None else runtime.seed
        factors = self._repeat_factors(image_ids) if shuffle else None
        self.passes = Passes(image_ids, self.seed, shuffle, factors)
        self.epoch = self.first_step = 0
        self.error = None
        self.ready, self.made_of = {}, {}
        self.seen = Seen(dataset.num_classes)
        self._within_epoch = False
        self._peeked = None
        self._without_objects = set()  # saves loading them again; no result depends on it
        self._failed = set()

    def _repeat_factors(self, image_ids):
        threshold = self.settings.runtime.repeat_threshold
        if threshold is None:
            return None

        def class_ids(image_id):
            try:
                return self.dataset.image_class_ids(int(image_id))
            except Exception:
                return np.zeros(0, int)  # it is told when it is its turn

        return repeat_factors([class_ids(image_id) for image_id in image_ids], threshold)

    def go_on(self, seed, epoch, step):
        """Goes on where another generator of these data was left.

        Args:
            seed: int, of its order.
            epoch: int, epochs that it has finished.
            step: int, batches of the next epoch that are done; after the last one, the epoch is.
        """
        self.seed, self.passes = seed, dataclasses.replace(self.passes, seed=seed)
        self.first_step = 0
        of_epoch = len(self)
        self.epoch, self.first_step = divmod(epoch * of_epoch + step, of_epoch)

    def peek(self):
        """Returns the inputs of the batch that comes next, which is kept until its turn."""
        batch = self._batch(0)
        self._peeked = self.seed, self._place(0), batch
        return batch[0]

    def __len__(self):
        steps = self.steps or math.ceil(len(self.passes) / self.batch_size)
        return steps - self.first_step

    def on_epoch_begin(self):
        self._within_epoch = True

    def on_epoch_end(self):
        # fit() and evaluate() also call this once before the first epoch begins.
        self.epoch += self._within_epoch and self.shuffle
        self._within_epoch = False

    def __getitem__(self, index):
        """Returns `(inputs,)`, the batch `index` of what is left of the current epoch.

        Returns:
            A tuple of one dict; instances beyond an image's own are zeros:

            - `input_image`: float32 `[B, H, W, C]`, molded.
            - `input_image_meta`: float32 `[B, 12 + K]`.
            - `input_gt_class_ids`: int32 `[B, M]`, negative for crowds.
            - `input_gt_boxes`: float32 `[B, M, 4]`.
            - `input_gt_masks`: bool `[B, mh, mw, M]`, or `[B, H, W, M]` without mini-masks.
            - `input_roi`, with `USE_RPN_ROIS = False`: int32 `[B, POST_NMS_ROIS_TRAINING, 4]`, the
              data set's proposals, zero padded.

        Raises:
            ValueError, RuntimeError: as `load_image_gt`, if more than five images in a row fail;
                if no image has an object; or if images of the batch differ in shape.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a batch index below {len(self)}, received {index}.")
        if index == 0 and self._peeked is not None:
            (*place, batch), self._peeked = self._peeked, None
            if place == [self.seed, self._place(0)]:
                return batch
        return self._batch(index)

    def _batch(self, index):
        first, images = self._place(index), self.images_of(index)
        rows = range(images) if self.share is None else self.share.rows(images)
        try:
            samples = [self._load(*divmod(first + i, len(self.passes))) for i in rows]
            batch = (self._collate(samples, first),)
        except Exception as e:
            self.error = e
            raise
        self.ready[index] = time.perf_counter()
        self.made_of[index] = [int(image_id) for image_id in batch[0]["input_image_meta"][:, 0]]
        self.made_of.pop(index - KEPT, None)
        return batch

    def images_of(self, index):
        """How many images the batch `index` of what is left of an epoch has, on all hosts."""
        if self.steps is not None:
            return self.batch_size
        done = (index + self.first_step) * self.batch_size
        return min(self.batch_size, len(self.passes) - done)

    def _place(self, index):
        """How many images come before the batch `index`, in this epoch and all earlier ones."""
        of_epoch = self.steps * self.batch_size if self.steps else len(self.passes)
        return self.epoch * of_epoch + (index + self.first_step) * self.batch_size

    def _load(self, number, position):
        """Returns the sample at `position` of pass `number`, or the next that has objects."""
        ids = self.passes.order(number)
        rng = np.random.default_rng([self.seed, number, position])
        # A random crop may miss every object: few images get more than one chance.
        errors = 0
        for place in range(position, position + max(len(ids), MIN_TRIES)):
            image_id = ids[place % len(ids)]
            if image_id in self._without_objects:
                continue
            try:
                sample = self._load_image(int(image_id), rng)
            except Exception as error:
                errors += 1
                if errors > MAX_ERRORS:
                    raise
                self._warn_once(image_id, error)
                continue
            errors = 0
            empty = sample is None or not (sample["class_ids"] > 0).any()
            if self.settings.ground_truth.include_empty or not empty:
                return sample
        raise ValueError(
            f"Expected an object in at least one image, received {len(ids)} images without any "
            "after resizing, cropping and augmentation. Check load_mask(), that the annotations "
            "are those of this subset, and that its objects are no crowds (iscrowd 1, negative "
            "class ids); or, if there are none indeed, set INCLUDE_EMPTY_IMAGES = True."
        )

    def _warn_once(self, image_id, error):
        if image_id not in self._failed:
            self._failed.add(image_id)
            warnings.warn(f"left out of training: {error}", stacklevel=2)

    def _load_image(self, image_id, rng):
        dataset, settings = self.dataset, self.settings
        gt = settings.ground_truth
        source = dataset.image_info[image_id]["source"]
        augmentation = None if source in self.no_augmentation_sources else self.augmentation
        boxes_do = augmentation is None or getattr(augmentation, "keeps_rectangles", False)
        load = load_boxed if boxes_do and not settings.mask_head.enabled else load_annotated
        annotated = load(dataset, settings, image_id)
        if not gt.include_empty and not (annotated[2] > 0).any():
            self._without_objects.add(image_id)
            return None
        if self.in_order:
            random.seed(int(rng.integers(2**31)))
            np.random.seed(int(rng.integers(2**31)))
        keypoints = None
        if settings.keypoint_head.enabled:
            keypoints = load_keypoints(dataset, image_id, len(annotated[2]))
        labels = self._load_labels(image_id, annotated)
        sample = to_ground_truth(
            *(dataset, settings, image_id, *annotated, augmentation, gt.mini_masks, rng),
            keypoints=keypoints,
            labels=labels,
            proposals=None if gt.use_rpn_rois else load_proposals(dataset, image_id),
        )
        count, limit = len(sample["class_ids"]), gt.max_instances
        self.seen.add(sample["class_ids"], sample["boxes"], max(0, count - limit))
        if count > limit:
            kept = np.sort(rng.choice(count, limit, replace=False))
            sample["masks"] = sample["masks"][:, :, kept]
            for name in ("class_ids", "boxes", "keypoints"):
                sample[name] = None if sample[name] is None else sample[name][kept]
        return sample

    def _load_labels(self, image_id, annotated):
        """The class of each pixel, int [H, W], for networks that learn it; None."""
        return None

    def _sides(self, images, first):
        """Height and width that hold the largest image of a batch, whose first image is the
        `first` of all: smaller ones are padded at the bottom and right."""
        mode = self.settings.image.resize_mode
        buckets = None if mode == "crop" else self.settings.image.buckets
        together = mode == "shortest_edge" or buckets is not None
        shapes = {image.shape[:2] for image in images}
        sides = tuple(max((shape[axis] for shape in shapes), default=0) for axis in (0, 1))
        if self.share is not None:
            order = "shuffled" if self.shuffle else "in order"
            sides = self.share.largest(f"sides {order} {first}", sides)
        if shapes - {sides} and not together:
            raise ValueError(
                "Expected images of one shape in a batch, received "
                f"{[list(image.shape) for image in images]} in mode "
                f"{mode!r}. Set IMAGES_PER_GPU = 1, "
                "IMAGE_BUCKETS, or IMAGE_RESIZE_MODE to 'square', 'crop' or 'shortest_edge'."
            )
        return bucket_sides(sides, buckets)

    def _collate(self, samples, first=0):
        images, metas = ([each[name] for each in samples] for name in ("image", "image_meta"))
        gt, settings = self.settings.ground_truth, self.settings.image
        sides = self._sides(images, first)
        size, limit = len(samples), gt.max_instances
        mask_sides = gt.mini_mask_shape if gt.mini_masks else sides
        inputs = {
            "input_image": np.empty((size, *sides, settings.channels), np.float32),
            "input_image_meta": np.zeros((size, META + settings.num_classes), np.float32),
            "input_gt_class_ids": np.zeros((size, limit), np.int32),
            "input_gt_boxes": np.zeros((size, limit, 4), np.float32),
            "input_gt_masks": np.zeros((size, *mask_sides, limit), bool),
        }
        head = self.settings.keypoint_head
        if head.enabled:
            shape = (size, limit, head.num_keypoints, 3)
            inputs["input_gt_keypoints"] = np.zeros(shape, np.float32)
        for i, sample in enumerate(samples):
            inputs["input_image_meta"][i] = with_image_shape(metas[i], sides)
            window = parse_image_meta(metas[i])["window"].astype(int)
            image, count = pad_to(sample["image"], sides), len(sample["class_ids"])
            inputs["input_image"][i] = mold(image, window, self.settings.image)
            inputs["input_gt_class_ids"][i, :count] = sample["class_ids"]
            inputs["input_gt_boxes"][i, :count] = sample["boxes"]
            height, width = sample["masks"].shape[:2]
            inputs["input_gt_masks"][i, :height, :width, :count] = sample["masks"]
            if head.enabled:
                inputs["input_gt_keypoints"][i, :count] = sample["keypoints"]
        if not gt.use_rpn_rois:
            inputs["input_roi"] = np.zeros((size, gt.proposal_count, 4), np.int32)
            for i, sample in enumerate(samples):
                inputs["input_roi"][i] = pad_proposals(
                    sample["proposals"], gt.proposal_count, np.int32
                )
        return inputs
