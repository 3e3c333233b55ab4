"""The demonstration: a small Mask R-CNN learns shapes from nothing, in minutes on a CPU."""

import math
import os
import signal
import sys
import time

import keras
import numpy as np
from keras import layers

from mrcnn.data.shapes import ShapesConfig, ShapesDataset
from mrcnn.evaluate import evaluate, format_table
from mrcnn.image.masks import extract_bboxes
from mrcnn.model import MaskRCNN
from mrcnn.visualize.draw import draw_comparison

STEPS = 1600  # with the learning rate at 0 at the end
EPOCH = 200  # steps from one look at the detections to the next
GOOD = 0.95  # mask AP50 where training stops: another 50 pictures then have 0.90 and more
MEASURED = 20  # steps that tell how fast the machine is


def small_backbone(input_image, stage5=True, train_bn=None):
    """Five stages of one or two 3x3 convolutions: [B, H, W, C] -> [C1, ..., C5].

    Normalised in groups of channels: pictures of random colours have no common statistics, which
    BatchNorm would need in detection.
    """
    x, features = input_image, []
    for stage, channels in enumerate((16, 32, 64, 96, 128), start=1):
        for block, strides in (("a", 2), ("b", 1))[: 1 if stage == 1 else 2]:
            name = f"small{stage}{block}"
            x = layers.Conv2D(
                channels, 3, strides, padding="same", use_bias=False, name=f"{name}_conv"
            )(x)
            x = layers.ReLU()(layers.GroupNormalization(8, name=f"{name}_gn")(x))
        features.append(x)
    return features


class DemoConfig(ShapesConfig):
    """A network of 1.6 million weights for pictures of 128 x 128 pixels."""

    NAME = "demo"
    BACKBONE = small_backbone
    TRAIN_BN = None
    IMAGES_PER_GPU = 4
    TOP_DOWN_PYRAMID_SIZE = 64
    RPN_CHANNELS = 64
    ROI_ALIGN_MODE = "roi_align"
    FPN_CLASSIF_FC_LAYERS_SIZE = 256
    MASK_POOL_SIZE = 7
    MASK_SHAPE = (14, 14)
    MASK_HEAD_CHANNELS = 32
    MAX_GT_INSTANCES = 8
    TRAIN_ROIS_PER_IMAGE = 32
    ROI_FILL_NEGATIVES = True
    ROI_ADD_GT = True
    PRE_NMS_LIMIT = 1000
    POST_NMS_ROIS_TRAINING = 128
    POST_NMS_ROIS_INFERENCE = 64
    DETECTION_MAX_INSTANCES = 16
    DETECTION_MIN_CONFIDENCE = 0.05
    LEARNING_RATE = 0.04


def run_demo(output, steps=STEPS, seed=0):
    """Trains on shapes until detections are good, scores pictures it has not seen, draws some.

    Ctrl-C ends the training early: what it has learnt until then is scored and drawn.

    Args:
        output: str, folder that gets `detections.png`, logs and checkpoints.
        steps: int, training steps of 4 pictures at most.
        seed: int, of the weights, the pictures and what is drawn in training. Runs still differ by
            rounding: `Config.SEED` would prevent that, at a fifth of the speed.

    Returns:
        dict of COCO scores, as `mrcnn.evaluate.coco.evaluate`.
    """
    start = time.time()
    model, held_out = train_demo(output, steps, seed, good=GOOD)
    scores = evaluate(model, held_out, max_detections=model.config.DETECTION_MAX_INSTANCES)
    print(f"\nCOCO scores on {len(held_out.image_ids)} pictures it has not seen, in percent:")
    print(format_table(scores))
    picture = os.path.join(output, "detections.png")
    draw_held_out(model, held_out, picture)
    print(f"Ground truth beside detections: {picture}")
    print(f"Weights: {model.find_last()}")
    print(f"{time.time() - start:.0f} seconds")
    return scores


def train_demo(model_dir, steps=STEPS, seed=0, good=None, config=None):
    """Trains a new model on 2000 pictures of shapes.

    Args:
        model_dir: str, folder that gets logs and checkpoints, one for each `EPOCH` steps.
        steps: int, training steps of 4 pictures.
        seed: int, as in `run_demo`.
        good: float, the mask AP50 on pictures kept for that at which training may stop; Ctrl-C
            then stops it too, and it says how far it is. None: it takes all steps as others do.
        config: `DemoConfig`, or None for its defaults; its STEPS_PER_EPOCH is set.

    Returns:
        The `MaskRCNN`, and a `Dataset` of 50 pictures that it has not seen.
    """
    keras.utils.set_random_seed(seed)
    config = config or DemoConfig()
    epochs = math.ceil(steps / EPOCH)
    config.STEPS_PER_EPOCH = math.ceil(steps / epochs)
    train_set, checked, held_out = (
        shapes(count, config, 3 * seed + i) for i, count in enumerate((2000, 50, 50))
    )
    model = MaskRCNN("training", config, model_dir)
    callbacks = []
    if good is not None:
        callbacks = [StopWhenGood(model, checked, good), StopOnInterrupt(), Progress()]
    rate = warm_cosine(config.LEARNING_RATE, config.STEPS_PER_EPOCH * epochs)
    model.train(train_set, None, rate, epochs, layers="all", custom_callbacks=callbacks)
    return model, held_out


