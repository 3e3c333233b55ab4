"""Are our functions on masks at least as fast as the old way of writing them?

python benchmarks/old_ways.py

The old way is written out below: a loop over instances that looks at whole planes, the library's
resize of float masks, and one product of all pixels. Both run in turn, on the same masks, and the
table shows the median of several runs. The scenes: "objects" has ellipses of 30 to 300 pixels and
predictions that are a few pixels off; "noise" has masks of random pixels all over the image.
"""

import argparse
import json
import statistics
import time

import machine
import numpy as np
from skimage.draw import ellipse
from skimage.transform import resize

from mrcnn import utils

MINI_SHAPE, MASK_SHAPE = (56, 56), (28, 28)


def old_extract_bboxes(masks):
    boxes = np.zeros((masks.shape[-1], 4), np.int32)
    for i in range(masks.shape[-1]):
        plane = masks[:, :, i]
        columns = np.where(np.any(plane, axis=0))[0]
        rows = np.where(np.any(plane, axis=1))[0]
        if len(columns):
            boxes[i] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return boxes


def old_resize(mask, size):
    return resize(mask.astype(float), size, order=1, mode="constant", anti_aliasing=False)


def old_minimize_mask(boxes, masks, mini_shape):
    minis = np.zeros((*mini_shape, masks.shape[-1]), bool)
    for i in range(masks.shape[-1]):
        y1, x1, y2, x2 = boxes[i]
        patch = masks[:, :, i].astype(bool)[y1:y2, x1:x2]
        minis[:, :, i] = np.around(old_resize(patch, mini_shape)).astype(bool)
    return minis


def old_expand_mask(boxes, minis, image_shape):
    masks = np.zeros((*image_shape[:2], minis.shape[-1]), bool)
    for i in range(minis.shape[-1]):
        y1, x1, y2, x2 = boxes[i]
        patch = old_resize(minis[:, :, i], (y2 - y1, x2 - x1))
        masks[y1:y2, x1:x2, i] = np.around(patch).astype(bool)
    return masks


def old_unmold_mask(mask, box, image_shape):
    y1, x1, y2, x2 = box
    patch = resize(mask, (y2 - y1, x2 - x1), order=1, mode="constant", anti_aliasing=False)
    full = np.zeros(image_shape[:2], bool)
    full[y1:y2, x1:x2] = np.where(patch >= 0.5, 1, 0).astype(bool)
    return full


def old_overlaps_masks(masks1, masks2):
    flat1 = np.reshape(masks1 > 0.5, (-1, masks1.shape[-1])).astype(np.float32)
    flat2 = np.reshape(masks2 > 0.5, (-1, masks2.shape[-1])).astype(np.float32)
    area1, area2 = np.sum(flat1, axis=0), np.sum(flat2, axis=0)
    common = np.dot(flat1.T, flat2)
    return common / (area1[:, None] + area2[None, :] - common)


def old_ap(gt_ids, gt_masks, pred_ids, scores, pred_masks):
    order = np.argsort(scores)[::-1]
    pred_ids, pred_masks = pred_ids[order], pred_masks[..., order]
    overlaps = old_overlaps_masks(pred_masks, gt_masks)
    pred_match, taken = np.full(len(pred_ids), -1), np.zeros(len(gt_ids), bool)
    for i in range(len(pred_ids)):
        for j in np.argsort(overlaps[i])[::-1]:
            if taken[j]:
                continue
            if overlaps[i, j] < 0.5:
                break
            if pred_ids[i] == gt_ids[j]:
                pred_match[i], taken[j] = j, True
                break
    hits = np.cumsum(pred_match > -1)
    precisions = np.concatenate([[0], hits / (np.arange(len(hits)) + 1), [0]])
    recalls = np.concatenate([[0], hits / len(gt_ids), [1]])
    for i in range(len(precisions) - 2, -1, -1):
        precisions[i] = max(precisions[i], precisions[i + 1])
    steps = np.where(recalls[:-1] != recalls[1:])[0] + 1
    return np.sum((recalls[steps] - recalls[steps - 1]) * precisions[steps])


