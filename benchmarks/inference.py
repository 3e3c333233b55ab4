"""How near `detect` comes to the machine's arithmetic limit, stage by stage.

python benchmarks/inference.py
KERAS_BACKEND=jax python benchmarks/inference.py --sides 1024 --batch 8 --peer torchvision

ResNet-50 in matterport's numerics, 81 classes, 1000 proposals, 100 detections with masks, random
weights. The floor is the time that the network's multiply-adds take at the rate of this machine's
own float32 matrix product, measured in the same run before and after: at a ratio of 1 there is
nothing but matrix products, and bfloat16 can go below it. `detect` runs from uint8 images to
full-size masks. The stages run by themselves, compiled one by one, so they do not add up exactly.
"not folded" is the same stage with BatchNorm layers of their own, timed in turn with the other.
All times are medians after a warm-up.
"""

import argparse
import functools
import json

import machine
import keras
import numpy as np
import peer
from skimage import data
from skimage.transform import resize

from mrcnn.config import Config
from mrcnn.inference.unmold import unmold_detections
from mrcnn.layers.detections import ClassMasks
from mrcnn.model import MaskRCNN
from mrcnn.network import mask_rcnn
from mrcnn.network.folding import FoldedConv, fold_batch_norm
from mrcnn.network.trunk import build_trunk, default_policy
from mrcnn.settings import Settings

CLASSES = 81
# All that is neither the trunk nor a head.
PLUMBING = ("mold", "proposals", "RoIAlign 7x7", "detection", "RoIAlign 14x14", "unmold")


def make_config(side, precision, batch, xla):
    class BenchmarkConfig(Config):
        NAME = "benchmark"
        BACKBONE = "resnet50"
        NUM_CLASSES = CLASSES
        IMAGE_MIN_DIM = IMAGE_MAX_DIM = side
        IMAGES_PER_GPU = batch
        DETECTION_MIN_CONFIDENCE = 0.0
        PRECISION = precision
        JIT_COMPILE = xla

    return BenchmarkConfig()


def pictures(side, count):
    """Photos, uint8 [side, side, 3]."""
    photo = (resize(data.astronaut(), (side, side)) * 255).astype(np.uint8)
    return [np.roll(photo, 10 * i, axis=1) for i in range(count)]


def split(settings):
    """The network's tensors by name, and its stages: (stage, names of what goes in and out)."""
    trunk, heads = build_trunk(settings), mask_rcnn.build_heads(settings)
    levels = trunk["anchors"]["levels"]
    tensors = mask_rcnn.detection_stages(settings, trunk, heads, levels)
    logits = heads["mask"](tensors["mask_features"])["mrcnn_mask_logits"]
    tensors["masks"] = ClassMasks(name="class_masks")(logits, tensors["detections"])
    tensors |= {name: trunk[name] for name in ("input_image", "input_image_meta")}
    tensors |= {name: trunk[name] for name in ("rpn_class", "rpn_bbox")}
    tensors |= {f"P{i}": tensor for i, tensor in enumerate(trunk["pyramid"], 2)}
    tensors |= {f"anchors{i}": tensor for i, tensor in enumerate(levels, 2)}
    images = [tensors["input_image"], tensors["input_image_meta"]]
    whole = keras.Model(images, tensors["masks"])
    tensors["box_features"] = whole.get_layer("roi_align_classifier").output
    meta, rpn, boxes = "input_image_meta", ["rpn_class", "rpn_bbox"], ["mrcnn_class", "mrcnn_bbox"]
    pyramid, anchors = [f"P{i}" for i in range(2, 7)], [f"anchors{i}" for i in range(2, 7)]
    return tensors, [
        ("trunk", ["input_image", meta], [*pyramid, *rpn, *anchors]),
        ("proposals", [*rpn, *anchors, meta], ["rois"]),
        ("RoIAlign 7x7", ["rois", meta, *pyramid[:4]], ["box_features"]),
        ("box head", ["box_features"], boxes),
        ("detection", ["rois", *boxes, meta], ["detections"]),
        ("RoIAlign 14x14", ["detections", meta, *pyramid[:4]], ["mask_features"]),
        ("mask head", ["mask_features", "detections"], ["masks"]),
    ]


def build_stages(config):
    """The network's tensors by name, and by stage: its model, the folded one, what goes in and out.

    The folded one is None where there is nothing to fold.
    """
    stages = {}
    with default_policy(config.PRECISION):  # as in `detect`: folding makes layers
        tensors, parts = split(Settings.from_config(config))
        for stage, inputs, outputs in parts:
            plain = keras.Model([tensors[name] for name in inputs], [tensors[n] for n in outputs])
            folded = fold_batch_norm(plain)
            changed = any(isinstance(layer, FoldedConv) for layer in folded._flatten_layers())
            stages[stage] = plain, folded if changed else None, inputs, outputs
    return tensors, stages


