"""Packages of extras, imported when they are needed."""

import importlib


def import_pyarrow():
    """The package `pyarrow`, with its readers of Parquet and CSV.

    Raises:
        ImportError: it is not installed; the message says how it is had.
    """
    try:
        for module in ("parquet", "csv"):
            importlib.import_module(f"pyarrow.{module}")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ImportError(
            "detections in Parquet need pyarrow, which is not installed: pip install "
            "'mrcnn[parquet]', or pip install '.[parquet]' in a clone"
        ) from None


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
