"""What fewer bits cost: COCO's numbers of one set of weights in float32 and in bfloat16.

python benchmarks/precision.py --output OUT
python benchmarks/precision.py --output OUT --nuclei DIR --checkpoint FILE

The first trains the demo in either precision with one seed, and scores each in both on 500
pictures that it has not seen. The second scores a checkpoint of `train_nuclei.py` on its
validation pictures.
"""

import argparse
import json
import sys
import time

import machine
import keras
import train_nuclei

from mrcnn.data.shapes import ShapesDataset
from mrcnn.demo import DemoConfig, train_demo
from mrcnn.evaluate import evaluate
from mrcnn.model import MaskRCNN

PRECISIONS = ("float32", "mixed_bfloat16")


def config_of(base, precision):
    config = base()
    config.PRECISION = precision
    return config


def score(base, checkpoint, dataset, output):
    """Scores of a checkpoint by precision."""
    found = {}
    for precision in PRECISIONS:
        model = MaskRCNN("inference", config_of(base, precision), output)
        model.load_weights(checkpoint)
        limit = model.config.DETECTION_MAX_INSTANCES
        scores = evaluate(model, dataset, max_detections=limit)
        found[precision] = {
            f"{kind} {name}": numbers[name]
            for kind, numbers in scores.items()
            for name in ("AP", "AP50", "AP75")
        }
    return found


def train_and_score(args):
    """Scores by the precision of training, then by that of detection."""
    pictures = ShapesDataset()
    pictures.load_shapes(args.pictures, *DemoConfig().IMAGE_SHAPE[:2], seed=12345)
    pictures.prepare()
    found = {}
    for precision in PRECISIONS:
        start = time.time()
        config = config_of(DemoConfig, precision)
        model, _ = train_demo(args.output, args.steps, args.seed, config=config)
        print(f"trained in {precision}: {time.time() - start:.0f} seconds", file=sys.stderr)
        found[precision] = score(DemoConfig, model.find_last(), pictures, args.output)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--nuclei", metavar="DIR", help="folder that holds stage1_train")
    parser.add_argument("--checkpoint", help="of train_nuclei.py")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()
    keras.utils.disable_interactive_logging()

    if args.nuclei:
        dataset = train_nuclei.load(args.nuclei, "val")
        scores = score(train_nuclei.TrainNucleiConfig, args.checkpoint, dataset, args.output)
        found = {"nuclei": scores}
    else:
        found = train_and_score(args)
    if args.json:
        print(json.dumps({"machine": machine.describe(), "scores": found}, indent=2))
        return
    for trained, by_precision in found.items():
        for precision in PRECISIONS:
            numbers = ", ".join(f"{k} {100 * v:.2f}" for k, v in by_precision[precision].items())
            print(f"{trained}, detecting in {precision}: {numbers}")
    print(machine.describe())


if __name__ == "__main__":
    main()