def time_stages(config, model, images, repeats):
    """Each stage's seconds and multiply-adds for a batch, and what it found: two dicts."""
    time, (molded, metas, windows) = machine.seconds(lambda: model.mold_inputs(images), repeats)
    rows = {"mold": {"seconds": time, "macs": 0}}
    tensors, stages = build_stages(config)
    have = {"input_image": molded, "input_image_meta": metas}
    have = {name: keras.ops.convert_to_tensor(array) for name, array in have.items()}
    for stage, (plain, folded, inputs, outputs) in stages.items():
        given = [have[name] for name in inputs]
        runs = {
            name: functools.partial(machine.compiled_model(part, config.JIT_COMPILE), given)
            for name, part in {"plain": plain, "folded": folded}.items()
            if part
        }
        times = machine.in_turn(runs, repeats)
        last = runs.get("folded", runs["plain"])
        have |= dict(zip(outputs, last(), strict=True))
        shapes = [
            keras.Input(batch_shape=x.shape, dtype=tensors[name].dtype)
            for name, x in zip(inputs, given, strict=True)
        ]
        rows[stage] = {
            "seconds": times.get("folded", times["plain"]),
            "macs": sum(machine.multiply_adds(folded or plain, shapes).values()),
        }
        if folded:
            rows[stage]["unfolded_s"] = times["plain"]
    found = {
        name: keras.ops.convert_to_numpy(have[name]) for name in ("rois", "detections", "masks")
    }

    def unmold():
        return [
            unmold_detections(boxes, masks, image.shape, molded.shape[1:], window)
            for boxes, masks, image, window in zip(
                found["detections"], found["masks"], images, windows, strict=True
            )
        ]

    rows["unmold"] = {"seconds": machine.seconds(unmold, repeats)[0], "macs": 0}
    return rows, found


def measure(side, precision, args):
    """One size and precision: a dict of numbers."""
    config = make_config(side, precision, args.batch, args.xla)
    images = pictures(side, args.batch)
    model = MaskRCNN("inference", config, "logs")
    ways = {"ours": lambda: model.detect(images)}
    if args.peer:
        theirs = peer.detector(side, CLASSES, precision, images)
        ways["torchvision"] = lambda: theirs(images)
    dtypes = machine.rate_dtypes(precision)
    before = machine.rates(dtypes)
    times = machine.in_turn(ways, args.repeats)
    stages, found = time_stages(config, model, images, args.repeats)
    rates = machine.best_rates(before, machine.rates(dtypes))
    for stage in stages.values():
        count = stage.pop("macs")
        stage["gmac"] = count / 1e9
        stage["floor_s"] = 2 * count / rates["matmul float32"]
        stage["ratio"] = stage["seconds"] / stage["floor_s"] if count else None
    gmac = sum(stage["gmac"] for stage in stages.values())
    floor = 2e9 * gmac / rates["matmul float32"]
    dtype = keras.DTypePolicy(precision).compute_dtype
    result = {
        "side": side,
        "precision": precision,
        "batch": args.batch,
        "proposals": int((found["rois"] != 0).any(axis=-1).sum() / args.batch),
        "detections": int((found["detections"][..., 4] > 0).sum() / args.batch),
        "gmac": gmac,
        "rates_gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "floor_s": floor,
        "detect_s": times["ours"],
        "ratio": times["ours"] / floor,
        "images_per_s": args.batch / times["ours"],
        "achieved_gflops": 2 * gmac / times["ours"],
        "share_of_peak": 2e9 * gmac / times["ours"] / rates[f"matmul {dtype}"],
        "plumbing_share": sum(stages[name]["seconds"] for name in PLUMBING) / times["ours"],
        "stages": stages,
    }
    if args.peer:
        others = theirs(images)
        result |= {
            "torchvision_s": times["torchvision"],
            "times_torchvision": times["torchvision"] / times["ours"],
            "torchvision_proposals": sum(item["proposals"] for item in others) / args.batch,
            "torchvision_detections": sum(len(item["masks"]) for item in others) / args.batch,
        }
    return result


def show(result):
    print(
        f"\n{result['side']}x{result['side']} {result['precision']}, batch {result['batch']}: "
        f"{result['proposals']} proposals and {result['detections']} detections an image, "
        f"{result['gmac']:.0f} GMAC"
    )
    print(machine.show_rates(result["rates_gflops"]))
    print("| stage | ms | not folded, ms | floor, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for name, stage in result["stages"].items():
        cells = [f"{1000 * stage['seconds']:.1f}"]
        cells += [f"{1000 * stage['unfolded_s']:.1f}" if "unfolded_s" in stage else ""]
        if stage["ratio"]:
            cells += [f"{1000 * stage['floor_s']:.0f}", f"{stage['ratio']:.2f}"]
        else:
            cells += ["", ""]
        print(f"| {name} | {' | '.join(cells)} |")
    print(
        f"| **detect** | {1000 * result['detect_s']:.0f} | | {1000 * result['floor_s']:.0f} | "
        f"**{result['ratio']:.2f}** |\n"
        f"{result['images_per_s']:.2f} images/s, {result['achieved_gflops']:.0f} GFLOP/s, "
        f"{100 * result['share_of_peak']:.0f} % of the matrix product's rate in this precision; "
        f"neither trunk nor heads: {100 * result['plumbing_share']:.1f} %"
    )
    if "torchvision_s" in result:
        print(
            f"torchvision: {1000 * result['torchvision_s']:.0f} ms, "
            f"{result['times_torchvision']:.2f} times ours, with "
            f"{result['torchvision_proposals']:.0f} proposals and "
            f"{result['torchvision_detections']:.0f} detections an image"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 512])
    parser.add_argument(
        "--precisions", nargs="+", default=["float32", "mixed_bfloat16"], metavar="PRECISION"
    )
    parser.add_argument("--batch", type=int, default=1, help="images in one call and batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--xla", action="store_true", help="compile with XLA (JAX always does)")
    parser.add_argument("--peer", choices=["torchvision"], help="measured in turn with ours")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()
    if args.peer:
        peer.share_gpu()

    results = {"machine": machine.describe(), "results": []}
    for side in args.sides:
        for precision in args.precisions:
            keras.utils.set_random_seed(0)
            results["results"].append(measure(side, precision, args))
            if not args.json:
                show(results["results"][-1])
            keras.backend.clear_session()
    print(json.dumps(results, indent=2) if args.json else f"\n{results['machine']}")


if __name__ == "__main__":
    main()
