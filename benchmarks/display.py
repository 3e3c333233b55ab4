"""How long 100 instances on a picture of 1024 x 1024 take to draw.

python benchmarks/display.py

Prints the median seconds of several runs: `display_instances` into a file with `save_path`, the
same with a `savefig` of one's own at the figure's resolution, and `draw_instances` into an array.
"""

import argparse
import json
import statistics
import tempfile
import time

import machine
import matplotlib
import numpy as np
from skimage import data
from skimage.draw import ellipse
from skimage.transform import resize

from mrcnn import utils, visualize

SIDE, COUNT = 1024, 100


def scene():
    """A photo with labelled ellipses of 30 to 120 pixels."""
    rng = np.random.default_rng(0)
    masks = np.zeros((SIDE, SIDE, COUNT), bool)
    for i in range(COUNT):
        center, radii = rng.uniform(60, SIDE - 60, 2), rng.uniform(15, 60, 2)
        masks[(*ellipse(*center, *radii, shape=(SIDE, SIDE)), i)] = True
    image = (resize(data.astronaut(), (SIDE, SIDE)) * 255).astype(np.uint8)
    class_ids, scores = rng.integers(1, 81, COUNT), rng.uniform(0.5, 1, COUNT)
    names = ["BG", *(f"class {i}" for i in range(80))]
    return image, utils.extract_bboxes(masks), masks, class_ids, names, scores


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    instances = scene()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/drawn.png"

        def own_savefig():
            visualize.display_instances(*instances).figure.savefig(path)
            plt.close("all")

        ways = {
            "display_instances(save_path=...)": lambda: visualize.display_instances(
                *instances, save_path=path
            ),
            "display_instances, savefig": own_savefig,
            "draw_instances": lambda: visualize.draw_instances(*instances),
        }
        seconds = {}
        for name, draw in ways.items():
            draw()  # fonts and caches
            times = []
            for _ in range(args.repeats):
                start = time.perf_counter()
                draw()
                times.append(time.perf_counter() - start)
            seconds[name] = statistics.median(times)
    if args.json:
        print(json.dumps({"machine": machine.describe(), "seconds": seconds}, indent=2))
        return
    for name, value in seconds.items():
        print(f"{name:34} {value:6.2f} s")
    print(machine.describe())


if __name__ == "__main__":
    main()
