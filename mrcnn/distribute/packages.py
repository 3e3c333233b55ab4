"""Packages of extras, imported when they are needed."""

import importlib

from mrcnn.files import parquet


def import_pyarrow():
    """The package `pyarrow`, with its readers of Parquet and CSV.

    Raises:
        ImportError: it is not installed; the message says how it is had.
    """
    return parquet.import_pyarrow("detections in Parquet")


def import_ray():
    """The package `ray`, with `ray.data`.

    Raises:
        ImportError: it is not installed; the message says how it is had.
    """
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError:
        raise ImportError(
            "--engine ray needs Ray, which is not installed: pip install 'mrcnn[ray]', or pip "
            "install '.[ray]' in a clone; --engine local needs none"
        ) from None
