"""The table of `mrcnn benchmark`: as text, `benchmark.csv` and `benchmark.png`.

A row is a dict: `name`, `format`, `precision`, `status`; where it was measured `megabytes`,
`milliseconds`, `images_per_second`, `memory_megabytes`, and `scores` where it was scored.
"""

import csv
from pathlib import Path

import numpy as np

from mrcnn.evaluate.tables import percent
from mrcnn.visualize.benchmark_plot import plot_benchmark

_NUMBERS = {
    "megabytes": ("MB", "{:.1f}"),
    "milliseconds": ("ms", "{:.0f}"),
    "images_per_second": ("images/s", "{:.2f}"),
    "memory_megabytes": ("memory MB", "{:.0f}"),
}


def format_benchmark(rows):
    """The rows as a table, scores in percent, the reasons of failures below it.

    Example:

    >>> print(format_benchmark([{"name": "onnx", "status": "failed: no tf2onnx"}]))
    row    status   MB   ms  images/s  memory MB
    onnx   failed    -    -         -          -
    <BLANKLINE>
    onnx failed: no tf2onnx
    """
    scores = score_names(rows)
    table = [["row", "status", *(head for head, _ in _NUMBERS.values()), *scores]]
    for row in rows:
        numbers = [_cell(row.get(key), form) for key, (_, form) in _NUMBERS.items()]
        found = main_scores(row)
        values = [percent(found.get(name, np.nan)) for name in scores]
        table.append([row["name"], row["status"].partition(":")[0], *numbers, *values])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    reasons = [f"{row['name']} {row['status']}" for row in rows if ":" in row["status"]]
    return "\n".join([*lines, *([""] if reasons else []), *reasons])


def _cell(value, form):
    return "-" if value is None else form.format(value)


def main_scores(row):
    """The first number of each kind of a row's scores: {"segm AP": 0.57}."""
    scores = row.get("scores", {})
    return {
        f"{kind} {name}": values[name] for kind, values in scores.items() for name in [*values][:1]
    }


def score_names(rows):
    """The names of all rows' `main_scores`."""
    return list(dict.fromkeys(name for row in rows for name in main_scores(row)))


def write_benchmark(rows, folder):
    """Writes `benchmark.csv`, and `benchmark.png` where a row was measured; returns their paths."""
    folder, names = Path(folder), score_names(rows)
    table = folder / "benchmark.csv"
    fields = ["name", "format", "precision", "status", *_NUMBERS, *names]
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, **main_scores(row)} for row in rows)
    measured = [row for row in rows if "milliseconds" in row]
    if not measured:
        return [table]
    picture = folder / "benchmark.png"
    plot_benchmark(
        [row["name"] for row in measured],
        {
            "ms an image": [row["milliseconds"] for row in measured],
            "images a second": [row["images_per_second"] for row in measured],
            "memory, MB": [row["memory_megabytes"] for row in measured],
            "file, MB": [row["megabytes"] for row in measured],
        }
        | {
            f"{name}, %": [100 * main_scores(row).get(name, np.nan) for row in measured]
            for name in names
        },
        save_path=picture,
    )
    return [table, picture]
