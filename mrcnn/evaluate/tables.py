"""Scores as text."""

import numpy as np


def format_table(scores):
    """Returns the result of `evaluate` as small tables, in percent; "-" where there is none."""
    return "\n".join(map(_format_table, by_columns(scores)))


def by_columns(scores):
    """The scores as a list of dicts, each of those that share names of numbers."""
    groups = []
    for kind, values in scores.items():
        sharing = (each for each in groups if values.keys() & set(column_names(each)))
        group = next(sharing, None)
        if group is None:
            group = {}
            groups.append(group)
        group[kind] = values
    return groups


def column_names(scores):
    """The names of all numbers, in the order in which they come."""
    return list(dict.fromkeys(name for values in scores.values() for name in values))


def _format_table(scores):
    names = column_names(scores)
    cell = max(7, *(len(name) + 1 for name in names))
    width = max(6, *(len(iou_type) for iou_type in scores))
    lines = [" " * width + "".join(f"{name:>{cell}}" for name in names)]
    for iou_type, values in scores.items():
        cells = "".join(f"{percent(values.get(name, np.nan)):>{cell}}" for name in names)
        lines.append(f"{iou_type:<{width}}{cells}")
    return "\n".join(lines)


def format_class_table(rows):
    """Returns the result of `Evaluation.per_class` as a table, scores in percent.

    Example:

    >>> print(format_class_table([{"name": "cat", "AP": 0.5, "objects": 7}]))
    class       AP  objects
    cat       50.0        7
    """
    names = [name for name in rows[0] if name not in ("id", "name")] if rows else []
    width = max([len("class"), *(len(str(row["name"])) for row in rows)])
    widths = [max(7, len(name)) for name in names]
    lines = [f"{'class':<{width}}" + _cells(names, widths)]
    for row in rows:
        values = [row[name] for name in names]
        cells = [percent(value) if isinstance(value, float) else str(value) for value in values]
        lines.append(f"{row['name']:<{width}}" + _cells(cells, widths))
    return "\n".join(lines)


def percent(value):
    """Returns a share in percent with one decimal; "-" for nan."""
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _cells(cells, widths):
    return "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
