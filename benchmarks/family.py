"""Whether each member of the family learns: shapes, from nothing, on a CPU.

python benchmarks/family.py --member cascade
python benchmarks/family.py --member c4 --steps 800 --seed 1

The demonstration's small network and pictures, in the member's architecture; the COCO scores are
those of 50 pictures that it has not seen.
"""

import argparse
import tempfile
import time

import machine
import keras

from mrcnn.demo import GOOD, STEPS, DemoConfig, train_demo
from mrcnn.evaluate import evaluate, format_table


class CascadeConfig(DemoConfig):
    ARCHITECTURE = "cascade_rcnn"
    BOX_CLASS_AGNOSTIC = True


class C4Config(DemoConfig):
    ARCHITECTURE = "c4"
    BACKBONE_STRIDES = [16]  # noqa: RUF012
    RPN_ANCHOR_SCALES = ((24, 32, 48, 64, 96),)
    POOL_SIZE = 14
    MASK_HEAD_CONV_LAYERS = 0


MEMBERS = {"mask_rcnn": DemoConfig, "cascade": CascadeConfig, "c4": C4Config}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--member", choices=MEMBERS, required=True)
    parser.add_argument("--steps", type=int, default=STEPS, help="of 4 pictures, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(machine.describe())
    config, start = MEMBERS[arguments.member](), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model, unseen = train_demo(folder, arguments.steps, arguments.seed, GOOD, config)
    seconds, steps = time.perf_counter() - start, int(model.keras_model.optimizer.iterations)
    scores = evaluate(model, unseen, max_detections=config.DETECTION_MAX_INSTANCES)
    print(f"{arguments.member}: {steps} steps in {seconds:.0f} seconds, {keras.backend.backend()}")
    print(format_table(scores))


if __name__ == "__main__":
    main()
