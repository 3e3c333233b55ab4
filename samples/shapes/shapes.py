"""Train on procedural squares, circles and triangles, or detect them; no file is needed.

python samples/shapes/shapes.py train --epochs 2 --steps 50
python samples/shapes/shapes.py detect --weights last
"""

import argparse
import sys
from pathlib import Path

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.data.shapes import (  # noqa: E402
    ShapesConfig,
    ShapesDataset,
)
from mrcnn.startup import quiet  # noqa: E402


def load_dataset(config, count, seed):
    """Returns a prepared dataset of `count` pictures of the configured size."""
    dataset = ShapesDataset()
    dataset.load_shapes(count, *config.IMAGE_SHAPE[:2], seed=seed)
    dataset.prepare()
    return dataset


def train(model, epochs):
    """Trains every layer on 500 pictures and validates on 50 others."""
    config = model.config
    training, validation = load_dataset(config, 500, 0), load_dataset(config, 50, 1)
    model.train(training, validation, config.LEARNING_RATE, epochs=epochs, layers="all")


def detect(model, path):
    """Prints COCO's numbers for 50 pictures and writes 8 of them beside their ground truth."""
    from mrcnn import evaluate, visualize
    from mrcnn.image import extract_bboxes

    dataset = load_dataset(model.config, 50, 2)
    print(evaluate.format_table(evaluate.evaluate(model, dataset)))
    images = [dataset.load_image(i) for i in range(8)]
    truths = []
    for masks, class_ids in map(dataset.load_mask, range(8)):
        truths.append({"rois": extract_bboxes(masks), "masks": masks, "class_ids": class_ids})
    names = dataset.class_names
    visualize.draw_comparison(images, truths, model.detect(images), names, save_path=path)
    print(f"Wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["train", "detect"])
    parser.add_argument("--steps", type=int, help="training batches in an epoch")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--logs", default=str(ROOT_DIR / "logs"))
    parser.add_argument("--weights", default=None, help="'last' or the path of a checkpoint")
    args = parser.parse_args()
    if args.command == "detect" and args.weights is None:
        parser.error("detect needs --weights: 'last' or the path of a checkpoint")

    quiet.install()
    from mrcnn.model import MaskRCNN

    config = ShapesConfig()
    config.TRAIN_BN = True  # random weights have no statistics worth freezing
    config.STEPS_PER_EPOCH = args.steps or config.STEPS_PER_EPOCH
    mode = "training" if args.command == "train" else "inference"
    model = MaskRCNN(mode=mode, config=config, model_dir=args.logs)
    if args.weights:
        model.load_weights(model.find_last() if args.weights == "last" else args.weights)
    if args.command == "train":
        train(model, args.epochs)
    else:
        detect(model, Path(args.logs) / "shapes.png")


if __name__ == "__main__":
    main()
