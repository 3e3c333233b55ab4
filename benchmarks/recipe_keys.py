"""What each key of a recipe changes, on shapes: mask AP after equal steps.

python benchmarks/recipe_keys.py
python benchmarks/recipe_keys.py --seeds 1 --only "cosine + EMA" "cosine + lsj"
python benchmarks/recipe_keys.py --accumulation

The demonstration's network learns from 100 pictures, so that augmentation has something to add. A
seed draws weights and pictures alike for all rows. --accumulation compares the losses of batches of
4 with those of 4 batches of 1 to an update; there is nothing drawn in these, and the 4 pictures are
the same one, so that each has the same part in every loss.
"""

import argparse
import tempfile

import machine
import keras
import numpy as np

from mrcnn.augment import named
from mrcnn.data.shapes import ShapesDataset
from mrcnn.demo import DemoConfig, shapes
from mrcnn.evaluate import evaluate
from mrcnn.model import MaskRCNN

COSINE = {"LEARNING_SCHEDULE": "cosine", "WARMUP_STEPS": 60}
ROWS = {  # name: (keys, augmentation)
    "constant rate": ({}, "flip"),
    "constant + warm-up": ({"WARMUP_STEPS": 60}, "flip"),
    "constant + EMA": ({"EMA_MOMENTUM": 0.98}, "flip"),
    "multistep": ({"LEARNING_SCHEDULE": "multistep", "WARMUP_STEPS": 60}, "flip"),
    "one-cycle": ({"LEARNING_SCHEDULE": "one_cycle"}, "flip"),
    "cosine": (COSINE, "flip"),
    "cosine + EMA": ({**COSINE, "EMA_MOMENTUM": 0.98}, "flip"),
    "cosine + AdamW": (
        {**COSINE, "OPTIMIZER": "adamw", "LEARNING_RATE": 1e-3, "WEIGHT_DECAY": 0.05},
        "flip",
    ),
    "cosine, batches of 1": ({**COSINE, "IMAGES_PER_GPU": 1}, "flip"),
    "cosine, 4 batches of 1": (
        {**COSINE, "IMAGES_PER_GPU": 1, "ACCUMULATION_STEPS": 4, "BBOX_LOSS_NORMALIZER": "sampled"},
        "flip",
    ),
    "cosine, a batch of 4": ({**COSINE, "BBOX_LOSS_NORMALIZER": "sampled"}, "flip"),
    "cosine, no augmentation": (COSINE, "none"),
    "cosine + lsj": (COSINE, "lsj"),
    "cosine + copypaste": (COSINE, "copypaste"),
}
PICTURES, UNSEEN, EPOCHS = 100, 200, 4


class KeysConfig(DemoConfig):
    LEARNING_RATE = 0.02


def config_of(keys):
    config = KeysConfig()
    for key, value in keys.items():
        setattr(config, key, value)
    return config


def train(config, dataset, augmentation, updates, folder, epochs=EPOCHS):
    """A model that was trained from nothing by so many updates, and Keras's history."""
    batches = updates * config.ACCUMULATION_STEPS
    config.STEPS_PER_EPOCH = batches // epochs
    model = MaskRCNN("training", config, folder)
    history = model.train(
        *(dataset, None, config.LEARNING_RATE, epochs, "all"), augmentation=augmentation
    )
    return model, history.history


def score(keys, augmentation, seed, updates):
    """Mask AP and AP50 on pictures that it has not seen, in percent."""
    keras.utils.set_random_seed(seed)
    config = config_of(keys)
    seen, unseen = (shapes(n, config, 2 * seed + i) for i, n in enumerate((PICTURES, UNSEEN)))
    with tempfile.TemporaryDirectory() as folder:
        model, _ = train(config, seen, named(augmentation), updates, folder)
        scores = evaluate(model, unseen, max_detections=config.DETECTION_MAX_INSTANCES)["segm"]
    return 100 * scores["AP"], 100 * scores["AP50"]


class Same(ShapesDataset):
    """One picture, four times."""

    def load_shapes(self, count, height, width, seed=0):
        super().load_shapes(1, height, width, seed)
        self.image_info *= count


def compare_accumulation(updates=10):
    """Prints the losses before each update, of batches of 4 and of 1.

    The rate is small: with large updates rounding soon moves a proposal across a threshold.
    """
    whole = {"RPN_TRAIN_ANCHORS_PER_IMAGE": 10_000, "TRAIN_ROIS_PER_IMAGE": 1000}
    whole["LEARNING_RATE"] = 1e-4
    found = {}
    for batch, steps in ((4, 1), (1, 4)):
        keras.utils.set_random_seed(0)
        config = config_of({**whole, "IMAGES_PER_GPU": batch, "ACCUMULATION_STEPS": steps})
        dataset = Same()
        dataset.load_shapes(4, *config.IMAGE_SHAPE[:2])
        dataset.prepare()
        with tempfile.TemporaryDirectory() as folder:
            found[batch] = train(config, dataset, None, updates, folder, epochs=updates)[1]
    for name, losses in found[4].items():
        if name.endswith("loss"):
            gap = np.max(np.abs(np.subtract(losses, found[1][name])) / np.maximum(losses, 1e-6))
            print(f"{name}: {losses[0]:.4f} to {losses[-1]:.4f}, relative gap at most {gap:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--accumulation", action="store_true")
    args = parser.parse_args()
    keras.utils.disable_interactive_logging()
    print(machine.describe())
    if args.accumulation:
        compare_accumulation()
        return
    print("| | mask AP | AP50 |\n| --- | --- | --- |")
    for name in args.only:
        found = np.array([score(*ROWS[name], seed, args.updates) for seed in range(args.seeds)])
        each = ", ".join(f"{ap:.1f}" for ap in found[:, 0])
        print(f"| {name} | {found[:, 0].mean():.1f} ({each}) | {found[:, 1].mean():.1f} |")


if __name__ == "__main__":
    main()
