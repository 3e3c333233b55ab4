"""How long scoring takes, beside pycocotools' own evaluate and accumulate.

python benchmarks/evaluation.py

Synthetic detections of COCO's size: 5000 images of 480 x 640, 100 detections and about 7 objects
each, 80 classes, boxes and masks. In one run, one after the other in each round: pycocotools by
its own functions, of which evaluate and accumulate are the measure; `evaluate_detections`, which
also copies, checks and indexes what it is given; and the same with faster-coco-eval, if that is
installed. Prints ratios and the processor's seconds, those of all threads, so that other work on
the cores does not count; and whether the numbers are equal.
"""

import argparse
import contextlib
import copy
import importlib.util
import io
import json
import statistics
import time

import machine
import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from skimage.draw import ellipse

from mrcnn.evaluate import evaluate_detections
from mrcnn.evaluate.annotations import encode

HEIGHT, WIDTH, CLASSES = 480, 640, 80
SHAPES, VARIANTS = 150, 8  # outlines that images share, and likenesses of each


def outlines(rng):
    """Run-length codes [SHAPES][VARIANTS] of ellipses; the first of each is the object."""
    codes = []
    for _ in range(SHAPES):
        center = rng.uniform((40, 40), (HEIGHT - 40, WIDTH - 40))
        radii = np.exp(rng.uniform(np.log(6), np.log(150), 2))
        group = []
        for i in range(VARIANTS):
            moved = rng.normal(0, 0.04 * i * radii.mean(), 2)
            mask = np.zeros((HEIGHT, WIDTH), bool)
            mask[ellipse(*(center + moved), *(radii * rng.normal(1, 0.02 * i, 2)), mask.shape)] = 1
            mask[int(center[0]), int(center[1])] = True
            group.append(encode(mask))
        codes.append(group)
    return codes


def scene(images, detections, seed=0):
    """A ground truth and results in COCO's formats."""
    rng = np.random.default_rng(seed)
    codes = outlines(rng)
    boxes = [[mask_utils.toBbox(code).tolist() for code in group] for group in codes]
    truth = {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(images)],
        "categories": [{"id": i + 1, "name": f"class {i + 1}"} for i in range(CLASSES)],
        "annotations": [],
    }
    results = []
    for image_id in range(images):
        present = rng.integers(1, CLASSES + 1, 4)
        objects = [(rng.integers(SHAPES), rng.choice(present)) for _ in range(rng.poisson(7))]
        for shape, category_id in objects:
            code = codes[shape][0]
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": int(category_id),
                    "iscrowd": int(rng.random() < 0.01),
                    "area": int(mask_utils.area(code)),
                    "bbox": boxes[shape][0],
                    "segmentation": code,
                }
            )
        for _ in range(detections):
            if objects and rng.random() < 0.2:
                shape, category_id = objects[rng.integers(len(objects))]
            else:
                shape, category_id = rng.integers(SHAPES), rng.integers(1, CLASSES + 1)
            variant = rng.integers(VARIANTS)
            results.append(
                {
                    "image_id": image_id,
                    "category_id": int(category_id),
                    "bbox": boxes[shape][variant],
                    "score": float(rng.random()),
                    "segmentation": codes[shape][variant],
                }
            )
    return truth, results


def by_pycocotools(truth, results, kind):
    """Seconds of index and loadRes, and of evaluate and accumulate; the mean AP."""
    truth = copy.deepcopy(truth)
    results = [dict(each) for each in results]
    if kind == "bbox":
        for each in results:
            del each["segmentation"]  # else loadRes takes them for masks
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.process_time()
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        found = coco.loadRes(results)
        evaluation = COCOeval(coco, found, kind)
        ready = time.process_time()
        evaluation.evaluate()
        evaluation.accumulate()
        end = time.process_time()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return ready - start, end - ready, precision[precision > -1].mean()


def by_mrcnn(truth, results, kind, backend):
    """Seconds of `evaluate_detections`, and AP."""
    start = time.process_time()
    scores = evaluate_detections(truth, results, iou_types=[kind], backend=backend)
    return time.process_time() - start, scores[kind]["AP"]


def measure(truth, results, kind, backends, repeats):
    """Median seconds by what took them, and the AP of each way."""
    seconds, scores = {}, {}
    for _ in range(repeats):
        prepared, took, scores["pycocotools"] = by_pycocotools(truth, results, kind)
        seconds.setdefault("pycocotools, index and loadRes", []).append(prepared)
        seconds.setdefault("pycocotools", []).append(took)
        for backend in backends:
            took, scores[f"mrcnn, {backend}"] = by_mrcnn(truth, results, kind, backend)
            seconds.setdefault(f"mrcnn, {backend}", []).append(took)
    seconds = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "seconds": seconds,
        "ratio": {name: took / seconds["pycocotools"] for name, took in seconds.items()},
        "AP": {name: float(value) for name, value in scores.items()},
        "equal": bool(np.ptp(list(scores.values())) < 1e-11),  # ours is rounded to 12 places
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="of an image")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    faster = importlib.util.find_spec("faster_coco_eval") is not None
    backends = ("pycocotools", "faster") if faster else ("pycocotools",)
    truth, results = scene(args.images, args.detections)
    found = {"machine": machine.describe()}
    for kind in ("bbox", "segm"):
        found[kind] = measure(truth, results, kind, backends, args.repeats)
        if not args.json:
            print(f"{kind}, numbers {'equal' if found[kind]['equal'] else found[kind]['AP']}")
            for name, took in found[kind]["seconds"].items():
                print(f"  {name:32} {took:7.1f} s {found[kind]['ratio'][name]:6.2f}", flush=True)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    if not faster:
        print("without faster-coco-eval: pip install faster-coco-eval")
    print(found["machine"])


if __name__ == "__main__":
    main()
