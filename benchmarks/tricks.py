"""What each trick of the literature changes, on shapes: AP of boxes and masks after equal steps.

python benchmarks/tricks.py
python benchmarks/tricks.py plain "OHEM" --seeds 1 --updates 200

The demonstration's network learns from nothing. A seed draws weights and pictures alike for all
rows; `plain` is what they are compared with. A row is the keys that it changes: add those of
another trick to ROWS. One that changes detection alone is scored after a training of its own all
the same, so that every row costs and means the same.
"""

import argparse
import tempfile
import time

import machine
import keras
import numpy as np

from mrcnn.augment import named
from mrcnn.demo import DemoConfig, shapes
from mrcnn.evaluate import evaluate
from mrcnn.model import create

HARD = {"TRAIN_ROIS_PER_IMAGE": 128}  # all proposals; plain has 32
ROWS = {  # name: keys
    "plain": {},
    "more negatives": HARD,  # the candidates of OHEM, of which all train
    "OHEM": {**HARD, "OHEM_ROIS_PER_IMAGE": 32},
    "GIoU": {"BBOX_LOSS": "giou"},
    "DIoU": {"BBOX_LOSS": "diou"},
    "focal loss": {"CLASS_LOSS": "focal"},
    "focal loss, 4 times": {"CLASS_LOSS": "focal", "LOSS_WEIGHTS": {"mrcnn_class_loss": 4.0}},
    "GroupNorm": {"NORM": "group"},
    "synchronised BatchNorm": {"NORM": "sync_batch"},  # here one device
    "one mask for all classes": {"MASK_CLASS_AGNOSTIC": True},
    "one box for all classes": {"BOX_CLASS_AGNOSTIC": True},
    "RoI max pooling": {"ROI_ALIGN_MODE": "roi_pool"},
    "spatial pyramid": {"SPP_LEVELS": (6, 3, 2, 1)},
    "dilated C5": {
        "ARCHITECTURE": "dc5",
        "BACKBONE_STRIDES": [16],
        "RPN_ANCHOR_SCALES": ((24, 32, 48, 64, 96),),
    },
    "soft-NMS, linear": {"DETECTION_NMS": "linear"},
    "soft-NMS, Gaussian": {"DETECTION_NMS": "gaussian"},
    "NMS over all classes": {"DETECTION_NMS_CLASS_AGNOSTIC": True},
    "test-time flip": {"TEST_FLIP": True},
    "test-time flip and scales": {"TEST_FLIP": True, "TEST_SCALES": (1, 1.5)},
}
PICTURES, UNSEEN, EPOCHS = 100, 200, 4
SCORES = (("bbox", "AP"), ("bbox", "AP50"), ("segm", "AP"), ("segm", "AP50"))


class TricksConfig(DemoConfig):
    LEARNING_RATE = 0.02
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 60


def config_of(keys, updates):
    """The config of a row, for so many updates; its warm-up is a tenth of them at most."""
    config = TricksConfig()
    config.STEPS_PER_EPOCH = max(1, updates // EPOCHS)
    config.WARMUP_STEPS = min(config.WARMUP_STEPS, updates // 10)
    for key, value in keys.items():
        setattr(config, key, value)
    return config


def score(keys, seed, updates, unseen):
    """`SCORES` on pictures that it has not seen, in percent, and the seconds of the training."""
    keras.utils.set_random_seed(seed)
    config = config_of(keys, updates)
    datasets = [shapes(n, config, 2 * seed + i) for i, n in enumerate((PICTURES, unseen))]
    with tempfile.TemporaryDirectory() as folder:
        model, start = create("training", config, folder), time.time()
        model.train(
            *(datasets[0], None, config.LEARNING_RATE, EPOCHS, "all"), augmentation=named("flip")
        )
        seconds = time.time() - start
        found = evaluate(model, datasets[1], max_detections=config.DETECTION_MAX_INSTANCES)
    return [100 * found[kind][name] for kind, name in SCORES] + [seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"some of {list(ROWS)}; default: all")
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--unseen", type=int, default=UNSEEN, help="pictures of the scores")
    args = parser.parse_args()
    unknown = sorted(set(args.rows) - set(ROWS))
    if unknown:
        parser.error(f"no rows {unknown}; expected some of {list(ROWS)}")
    keras.utils.disable_interactive_logging()
    print(machine.describe())
    print("| | box AP | AP50 | mask AP | AP50 | seconds |\n| --- | --- | --- | --- | --- | --- |")
    for name in args.rows or ROWS:
        seeds = range(args.seeds)
        found = np.array([score(ROWS[name], seed, args.updates, args.unseen) for seed in seeds])
        box, box50, mask, mask50, seconds = found.mean(axis=0)
        each = [", ".join(f"{ap:.1f}" for ap in found[:, column]) for column in (0, 2)]
        cells = [name, f"{box:.1f} ({each[0]})", f"{box50:.1f}", f"{mask:.1f} ({each[1]})"]
        print("|", " | ".join([*cells, f"{mask50:.1f}", f"{seconds:.0f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
