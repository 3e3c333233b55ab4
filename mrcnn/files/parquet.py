"""The package that reads and writes Parquet, imported when it is needed."""

import importlib


def import_pyarrow(what):
    """The package `pyarrow`, with its readers of Parquet and CSV.

    Args:
        what: str, what needs it, for the message.

    Raises:
        ImportError: it is not installed; the message says how it is had.
    """
    try:
        for module in ("parquet", "csv"):
            importlib.import_module(f"pyarrow.{module}")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ImportError(
            f"{what} need pyarrow, which is not installed: pip install 'mrcnn[parquet]', or pip "
            "install '.[parquet]' in a clone"
        ) from None
