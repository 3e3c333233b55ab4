"""Evaluation while a model trains: numbers that other callbacks can monitor, and TensorBoard's."""

import importlib.util
import os

import keras
import numpy as np

from mrcnn.data.keypoints import skeleton_of
from mrcnn.data.panoptic import load_map
from mrcnn.evaluate.detecting import detect_some
from mrcnn.evaluate.evaluation import Evaluation
from mrcnn.parallel import joined


class EvaluateCallback(keras.callbacks.Callback):
    """Evaluates after every n-th epoch, and the last, with the weights that it ends with.

    The epoch's log gets `val_bbox_AP`, `val_bbox_AP50` and, from a model with masks, `val_segm_AP`
    and `val_segm_AP50`, and what its architecture is scored by beside, for callbacks that come
    later in the list to monitor; an epoch without evaluation has none of them, so with `every`
    above 1 their patience counts evaluations. TensorBoard gets COCO's 12 numbers of each kind and
    pictures of the truth beside the detections, where TensorFlow is installed, in the folder
    `evaluation` of the run. An image that cannot be loaded is left out with a warning. Of several
    hosts the first one evaluates, while the others wait for its scores.

    Args:
        model: `DetectionModel` in training mode.
        dataset: prepared `Dataset` to evaluate on.
        every: int, epochs from one evaluation to the next.
        image_ids: which of its images; all by default.
        max_detections: as in `mrcnn.evaluate.evaluate`.
        pictures: int, how many of the images are shown, the first ones.
        log_dir: folder of TensorBoard's files; by default that of the run. `""` writes none.

    Attributes:
        evaluation: the last `mrcnn.evaluate.Evaluation`, None before the first.

    Raises:
        ValueError: `every` below 1.

    Example:

    >>> best = keras.callbacks.ModelCheckpoint(
    ...     "best.keras", "val_segm_AP", mode="max", save_best_only=True
    ... )
    >>> callbacks = [EvaluateCallback(model, val_dataset), best]
    >>> model.train(train_dataset, val_dataset, 0.001, 10, "all", custom_callbacks=callbacks)
    """

    def __init__(
        self,
        model,
        dataset,
        every=1,
        image_ids=None,
        max_detections=None,
        pictures=4,
        log_dir=None,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"every is {every!r}; expected a number of epochs, 1 or more")
        self.detector, self.dataset, self.every = model, dataset, every
        self.image_ids, self.max_detections = image_ids, max_detections
        self.pictures, self.log_dir = pictures, log_dir
        self.evaluation = self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every and not last:
            return
        hosts = joined()
        logs.update(hosts.first("scores", self._evaluate() if hosts.is_first else None))
        if hosts.is_first:
            self._write(epoch)

    def _evaluate(self):
        """Evaluates, and returns what the log gets of it."""
        self.evaluation = Evaluation.of(
            self.detector, self.dataset, self.image_ids, self.max_detections, skip_broken=True
        )
        return {
            f"val_{kind}_{name}": float(scores[name])
            for kind, scores in self.evaluation.scores.items()
            for name in [x for x in ("AP", "AP50") if x in scores] or scores
        }

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, epoch):
        """Hands the scores and pictures to TensorBoard."""
        missing = not all(map(importlib.util.find_spec, ("tensorflow", "tensorboard")))
        if self.log_dir == "" or missing:
            return
        import tensorflow as tf

        if self._writer is None:
            folder = self.detector.log_dir if self.log_dir is None else self.log_dir
            self._writer = tf.summary.create_file_writer(os.path.join(folder, "evaluation"))
        with self._writer.as_default(step=epoch):
            for kind, scores in self.evaluation.scores.items():
                for name, value in scores.items():
                    if not np.isnan(value):
                        tf.summary.scalar(f"{kind}/{name}", value)
            if (picture := self.draw()) is not None:
                tf.summary.image("truth and detections", picture[None])
        self._writer.flush()

    def draw(self):
        """The truth beside the last detections of the first images, uint8 [H, W, 3], or None.

        Of a model that finds segments it is the map of each, else its instances from the score of
        the best F1 on.
        """
        if not (self.pictures and self.evaluation and self.evaluation.ground_truth["images"]):
            return None
        from mrcnn.visualize.draw import draw_comparison  # here: training needs no Matplotlib

        ids = [each["id"] for each in self.evaluation.ground_truth["images"][: self.pictures]]
        images = [self.dataset.load_image(image_id) for image_id in ids]
        if getattr(self.detector, "finds_segments", False):
            truths = [
                load_map(self.dataset, image_id, image.shape)
                for image_id, image in zip(ids, images, strict=True)
            ]
            found = detect_some(self.detector, self.dataset, ids, images)
        else:
            pairs = [self.evaluation.instances(image_id) for image_id in ids]
            truths, found = zip(*pairs, strict=True)
        skeleton = skeleton_of(self.dataset)
        return draw_comparison(images, truths, found, self.dataset.class_names, skeleton=skeleton)
