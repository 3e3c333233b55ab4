"""How fast `DataGenerator` makes batches, the memory it takes, and how soon the first one is there.

python benchmarks/data.py

Writes photos of 640 x 480 with 8 polygons each into a temporary folder and reads them as COCO, in
mode "square" at 1024 with mini masks. Images a second are those of the generator alone: Keras's
workers fill its queue and nothing uses the batches. Beside them stands the machine's own figure:
the same files decoded by Pillow on as many threads and nothing else done; and the rates of its
matrix products and convolutions, measured in the same run before and after. The processor's time of
an image tells how much of the cores the run was given: the two multiplied are the cores it had.

Of the masks it shows the memory at the peak between load_mask() and mini masks, beside what one
copy at full size takes, padding included, and what two do: a copy needs its source as well, which
at the least has no padding yet.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
import numpy as np

# What `fit` runs a PyDataset with; Keras has no public name for it.
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from PIL import Image

from mrcnn.augment import named
from mrcnn.config import Config
from mrcnn.data import Dataset
from mrcnn.data.formats.coco import CocoDataset
from mrcnn.image import extract_bboxes, minimize_mask, resize_image, resize_mask
from mrcnn.model import DataGenerator

HEIGHT, WIDTH, INSTANCES, FILES, CLASSES = 480, 640, 8, 64, 80


class BenchmarkConfig(Config):
    NAME = "benchmark"
    NUM_CLASSES = 1 + CLASSES
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MAX_DIM = 1024
    USE_MINI_MASK = True


def picture(rng):
    """Smooth colours with grain, so that a JPEG has as much to decode as a photo."""
    colours = rng.integers(0, 256, (15, 20, 3), np.uint8)
    smooth = Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 12, (HEIGHT, WIDTH, 1)) + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    return np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)


def polygon(rng):
    """An outline of 15 to 60 points, 30 to 300 pixels wide: [x, y, x, y, ...]."""
    count, radius = rng.integers(15, 61), 15 * 10 ** rng.random()
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    radii = radius * rng.uniform(0.7, 1.1, count)
    x = np.clip(rng.uniform(60, WIDTH - 60) + radii * np.cos(angles), 0, WIDTH)
    y = np.clip(rng.uniform(60, HEIGHT - 60) + radii * np.sin(angles), 0, HEIGHT)
    return np.stack([x, y], axis=1).ravel().round(2).tolist()


def write_pictures(folder, rng):
    (folder / "train2017").mkdir()
    (folder / "annotations").mkdir()
    for i in range(FILES):
        Image.fromarray(picture(rng)).save(folder / "train2017" / f"{i}.jpg", quality=90)


def write_annotations(folder, count, rng):
    """`count` images that share the files, each with outlines of its own."""
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": i, "file_name": f"{i % FILES}.jpg", **size} for i in range(count)]
    annotations = [
        {
            "id": i,
            "image_id": i // INSTANCES,
            "category_id": int(rng.integers(1, 1 + CLASSES)),
            "segmentation": [polygon(rng)],
            "iscrowd": 0,
        }
        for i in range(count * INSTANCES)
    ]
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, 1 + CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def coco(folder):
    dataset = CocoDataset()
    with contextlib.redirect_stdout(sys.stderr):  # pycocotools talks
        dataset.load_coco(folder, "train", 2017)
    dataset.prepare()
    return dataset


class Plain(Dataset):
    """The same files, added one by one; each instance is a rectangle."""

    def __init__(self, folder, count):
        super().__init__()
        for i in range(1, 1 + CLASSES):
            self.add_class("plain", i, f"class {i}")
        for i in range(count):
            path = str(folder / "train2017" / f"{i % FILES}.jpg")
            self.add_image("plain", i, path, boxes=[[9 * j, 9 * j, 99, 99] for j in range(8)])
        self.prepare()

    def load_mask(self, image_id):
        boxes = self.image_info[image_id]["boxes"]
        masks = np.zeros((HEIGHT, WIDTH, len(boxes)), bool)
        for i, (y, x, height, width) in enumerate(boxes):
            masks[y : y + height, x : x + width, i] = True
        return masks, np.arange(1, 1 + len(boxes), dtype=np.int32)


def run_workers(generator):
    """Yields the batches of an epoch as Keras's workers make them."""
    adapter = PyDatasetAdapter(generator)
    adapter.on_epoch_begin()
    try:
        yield from adapter.get_numpy_iterator()
    finally:
        adapter.on_epoch_end()


def measure(run, count, repeats):
    """Images a second and processor's ms an image, medians; `run` is called once before."""
    run()
    seconds, processor = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return count / statistics.median(seconds), 1000 * statistics.median(processor) / count


