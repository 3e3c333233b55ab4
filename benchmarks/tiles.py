"""A slide made of pictures, detected in by tiles, against its pictures one by one.

python benchmarks/tiles.py --dataset DIR --weights FILE

DIR is the data set of `samples/nucleus/nucleus.py`, or any folder of pictures. They are laid out in
a slide, a TIFF in tiles, which `mrcnn.inference.detect_to_folder` reads region by region. Printed
are the objects in the slide and the sum over its pictures; what became of the objects on seams,
those that the edge of a tile crosses; and the peak memory of a process that detects in one batch of
tiles twice, and of one that detects in the slide and writes all but masks. The weights must know
their config, as checkpoints of this library do; KEY=VALUE sets other keys.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import machine  # noqa: F401  finds mrcnn, before Keras
import numpy as np
import tifffile

from mrcnn.cli.config_arguments import split_assignments
from mrcnn.config_values import apply_assignments
from mrcnn.image import CroppedMasks, PageReader, to_model_image
from mrcnn.image.tiles import tile_regions
from mrcnn.inference.inputs import find_sources
from mrcnn.weights.file_config import class_names_of, config_of

MASKS = "masks"  # folders of a data set that hold no pictures


def load_pictures(folder):
    """The pictures of a folder as RGB, lowest first."""
    sources = [x for x in find_sources(folder) if MASKS not in Path(x.path).parts]
    pictures = []
    for source in sources:
        with PageReader(source.path) as pages:
            pictures.append(to_model_image(pages.read(0)))
    return sorted(pictures, key=lambda picture: picture.shape[:2])


def lay_out(pictures, size):
    """Fills a square with rows of pictures, again and again.

    Returns:
        The slide uint8 [size, size, 3], and list of (number of the picture, top, left).
    """
    slide, placed = np.zeros((size, size, 3), np.uint8), []
    top = left = number = row = 0
    while top < size:
        picture = pictures[number % len(pictures)]
        height, width = picture.shape[:2]
        if left + width > size:
            top, left, row = top + row, 0, 0
        if top + height > size:
            if number % len(pictures) == 0:
                break  # not even the lowest fits below
            number += -number % len(pictures)  # the others are higher
            continue
        slide[top : top + height, left : left + width] = picture
        placed.append((number % len(pictures), top, left))
        left, row, number = left + width, max(row, height), number + 1
    return slide, placed


def build(weights, assignments, **keys):
    """A model of weights that know their config."""
    from mrcnn.model import create

    config = apply_assignments(config_of(weights), assignments)
    for key, value in keys.items():
        setattr(config, key, value)
    model = create("inference", config, "logs")
    model.load_weights(weights)
    model.class_names = class_names_of(weights)
    return model


def one_by_one(weights, assignments, pictures):
    """What is found in each picture by itself: list of masks, `CroppedMasks`."""
    largest = max(max(picture.shape[:2]) for picture in pictures)
    model = build(weights, assignments, TILE_SIZE=largest, TILE_OVERLAP=None)  # nothing is cut
    return [found["masks"] for found in model.detect(pictures, stream=True)]


def one_batch(weights, assignments, slide):
    """Detects twice in a batch of the slide's first tiles; returns the peak memory in MB."""
    model = build(weights, assignments)
    tiles, size = model.settings.tiles, model.settings.runtime.batch_size
    with tifffile.TiffFile(slide) as file:
        regions = tile_regions(*file.pages[0].shape[:2], tiles.size, tiles.least_overlap)
    from mrcnn.image import open_regions

    opened = open_regions(slide)
    batch = [opened[y1:y2, x1:x2] for y1, x1, y2, x2 in regions[:size]]
    for _ in range(2):
        model.detect(batch)
    return peak()


def whole_slide(weights, assignments, slide, out):
    """Detects in the slide; returns the seconds and the peak memory in MB."""
    from mrcnn.inference import detect_to_folder

    model = build(weights, assignments)
    start = time.monotonic()
    detect_to_folder(model, slide, out, resume=False)
    return time.monotonic() - start, peak()


