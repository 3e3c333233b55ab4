"""Things and stuff in one map, by MaX-DeepLab: train, evaluate, draw.

python samples/panoptic/panoptic.py train
python samples/panoptic/panoptic.py evaluate --weights last
python samples/panoptic/panoptic.py train --dataset DIR --weights coco
python samples/panoptic/panoptic.py draw --dataset DIR --weights last --output maps

Without a data set it takes shapes over two kinds of ground, which need no file. DIR is a folder in
COCO's panoptic layout, or Cityscapes', with subsets train and val.
"""

import argparse
import sys
from pathlib import Path

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.augment import FlipLeftRight  # noqa: E402
from mrcnn.presets import PRESETS  # noqa: E402
from mrcnn.startup import quiet  # noqa: E402

PRESET = "deeplab2/max_deeplab_s_os16_res641_100k"


class PanopticConfig(PRESETS[PRESET]):
    """Training from public weights: few pictures at a time, so statistics stay as they are."""

    NAME = "panoptic"
    IMAGES_PER_GPU = 2
    OPTIMIZER = "adamw"
    LEARNING_RATE = 0.0001
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 500


def load_datasets(folder):
    """Returns the training and the validation set, prepared."""
    if folder is None:
        from mrcnn.demo_family import MEMBERS

        member = MEMBERS["max_deeplab"]
        return member.pictures(2000, seed=0), member.pictures(50, seed=1)
    from mrcnn.data import load

    return tuple(load(folder, format="coco_panoptic", subset=subset) for subset in ("train", "val"))


def config_for(folder, dataset):
    """The config of a data set."""
    if folder is None:
        from mrcnn.demo_family import MEMBERS

        return MEMBERS["max_deeplab"].config()
    config = PanopticConfig()
    config.NUM_CLASSES, config.NUM_STUFF_CLASSES = dataset.num_classes, dataset.num_stuff_classes
    return config


def train(model, datasets, epochs):
    """Trains every layer, and logs PQ after each epoch."""
    from mrcnn.training.evaluation import EvaluateCallback

    training, validation = datasets
    model.train(
        training,
        validation,
        model.config.LEARNING_RATE,
        epochs=epochs,
        layers="all",
        augmentation=FlipLeftRight(0.5),
        custom_callbacks=[EvaluateCallback(model, validation)],
    )


def evaluate(model, dataset):
    """Prints panoptic quality, of all and of each class."""
    from mrcnn.evaluate import evaluate_panoptic

    scores = evaluate_panoptic(model, dataset)
    rows = [("all", scores.scores()), *((x["name"], x) for x in scores.per_class())]
    print(f"{'':20}     PQ     SQ     RQ")
    for name, row in rows:
        print(f"{name:20} {100 * row['PQ']:6.1f} {100 * row['SQ']:6.1f} {100 * row['RQ']:6.1f}")


def draw(model, dataset, output, count=8):
    """Writes pictures of the truth beside what is found."""
    from mrcnn.demo_family import draw_pairs

    Path(output).mkdir(parents=True, exist_ok=True)
    path = Path(output) / "panoptic.png"
    draw_pairs(model, dataset, dataset.image_ids[:count], save_path=path)
    print(f"Wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["train", "evaluate", "draw"])
    parser.add_argument("--dataset", help="a folder; without it shapes over grounds are drawn")
    parser.add_argument("--weights", help="'last', 'coco', or a file")
    parser.add_argument("--logs", default=str(ROOT_DIR / "logs"))
    parser.add_argument("--output", default="maps", help="folder of drawn pictures")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="training batches in an epoch")
    args = parser.parse_args()
    if args.command != "train" and args.weights is None:
        parser.error(f"{args.command} needs --weights: 'last' or the path of a checkpoint")

    quiet.install()
    from mrcnn.model import MaXDeepLab

    datasets = load_datasets(args.dataset)
    config = config_for(args.dataset, datasets[0])
    config.STEPS_PER_EPOCH = args.steps or config.STEPS_PER_EPOCH
    mode = "training" if args.command == "train" else "inference"
    model = MaXDeepLab(mode, config, args.logs)
    if args.weights:
        model.load_weights(model.find_last() if args.weights == "last" else args.weights)
    if args.command == "train":
        train(model, datasets, args.epochs)
    elif args.command == "evaluate":
        evaluate(model, datasets[1])
    else:
        draw(model, datasets[1], args.output)


if __name__ == "__main__":
    main()
