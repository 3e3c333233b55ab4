"""Instances as the rows of a table."""

import csv

from mrcnn.data.class_names import class_name

COLUMNS = ("instance", "class_id", "class_name", "score", "y1", "x1", "y2", "x2", "area")
_DECIMALS = {"score": 4, "y1": 2, "x1": 2, "y2": 2, "x2": 2, "y": 2, "x": 2}


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


def point_columns(count):
    """Names of the columns of so many keypoints: "point1_y", "point1_x", "point1_score", ..."""
    return [f"point{i}_{part}" for i in range(1, count + 1) for part in ("y", "x", "score")]


def write_csv(file, rows, columns=COLUMNS):
    """Writes rows to an open text file: scores with 4 decimals, coordinates with 2."""
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    places = {name: _DECIMALS.get(name.rpartition("_")[2]) for name in columns}
    for row in rows:
        rounded = {name: f"{row[name]:.{n}f}" for name, n in places.items() if n is not None}
        writer.writerow({**row, **rounded})