def peak():
    """The largest memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seams(placed, found_in, slide_masks, regions):
    """What became of the objects of the pictures: counts by what happened, on seams and elsewhere.

    Args:
        placed: as of `lay_out`.
        found_in: list of `CroppedMasks` by picture.
        slide_masks: `CroppedMasks` of the slide.
        regions: of the tiles.
    """
    inner = [
        {x for x in sides if 0 < x < limit}
        for sides, limit in (
            ([y for region in regions for y in region[::2]], slide_masks.shape[0]),
            ([x for region in regions for x in region[1::2]], slide_masks.shape[1]),
        )
    ]
    kinds = ("once", "twice", "cut", "missed")
    counts = {place: dict.fromkeys(kinds, 0) for place in ("on seams", "elsewhere")}
    for number, top, left in placed:
        masks = found_in[number]
        for box, patch in zip(masks.boxes, masks.patches, strict=True):
            y1, x1, y2, x2 = (box + np.tile([top, left], 2)).tolist()
            crossed = any(y1 < y < y2 for y in inner[0]) or any(x1 < x < x2 for x in inner[1])
            kind = _what_became(patch, (y1, x1, y2, x2), slide_masks)
            counts["on seams" if crossed else "elsewhere"][kind] += 1
    return counts


def _what_became(patch, box, masks):
    y1, x1, y2, x2 = box
    near = (masks.boxes[:, :2] < (y2, x2)).all(axis=1) & (masks.boxes[:, 2:] > (y1, x1)).all(axis=1)
    area, covers = np.count_nonzero(patch), []
    for i in np.flatnonzero(near):
        other = np.count_nonzero(masks.patches[i])
        both = np.count_nonzero(masks.region(i, box) & patch)
        if both >= 0.5 * min(area, other):
            covers.append((both / area, other))
    if not covers:
        return "missed"
    if len(covers) > 1:
        return "twice"
    return "once" if covers[0][0] >= 0.5 else "cut"


def read_masks(out):
    """The masks of a folder of detections of one picture, `CroppedMasks`."""
    from mrcnn.data.annotations.run_lengths import decode_part

    content = json.loads((out / "detections.json").read_text())
    (image,) = content["images"]
    boxes, patches = [], []
    from pycocotools import mask as mask_utils

    for each in content["annotations"]:
        x, y, width, height = (int(side) for side in mask_utils.toBbox(each["segmentation"]))
        boxes.append((y, x, y + height, x + width))
        patches.append(decode_part(each["segmentation"], boxes[-1]))
    return CroppedMasks(image["height"], image["width"], boxes, patches)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="folder of pictures")
    parser.add_argument("--weights", required=True, help="a checkpoint of this library")
    parser.add_argument("--size", type=int, default=6000, help="side of the slide")
    parser.add_argument("--output", default="tiles", help="folder of the slide and what is found")
    options, assignments = split_assignments(sys.argv[1:])
    args = parser.parse_args(options)
    if not any(text.startswith("TILE_SIZE=") for text in assignments):
        assignments += ["TILE_SIZE=512", "TILE_OVERLAP=128"]

    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    pictures = load_pictures(args.dataset)
    image, placed = lay_out(pictures, args.size)
    slide = str(output / "slide.tif")
    tifffile.imwrite(slide, image, tile=(256, 256), photometric="rgb", compression="zlib")
    del image
    print(f"{args.size} x {args.size}: {len(placed)} pictures, {len(pictures)} different ones")

    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        batch = pool.apply(one_batch, (args.weights, assignments, slide))
        seconds, whole = pool.apply(
            whole_slide, (args.weights, assignments, slide, output / "found")
        )
        print(f"peak memory: one batch of tiles {batch:.0f} MB, the slide {whole:.0f} MB")
        print(f"the slide is {100 * (whole / batch - 1):+.1f} %, in {seconds:.0f} s")
        used = sorted({number for number, _, _ in placed})
        found = pool.apply(one_by_one, (args.weights, assignments, [pictures[i] for i in used]))
    found_in = dict(zip(used, found, strict=True))
    masks = read_masks(output / "found")
    total = sum(len(found_in[number].patches) for number, _, _ in placed)
    print(f"objects: slide {len(masks.patches)}, its pictures one by one {total}")
    print(f"the slide has {100 * (len(masks.patches) / total - 1):+.2f} %")
    tiles = dict(text.split("=") for text in assignments if text.startswith("TILE_"))
    size = int(tiles["TILE_SIZE"])
    overlap = int(tiles.get("TILE_OVERLAP", size // 4))
    regions = tile_regions(args.size, args.size, size, overlap)
    for place, counts in seams(placed, found_in, masks, regions).items():
        text = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        print(f"objects of the pictures {place}: {text}")


if __name__ == "__main__":
    main()