def shapes(count, config, seed):
    """A prepared data set of so many pictures of the config's size."""
    dataset = ShapesDataset()
    dataset.load_shapes(count, *config.IMAGE_SHAPE[:2], seed=seed)
    dataset.prepare()
    return dataset


class StopWhenGood(keras.callbacks.Callback):
    """Ends training after an epoch whose weights detect well, and logs `mask_ap50`.

    Args:
        detector: the `MaskRCNN` that is trained.
        dataset: `Dataset` to detect in.
        good: float, a mask AP50.
    """

    def __init__(self, detector, dataset, good):
        super().__init__()
        self.detector, self.dataset, self.good = detector, dataset, good

    def on_epoch_end(self, epoch, logs=None):
        if self.model.stop_training:  # the user waits
            return
        limit = self.detector.config.DETECTION_MAX_INSTANCES
        scores = evaluate(self.detector, self.dataset, max_detections=limit)
        logs["mask_ap50"] = scores["segm"]["AP50"]
        if logs["mask_ap50"] >= self.good:
            self.model.stop_training = True


class StopOnInterrupt(keras.callbacks.Callback):
    """Ctrl-C ends training after the step that is running; a second one does what it always does.

    So the weights are whole, and what comes after training still comes.
    """

    def on_train_begin(self, logs=None):
        self.before = signal.signal(signal.SIGINT, self.stop)

    def stop(self, number, frame):
        print("\nThis was the last step; Ctrl-C again ends everything.", flush=True)
        self.model.stop_training = True
        signal.signal(signal.SIGINT, self.before)

    def on_train_end(self, logs=None):
        signal.signal(signal.SIGINT, self.before)


class Progress(keras.callbacks.ProgbarLogger):
    """Says how long training takes on this machine, measured on its first steps, and what is left.

    Keras shows no bar of its own beside a `ProgbarLogger`.
    """

    def on_train_begin(self, logs=None):
        self.total, self.done = self.epochs * self.target, 0
        print(f"Compiling, then timing {min(MEASURED, self.total)} steps ...", flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.done == 1:
            self.start = self.shown = time.perf_counter()
        now = time.perf_counter()
        if self.done == 1 + MEASURED:
            step = (now - self.start) / MEASURED
            print(
                f"{step:.2f} seconds a step on this machine: training takes {self.left(now)} "
                "minutes, less if the detections are good before. Ctrl-C stops with what it has.",
                flush=True,
            )
        if self.done > 1 + MEASURED and sys.stdout.isatty() and now - self.shown > 1:
            self.shown = now
            text = (
                f"step {self.done} of {self.total}, loss {logs['loss']:.2f}, {self.left(now)} left"
            )
            print(f"\r{text:40}", end="", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        if "mask_ap50" in logs:
            score = f"mask AP50 {100 * logs['mask_ap50']:.0f} %"
            left = f"{self.left(time.perf_counter())} left"
            left = "the last" if self.model.stop_training else left
            over = "\r" if sys.stdout.isatty() else ""
            text = f"step {self.done} of {self.total}: {score}, {left}"
            print(over + text, flush=True)

    def left(self, now):
        """Minutes and seconds that the other steps take, if they are as fast as those before."""
        seconds = (now - self.start) / max(1, self.done - 1) * (self.total - self.done)
        return "{}:{:02}".format(*divmod(round(seconds), 60))


def warm_cosine(peak, steps):
    """The learning rate of the demonstration: up to `peak` in 100 steps at most, down to 0."""
    warmup = min(100, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup
    )


def trained_model(model_dir, steps=800):
    """Returns a model for inference that knows shapes, for the notebooks.

    Args:
        model_dir: str; the newest checkpoint of the demonstration below it is loaded. Where there
            is none, `train_demo` writes one: a minute on two CPU cores.
        steps: int, of that training.
    """
    model = MaskRCNN("inference", DemoConfig(), model_dir)
    try:
        path = model.find_last()
    except FileNotFoundError:
        train_demo(model_dir, steps)
        path = model.find_last()
    model.load_weights(path)
    return model


def draw_held_out(model, dataset, path, count=8, min_score=0.5):
    """Writes a picture of ground truth beside confident detections of the first `count` images."""
    images, truths, detections = [], [], []
    for image_id in dataset.image_ids[:count]:
        masks, class_ids = dataset.load_mask(image_id)
        images.append(dataset.load_image(image_id))
        truths.append({"rois": extract_bboxes(masks), "class_ids": class_ids, "masks": masks})
        found = model.detect([images[-1]])[0]
        sure = found["scores"] >= min_score
        axes = {name: 2 if name == "masks" else 0 for name in found}
        detections.append({k: np.compress(sure, v, axes[k]) for k, v in found.items()})
    draw_comparison(images, truths, detections, dataset.class_names, save_path=path)
