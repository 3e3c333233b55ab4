"""What each step and each composition of `mrcnn.augment` adds to making a batch, on one thread.

python benchmarks/augment.py

The processor's time of batches of one image at 512 x 512 from JPEGs of 640 x 480 with 8 polygons,
as of `benchmarks/data.py`. All are measured in turn, several times, and compared with the batches
without augmentation of the same turn: what else the machine does meets all of them. Every step
does something to every picture (`p` is 1); zooms come first, as in the compositions.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import data
import machine
import numpy as np

from mrcnn import augment
from mrcnn.augment.compositions import COMPOSITIONS
from mrcnn.model import DataGenerator

STEPS = {
    "FlipLeftRight": augment.FlipLeftRight(p=1),
    "FlipUpDown": augment.FlipUpDown(p=1),
    "Rotate90": augment.Rotate90(),
    "ScaleJitter": augment.ScaleJitter(),
    "LargeScaleJitter": augment.LargeScaleJitter(),
    "CopyPaste": augment.CopyPaste(p=1),
    "ColorJitter": augment.ColorJitter(),
    "GaussianBlur": augment.GaussianBlur(),
    "GaussianNoise": augment.GaussianNoise(),
    "JPEGCompression": augment.JPEGCompression(),
    "StainJitter": augment.StainJitter(),
    "ElasticTransform": augment.ElasticTransform(),
}


class AugmentConfig(data.BenchmarkConfig):
    IMAGES_PER_GPU = 1
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 512


def processor_seconds(generator):
    """Of the processor, to make all batches of a `DataGenerator`."""
    start = time.process_time()
    for index in range(len(generator)):
        generator[index]
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=48, help="of one turn")
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()

    config, rng = AugmentConfig(), np.random.default_rng(0)
    augmentations = STEPS | {name: augment.named(name) for name in COMPOSITIONS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data.write_pictures(folder, rng)
        data.write_annotations(folder, data.FILES, rng)
        dataset = data.coco(folder)
        generators = {
            name: DataGenerator(dataset, config, augmentation=step, steps=args.images)
            for name, step in augmentations.items()
        }
        seconds = {name: [] for name in generators}
        for turn in range(1 + args.turns):
            for name, generator in generators.items():
                spent = processor_seconds(generator)
                if turn:  # the first warms up
                    seconds[name].append(spent)
    plain = seconds["none"]
    print(f"{'':20} ms of an image, percent more than none (median, least and most of the turns)")
    for name, spent in seconds.items():
        more = [100 * (mine / other - 1) for mine, other in zip(spent, plain, strict=True)]
        ms = 1000 * statistics.median(spent) / args.images
        print(
            f"{name:20} {ms:6.1f} {statistics.median(more):6.0f} {min(more):6.0f} {max(more):6.0f}"
        )
    print(machine.describe())


if __name__ == "__main__":
    main()
