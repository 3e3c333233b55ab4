"""The folder of a training run: pictures first, under the names that people know.

`labels.jpg`, `train_batch0.jpg` to `2`, `val_batch0_labels.jpg` beside `val_batch0_pred.jpg`.
"""

import contextlib
from pathlib import Path

import numpy as np

from mrcnn.data.boxes import load_boxes
from mrcnn.data.generator import DataGenerator
from mrcnn.data.image_loading import load_keypoints
from mrcnn.data.keypoints import skeleton_of
from mrcnn.data.panoptic import joined_segments, load_map
from mrcnn.data.proposals import load_proposals
from mrcnn.evaluate.detecting import wants_proposals
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.molding import unmold_values
from mrcnn.image.pasting import expand_mask
from mrcnn.image.viewing import to_uint8_rgb
from mrcnn.visualize.grids import draw_grid
from mrcnn.visualize.training_plots import plot_labels

LABELLED = 500  # pictures whose labels are plotted, of larger data sets
BATCHES = 3
TILES = 16  # images of a picture


def draw_labels(dataset, folder):
    """Writes `labels.jpg`: how many objects each class has, where they lie, how large they are.

    Args:
        dataset: a prepared `Dataset`.
        folder: path.
    """
    count = len(dataset.image_ids)
    chosen = np.linspace(0, count - 1, min(count, LABELLED)).astype(int)
    ids, boxes = [np.zeros(0, int)], [np.zeros((0, 4))]
    for image_id in dataset.image_ids[chosen]:
        with contextlib.suppress(ValueError):  # training names it, and leaves it out
            found, class_ids, size = load_boxes(dataset, image_id)
            ids.append(class_ids[class_ids > 0])
            boxes.append(found[class_ids > 0] / np.tile(size, 2))
    title = f"{sum(map(len, ids))} objects in {len(chosen)} pictures"
    title += f" of {count}" if len(chosen) < count else ""
    plot_labels(
        np.concatenate(ids),
        np.concatenate(boxes),
        dataset.class_names,
        title,
        Path(folder, "labels.jpg"),
    )


def draw_batches(dataset, config, augmentation, folder, generator_type=DataGenerator):
    """Writes `train_batch0.jpg` and the next ones: batches as the network sees them.

    Images are resized, augmented, padded and molded, then drawn as they come out of that, with
    the boxes, masks, classes and keypoints that are trained, or the class of each pixel.

    Args:
        dataset: a prepared `Dataset`.
        config: `Config`.
        augmentation: as training takes it.
        folder: path.
        generator_type: class of the generator, as of the model.
    """
    generator = generator_type(dataset, config, augmentation=augmentation)
    for index in range(min(BATCHES, len(generator))):
        (batch,) = generator[index]
        images, instances = seen(batch, generator.settings)
        path = Path(folder, f"train_batch{index}.jpg")
        draw_grid(
            images[:TILES],
            instances[:TILES],
            dataset.class_names,
            save_path=path,
            skeleton=skeleton_of(dataset),
        )


def seen(batch, settings):
    """The images of a batch as pixels again, and the ground truth on them.

    Args:
        batch: dict, as of `DataGenerator`.
        settings: `mrcnn.settings.Settings`.

    Returns:
        images: list of uint8 [H, W, 3], to look at.
        instances: list of dicts with `rois`, `class_ids`, `masks` and, if there are any,
            `keypoints`; of a batch with the class of each pixel also `segmentation` and `segments`.
    """
    image_settings, images, instances = settings.image, [], []
    for i, molded in enumerate(batch["input_image"]):
        values = unmold_values(molded, image_settings.mean_pixel, image_settings.std_pixel)
        images.append(to_uint8_rgb(values))
        found = {}
        if "input_gt_boxes" in batch:
            found = _instances(batch, i, settings.ground_truth.mini_masks)
        if "input_gt_labels" in batch:
            things = (found["masks"], found["class_ids"]) if found else None
            labels, classes = batch["input_gt_labels"][i], settings.semantic_head.thing_classes
            ids, segments = joined_segments(labels, classes, things)
            found |= {"segmentation": ids, "segments": segments}
        instances.append(found)
    return images, instances


def _instances(batch, i, mini_masks):
    """The instances of one image of a batch."""
    real = batch["input_gt_class_ids"][i] != 0
    boxes = batch["input_gt_boxes"][i][real].astype(int)
    masks = batch["input_gt_masks"][i][:, :, real]
    if mini_masks:
        masks = expand_mask(boxes, masks, batch["input_image"][i].shape)
    found = {"rois": boxes, "class_ids": batch["input_gt_class_ids"][i][real], "masks": masks}
    if "input_gt_keypoints" in batch:
        found["keypoints"] = batch["input_gt_keypoints"][i][real]
    return found


def truth_of(model, dataset, image_id, image):
    """The truth of an image as what the model finds there: instances, with keypoints or with a map
    where it finds those.

    Args:
        model: a `DetectionModel`.
        dataset: a prepared `Dataset`.
        image_id: int.
        image: as of `load_image`.

    Returns:
        dict as `mrcnn.visualize.draw_comparison` takes it.

    Raises:
        ValueError: annotations that training refuses too.
    """
    masks, class_ids = dataset.load_mask(image_id)
    truth = {"rois": extract_bboxes(masks), "class_ids": class_ids, "masks": masks}
    if model.finds_segments:
        truth |= load_map(dataset, image_id, image.shape)
    if model.settings.keypoint_head.enabled:
        truth["keypoints"] = load_keypoints(dataset, image_id, len(class_ids))
    return truth


def draw_validation(model, dataset, folder, score=0.0, count=8):
    """Writes `val_batch0_labels.jpg` and `val_batch0_pred.jpg`: the truth of the first pictures and
    what the model detects there.

    Args:
        model: a `DetectionModel`.
        dataset: a prepared `Dataset`.
        folder: path.
        score: float, the least of a detection that is drawn.
        count: int, pictures.
    """
    images, truths, proposals, skeleton = [], [], [], skeleton_of(dataset)
    given = wants_proposals(model)
    for image_id in dataset.image_ids[:count]:
        with contextlib.suppress(ValueError):  # evaluation names it, and leaves it out
            image = dataset.load_image(image_id)
            boxes = load_proposals(dataset, int(image_id)) if given else None
            truth = truth_of(model, dataset, image_id, image)
            for values, value in ((images, image), (truths, truth), (proposals, boxes)):
                values.append(value)
    if not images:
        return
    options = {"proposals": proposals} if given else {}
    found = [each.filter(each["scores"] >= score) for each in model.detect(images, **options)]
    for name, instances in (("labels", truths), ("pred", found)):
        path = Path(folder, f"val_batch0_{name}.jpg")
        draw_grid(images, instances, dataset.class_names, save_path=path, skeleton=skeleton)
