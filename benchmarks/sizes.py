"""What images of many sizes cost, and what size itself costs.

python benchmarks/sizes.py

ResNet-50 in matterport's numerics, random weights, all through `detect` with full-size masks:
images of as many sizes against as many of one size, 8 images of 256x256 in one call against 8
calls, and square images of 512, 1024 and 2048 pixels.
"""

import argparse
import json
import math
import time

import machine
import inference
import keras
import numpy as np
from skimage import data

from mrcnn.model import MaskRCNN

LARGEST = 512  # side of the images of many sizes
PADDED = {"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": LARGEST}
MODES = {
    "square": {},
    "pad64": PADDED,
    "pad64, buckets": PADDED | {"IMAGE_BUCKETS": [(320, 512), (512, 320), (512, 512)]},
}


def build(side, batch, precision, keys=()):
    config = inference.make_config(side, precision, batch, False)
    for key, value in dict(keys).items():
        setattr(config, key, value)
    return MaskRCNN("inference", config, "logs")


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def many_sizes(keys, args):
    """Seconds of `detect` for images of many sizes, and for as many of one size.

    The one size is that of the images, or where they are padded to different shapes, a square
    of as many pixels as these have on average, to the next multiple of 64.
    """
    photo = data.astronaut()
    sides = np.random.default_rng(0).permutation(np.arange(192, LARGEST + 1))[: 2 * args.images]
    many = [photo[:height, :width] for height, width in sides.reshape(-1, 2)]
    model = build(LARGEST, args.batch, args.precision, keys)
    seconds = {"first": timed(lambda: model.detect(many))}
    molded = [model.mold_inputs([image])[0].shape[1:3] for image in many]
    side = 64 * math.ceil(math.sqrt(np.mean([h * w for h, w in molded])) / 64)
    one = [photo[:side, :side]] * args.images
    model.detect(one[: 2 * args.batch])  # compiles, like the first time of the others
    seconds |= {"many": timed(lambda: model.detect(many)), "one": timed(lambda: model.detect(one))}
    pixels = sum(h * w for h, w in molded)
    return {
        "molded_shapes": len(set(molded)),
        "first_s": seconds["first"],
        "many_s": seconds["many"],
        "one_s": seconds["one"],
        "pixels_many_by_one": pixels / (args.images * side**2),
        "ratio": seconds["many"] / seconds["one"],
    }


def small_images(args):
    """Seconds of 8 images of 256x256 in one call and in 8 calls, batches of 8 and of 1."""
    images = inference.pictures(256, 8)
    together, alone = (build(256, batch, args.precision) for batch in (8, 1))
    ways = {
        "one_call": lambda: together.detect(images),
        "eight_calls": lambda: [alone.detect([image]) for image in images],
    }
    times = machine.in_turn(ways, args.repeats)
    return times | {"gain": times["eight_calls"] / times["one_call"]}


def by_side(args):
    """Seconds of one image by its side."""
    found = {}
    for side in (512, 1024, 2048):
        model, images = build(side, 1, args.precision), inference.pictures(side, 1)
        found[side] = machine.in_turn(
            {"detect": lambda m=model, x=images: m.detect(x)}, args.repeats
        )["detect"]
        keras.backend.clear_session()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="and sizes; at most 160")
    parser.add_argument("--batch", type=int, default=1, help="images in a batch of many sizes")
    parser.add_argument("--modes", nargs="*", default=[*MODES], choices=MODES, help="of many sizes")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()

    result = {"machine": machine.describe(), "many_sizes": {}}
    for mode in args.modes:
        row = result["many_sizes"][mode] = many_sizes(MODES[mode], args)
        keras.backend.clear_session()
        if not args.json:
            print(
                f"{args.images} images of {args.images} sizes, {mode}: {row['molded_shapes']} "
                f"molded shapes, first time {row['first_s']:.1f} s, then {row['many_s']:.1f} s; "
                f"of one size {row['one_s']:.1f} s: ratio {row['ratio']:.2f} with "
                f"{row['pixels_many_by_one']:.2f} times the pixels",
                flush=True,
            )
    small = result["small_images"] = small_images(args)
    sides = result["by_side"] = by_side(args)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"8 images of 256x256: one call {small['one_call']:.2f} s, 8 calls "
        f"{small['eight_calls']:.2f} s: {small['gain']:.2f} times as fast"
    )
    for side, seconds in sides.items():
        ratio = seconds / sides[512] / (side / 512) ** 2
        print(f"{side}x{side}: {seconds:.2f} s, {ratio:.2f} of 512's for each pixel")
    print(result["machine"])


if __name__ == "__main__":
    main()