def objects(count, side, rng):
    """Ellipses [side, side, count], and the same a few pixels off."""
    masks = np.zeros((2, side, side, count), bool)
    for i in range(count):
        radii = rng.integers(15, min(150, side // 3), 2)
        center = rng.integers(radii, side - radii)
        for plane, shift in zip(masks, (np.zeros(2), rng.integers(-8, 9, 2)), strict=True):
            plane[(*ellipse(*(center + shift), *radii, shape=(side, side)), i)] = True
    return masks


def noise(count, side, rng):
    return rng.random((2, side, side, count), np.float32) > 0.5


def cases(truth, predictions, rng):
    """Rows of a name, the old way, ours, and whether two results are equal."""
    count, shape = truth.shape[-1], truth.shape[:2]
    boxes, pred_boxes = (old_extract_bboxes(masks) for masks in (truth, predictions))
    minis = old_minimize_mask(boxes, truth, MINI_SHAPE)
    probs = np.stack([resize(mini.astype(np.float32), MASK_SHAPE) for mini in minis.T])
    pairs = list(zip(probs, boxes, strict=True))
    ids, scores = rng.integers(1, 4, count), rng.random(count)
    old = (ids, truth, ids, scores, predictions)
    ours = (boxes, ids, truth, pred_boxes, ids, scores, predictions)
    same, close = np.array_equal, lambda a, b: np.allclose(a, b, atol=1e-6)
    return [
        (
            "extract_bboxes",
            lambda: old_extract_bboxes(truth),
            lambda: utils.extract_bboxes(truth),
            same,
        ),
        (
            "minimize_mask",
            lambda: old_minimize_mask(boxes, truth, MINI_SHAPE),
            lambda: utils.minimize_mask(boxes, truth, MINI_SHAPE),
            same,
        ),
        (
            "expand_mask",
            lambda: old_expand_mask(boxes, minis, shape),
            lambda: utils.expand_mask(boxes, minis, shape),
            same,
        ),
        (
            "unmold_mask",
            lambda: [old_unmold_mask(*pair, shape) for pair in pairs],
            lambda: [utils.unmold_mask(*pair, shape) for pair in pairs],
            same,
        ),
        (
            "compute_overlaps_masks",
            lambda: old_overlaps_masks(predictions, truth),
            lambda: utils.compute_overlaps_masks(predictions, truth),
            close,
        ),
        ("compute_ap", lambda: old_ap(*old), lambda: utils.compute_ap(*ours)[0], close),
    ]


def measure(old, ours, repeats):
    """Median seconds of both, run in turn."""
    seconds = [], []
    for _ in range(repeats):
        for times, function in zip(seconds, (old, ours), strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=50)
    parser.add_argument("--side", type=int, default=1024, help="of the square image, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()

    rows = []
    if not args.json:
        print(
            "| scene | function | old way, ms | ours, ms | ratio |\n| --- | --- | --- | --- | --- |"
        )
    for scene in (objects, noise):
        rng = np.random.default_rng(0)
        truth, predictions = scene(args.instances, args.side, rng)
        for name, old, ours, equal in cases(truth, predictions, rng):
            if not equal(old(), ours()):
                raise SystemExit(f"{name}: the two ways differ on {scene.__name__}")
            before, after = (1000 * value for value in measure(old, ours, args.repeats))
            rows.append(
                {
                    "scene": scene.__name__,
                    "function": name,
                    "old_ms": before,
                    "ours_ms": after,
                    "ratio": before / after,
                }
            )
            if not args.json:
                numbers = f"{before:.1f} | {after:.1f} | {before / after:.1f}"
                print(f"| {scene.__name__} | {name} | {numbers} |", flush=True)
    if args.json:
        print(json.dumps({"machine": machine.describe(), "rows": rows}, indent=2))
        return
    print(f"\n{machine.describe()}")


if __name__ == "__main__":
    main()
