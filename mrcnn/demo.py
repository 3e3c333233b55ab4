"""The demonstration: a small Mask R-CNN learns shapes from nothing, in minutes on a CPU."""

import math
import os
import time

import keras
import numpy as np
from keras import layers

from mrcnn.data.shapes import ShapesConfig, ShapesDataset
from mrcnn.evaluate.coco import evaluate, format_table
from mrcnn.image.masks import extract_bboxes
from mrcnn.model import MaskRCNN
from mrcnn.visualize.draw import draw_comparison

EPOCHS = 5


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


def run_demo(output, steps=2600, seed=0):
    """Trains on shapes, scores 50 pictures it has not seen, and draws some of them.

    Args:
        output: str, folder that gets `detections.png`, logs and checkpoints.
        steps: int, training steps of 4 pictures.
        seed: int, of the weights, the pictures and what is drawn in training. Runs still differ by
            rounding: `Config.SEED` would prevent that, at a fifth of the speed.

    Returns:
        dict of COCO scores, as `mrcnn.evaluate.coco.evaluate`.
    """
    start = time.time()
    model, held_out = train_demo(output, steps, seed)
    scores = evaluate(model, held_out, max_detections=model.config.DETECTION_MAX_INSTANCES)
    print(f"\nCOCO scores on {len(held_out.image_ids)} pictures it has not seen, in percent:")
    print(format_table(scores))
    picture = os.path.join(output, "detections.png")
    draw_held_out(model, held_out, picture)
    print(f"Ground truth beside detections: {picture}")
    print(f"Weights: {model.find_last()}")
    print(f"{time.time() - start:.0f} seconds")
    return scores


def train_demo(model_dir, steps=2600, seed=0, epochs=EPOCHS, callbacks=None, config=None):
    """Trains a new model on 2000 pictures of shapes.

    Args:
        model_dir: str, folder that gets logs and checkpoints.
        steps: int, training steps of 4 pictures.
        seed: int, as in `run_demo`.
        epochs: int, parts of the training; each ends with a validation and a checkpoint.
        callbacks: list of `keras.callbacks.Callback`, or None.
        config: `DemoConfig`, or None for its defaults; its STEPS_PER_EPOCH is set.

    Returns:
        The `MaskRCNN`, and a `Dataset` of 50 pictures that it has not seen.
    """
    keras.utils.set_random_seed(seed)
    config = config or DemoConfig()
    config.STEPS_PER_EPOCH = math.ceil(steps / epochs)
    train_set, held_out = ShapesDataset(), ShapesDataset()
    train_set.load_shapes(2000, *config.IMAGE_SHAPE[:2], seed=2 * seed)
    held_out.load_shapes(50, *config.IMAGE_SHAPE[:2], seed=2 * seed + 1)
    train_set.prepare()
    held_out.prepare()
    model = MaskRCNN("training", config, model_dir)
    rate = warm_cosine(config.LEARNING_RATE, config.STEPS_PER_EPOCH * epochs)
    model.train(train_set, held_out, rate, epochs, layers="all", custom_callbacks=callbacks)
    return model, held_out


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
        train_demo(model_dir, steps, epochs=1)
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
