"""Instances as the rows of a table."""

import csv

from mrcnn.data.class_names import class_name

COLUMNS = ("instance", "class_id", "class_name", "score", "y1", "x1", "y2", "x2", "area")
_DECIMALS = {"score": 4, "y1": 2, "x1": 2, "y2": 2, "x2": 2}


def instance_row(instance, class_id, class_names, score, box, area):
    """Returns a row, dict by `COLUMNS`.

    Args:
        instance: int, its number in the image from 1 on, its value in a label image.
        class_id: int.
        class_names: list by class id, or None.
        score: float.
        box: y1 x1 y2 x2 in pixels.
        area: int, the pixels of its mask, or None without one.
    """
    y1, x1, y2, x2 = map(float, box)
    name = class_name(class_id, class_names)
    values = int(instance), int(class_id), name, float(score), y1, x1, y2, x2, area
    return dict(zip(COLUMNS, values, strict=True))


def write_csv(file, rows, columns=COLUMNS):
    """Writes rows to an open text file: scores with 4 decimals, coordinates with 2."""
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        rounded = {name: f"{row[name]:.{places}f}" for name, places in _DECIMALS.items()}
        writer.writerow({**row, **rounded})
