"""Fits a ResNet-50 Mask R-CNN from nothing to four nuclei images: can the whole of it learn?

python benchmarks/fit_nuclei.py --dataset DIR --output OUT

DIR is the data set of `samples/nucleus/nucleus.py`. Prints COCO's numbers of the detections with a
score of 0.5 or more, and leaves the checkpoints and an overlay of each image in OUT.
"""

import argparse
import sys
import time
from pathlib import Path

import machine
import keras
from skimage.io import imsave

sys.path.insert(0, str(machine.ROOT / "samples" / "nucleus"))

from nucleus import NucleusConfig, NucleusDataset

from mrcnn.evaluate import evaluate, format_table
from mrcnn.model import MaskRCNN
from mrcnn.visualize import draw_instances, random_colors


class FitConfig(NucleusConfig):
    """Crops of 256 x 256 at the images' own scale, from all four images in every batch.

    So the batch statistics of the dark and the bright images are those of the moving averages.
    """

    NAME = "fit"
    TRAIN_BN = True
    IMAGES_PER_GPU = 4
    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    IMAGE_MIN_SCALE = 1.0
    TOP_DOWN_PYRAMID_SIZE = 128
    RPN_CHANNELS = 256
    MASK_HEAD_CHANNELS = 128
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    TRAIN_ROIS_PER_IMAGE = 48
    ROI_ADD_GT = True
    ROI_FILL_NEGATIVES = True
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    RPN_NMS_THRESHOLD = 0.7
    DETECTION_MIN_CONFIDENCE = 0.5
    LEARNING_RATE = 0.02


class CachedNuclei(NucleusDataset):
    """Reads each image and its masks once: there are four."""

    def __init__(self):
        super().__init__()
        self.cache = {}

    def load_image(self, image_id):
        key = ("image", image_id)
        if key not in self.cache:
            self.cache[key] = super().load_image(image_id)
        return self.cache[key]

    def load_mask(self, image_id):
        key = ("mask", image_id)
        if key not in self.cache:
            self.cache[key] = super().load_mask(image_id)
        return self.cache[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="folder that holds stage1_train")
    parser.add_argument("--output", required=True, help="folder of checkpoints and overlays")
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()

    dataset = CachedNuclei()
    dataset.load_nucleus(args.dataset, "train", limit=4)
    dataset.prepare()
    config = FitConfig()
    config.STEPS_PER_EPOCH = args.steps
    model = MaskRCNN("training", config, args.output)
    start = time.time()
    warm_up = min(50, args.steps // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, args.steps - warm_up, warmup_target=config.LEARNING_RATE, warmup_steps=warm_up
    )
    model.train(dataset, None, rate, epochs=1, layers="all")
    print(f"{args.steps} steps in {(time.time() - start) / 60:.1f} minutes")

    print(format_table(evaluate(model, dataset, max_detections=config.DETECTION_MAX_INSTANCES)))
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        found = model.detect([image])[0]
        instances = found["rois"], found["masks"], found["class_ids"]
        colors = random_colors(len(found["rois"]))
        picture = draw_instances(image, *instances, colors=colors, show_bbox=False)
        imsave(Path(args.output) / f"{image_id}.png", picture, check_contrast=False)


if __name__ == "__main__":
    main()