def generator_rates(dataset, config, images, repeats, augmentation):
    steps = max(1, images // config.BATCH_SIZE)
    generator = DataGenerator(dataset, config, augmentation=augmentation, steps=steps)
    paths = [info["path"] for info in dataset.image_info[:FILES]]

    def generate():
        for _ in run_workers(generator):
            pass

    def decode():
        with ThreadPoolExecutor(config.WORKERS) as pool:
            list(pool.map(lambda path: np.asarray(Image.open(path)), paths))

    rate, processor = measure(generate, steps * config.BATCH_SIZE, repeats)
    return {
        "images_per_second": rate,
        "processor_ms_per_image": processor,
        "pillow_decodes_per_second": measure(decode, len(paths), repeats)[0],
    }


def stages(dataset, config, repeats):
    """Median milliseconds of the parts of one image on one thread."""
    generator = DataGenerator(dataset, config)
    count, rng, seconds = min(FILES, len(dataset.image_ids)), np.random.default_rng(0), {}

    def timed(name, function, *arguments, **keywords):
        start = time.perf_counter()
        result = function(*arguments, **keywords)
        seconds.setdefault(name, []).append(time.perf_counter() - start)
        return result

    def shrink(masks, scale, padding, size):
        masks = resize_mask(masks, scale, padding, size=size)
        return minimize_mask(extract_bboxes(masks), masks, config.MINI_MASK_SHAPE)

    dims = {"min_dim": config.IMAGE_MIN_DIM, "max_dim": config.IMAGE_MAX_DIM}
    for image_id in list(range(count)) * repeats:
        image = timed("decode", dataset.load_image, image_id)
        masks, _ = timed("rasterise", dataset.load_mask, image_id)
        _, window, scale, padding, _ = timed("resize image", resize_image, image, **dims)
        size = (window[2] - window[0], window[3] - window[1])
        timed("masks: resize, boxes, cut", shrink, masks, scale, padding, size)
        sample = timed("all but the batch", generator._load_image, image_id, rng)
        timed("mold, batch", generator._collate, [sample])
    return {name: 1000 * statistics.median(times) for name, times in seconds.items()}


def mask_copies(dataset, config):
    """MB of masks at the peak from load_mask() to mini masks, and of one and two copies of them."""
    masks, _ = dataset.load_mask(0)
    dims = {"min_dim": config.IMAGE_MIN_DIM, "max_dim": config.IMAGE_MAX_DIM}
    resized, window, scale, padding, _ = resize_image(dataset.load_image(0), **dims)
    size = (window[2] - window[0], window[3] - window[1])
    tracemalloc.start()
    masks = resize_mask(masks, scale, padding, size=size)
    minimize_mask(extract_bboxes(masks), masks, config.MINI_MASK_SHAPE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one = INSTANCES * resized.shape[0] * resized.shape[1]
    two = one + INSTANCES * size[0] * size[1]
    return {"masks_mb": {"at the peak": peak / 1e6, "one copy": one / 1e6, "two": two / 1e6}}


def resident_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("expected VmRSS in /proc/self/status: resident memory needs Linux")


def memory(dataset, config, count):
    """Resident MB after a tenth, half and all of `count` images, with what the queue holds."""
    steps = count // config.BATCH_SIZE
    found = {}
    for step, (batch,) in enumerate(run_workers(DataGenerator(dataset, config, steps=steps)), 1):
        del batch
        if step in (steps // 10, steps // 2, steps):
            found[str(step * config.BATCH_SIZE)] = resident_mb()
    return found


def first_batches(folder, config, count):
    """Seconds from making a data set to its first batch."""
    seconds = {}
    for name, make in (("CocoDataset", coco), ("add_image", lambda path: Plain(path, count))):
        start = time.perf_counter()
        batches = run_workers(DataGenerator(make(folder), config))
        next(batches)
        seconds[name] = time.perf_counter() - start
        batches.close()
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128, help="of one timed run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--long", type=int, default=5000, help="images of the long run; 0: no run")
    parser.add_argument(
        "--many", type=int, default=20_000, help="images of the large data set; 0: none"
    )
    parser.add_argument(
        "--augment", default="none", metavar="NAME", help="of the images a second: photo, lsj, ..."
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()

    config, rng = BenchmarkConfig(), np.random.default_rng(0)
    before = machine.rates()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder, rng)
        write_annotations(folder, max(FILES, args.long), rng)
        dataset = coco(folder)
        found = {
            "workers": config.WORKERS,
            **generator_rates(dataset, config, args.images, args.repeats, named(args.augment)),
            "stages_ms": stages(dataset, config, args.repeats),
            **mask_copies(dataset, config),
        }
        if args.long:
            found["resident_mb_after"] = memory(dataset, config, args.long)
        if args.many:
            write_annotations(folder, args.many, rng)
            found["first_batch_s"] = first_batches(folder, config, args.many)
    rates = machine.best_rates(before, machine.rates())
    gflops = {name: rate / 1e9 for name, rate in rates.items()}
    if args.json:
        result = {"machine": machine.describe(), "rates_gflops": gflops, **found}
        print(json.dumps(result, indent=2))
        return
    print(f"{as_text(found)}\n{machine.show_rates(gflops)}\n{machine.describe()}")


def as_text(found):
    lines = []
    for name, value in found.items():
        values = value if isinstance(value, dict) else {"": value}
        lines += [f"{f'{name} {key}':45} {number:10.1f}" for key, number in values.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
