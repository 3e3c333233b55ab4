"""`check`: a data set, and what is wrong with it."""

import collections
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mrcnn.config import Config
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.checking import statistics
from mrcnn.data.checking.findings import BOX_ALONE, Finding, Report
from mrcnn.data.checking.pictures import check_picture, warnings_by_thread
from mrcnn.data.loading import load
from mrcnn.settings import Settings

SMALL, LARGE = 32, 96  # sides of COCO's small and large objects, pixels


def check_path(path, config=None, progress=None, **options):
    """Checks the files of a data set, all subsets; what `load` would raise is a finding.

    Args:
        path, **options: as of `mrcnn.data.load`.
        config, progress: as of `check`.

    Returns:
        The data set without what cannot be read, and its `Report`; None and a report of one error
        where nothing can be read.
    """
    notes = Notes(strict=False)
    try:
        dataset = load(path, notes=notes, verbose=0, config=config, **options)
    except ValueError as error:
        found = [Finding("error", "entry that cannot be used", "", x) for x in notes.errors]
        found.append(Finding("error", "annotations that cannot be read", "", str(error)))
        return None, Report(str(path), {}, found, {})
    return dataset, check(dataset, config, progress, notes, str(path))


def check(dataset, config=None, progress=None, notes=None, name=""):
    """Checks a prepared `Dataset` of any kind. It reads every picture.

    Args:
        dataset: its pictures may be of several subsets, by "subset" of `image_info`.
        config: `Config` that it is to be trained with, by default that of matterport.
        progress: function of how many pictures are done, and of how many there are; or None.
        notes: `Notes` of what reading the annotations met.
        name: str, what the report calls the data set.

    Returns:
        `Report`.

    Example:

    >>> print(mrcnn.data.load("balloon").check())  # doctest: +SKIP
    """
    settings = Settings.from_config(config or Config())
    notes = notes or Notes(strict=False)
    with warnings_by_thread(), ThreadPoolExecutor(settings.runtime.workers) as pool:
        records = []
        for record in pool.map(lambda i: check_picture(dataset, i), range(dataset.num_images)):
            records.append(record)
            if progress:
                progress(len(records), dataset.num_images)
    found = [Finding("error", "entry that cannot be used", "", text) for text in notes.errors]
    found += [Finding("warning", "left out", "", text) for text in notes.messages()]
    found += [finding for record in records for finding in record.findings]
    found += _check_outlines_alone(dataset, settings)
    objects = statistics.class_counts(records, dataset.num_classes)["objects"]
    found += statistics.check_names(dataset.class_names, objects)
    most = settings.ground_truth.max_instances
    found += statistics.check_counts(records, dataset.thing_names, most)
    found += statistics.check_repeats(records)
    sides, factors = statistics.network_sides(records, settings)
    found += statistics.check_sizes(sides, factors, settings.image.max_dim)
    return Report(
        name or type(dataset).__name__,
        _facts(dataset, records, sides, factors, settings),
        found,
        statistics.suggestions(sides, records, settings),
    )


def _check_outlines_alone(dataset, settings):
    alone = getattr(dataset, "without_outline", None) if settings.mask_head.enabled else None
    if alone:
        text = (
            f"the first is {alone}: set USE_MASK = False to train boxes, or take the boxes for "
            "masks (--box-masks, dataset.box_masks = True)"
        )
        yield Finding("error", BOX_ALONE, "", text)


def _facts(dataset, records, sides, factors, settings):
    """What was counted: names and values that JSON can hold."""
    counts = statistics.class_counts(records, dataset.num_classes)
    per_picture = [int((record.class_ids > 0).sum()) for record in records]
    subsets = {}
    for record in records:
        subsets[record.subset or "all"] = subsets.get(record.subset or "all", 0) + 1
    roots = np.sqrt(sides.prod(axis=1))
    per_class = collections.Counter()  # two classes may have one name
    for name, count in zip(dataset.class_names[1:], counts["objects"][1:], strict=True):
        per_class[name] += int(count)
    fit = statistics.anchor_fit(sides, settings.anchors.scales, settings.anchors.ratios)
    return {
        "pictures": subsets,
        "pictures without objects": per_picture.count(0),
        "objects": int(counts["objects"].sum()),
        "crowds": int(counts["crowds"].sum()),
        "objects of each class": dict(per_class),
        "objects in a picture": _spread(per_picture),
        "root of a picture's area": _spread([math.sqrt(x.height * x.width) for x in records]),
        "percent of a picture's pixels that IMAGE_MAX_DIM loses": _spread(
            100 * statistics.lost_shares(factors)
        ),
        "root of a box's area in the network": _spread(roots),
        "small, medium and large there": {
            "small": int((roots < SMALL).sum()),
            "medium": int(((roots >= SMALL) & (roots < LARGE)).sum()),
            "large": int((roots >= LARGE).sum()),
        },
        "objects that an anchor fits": f"{100 * fit:.0f} %",
    }


def _spread(values):
    """Least, median and most, as a text."""
    if not len(values):
        return "none"
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f"{low:.4g} to {high:.4g}, half of them {middle:.4g} or more"
