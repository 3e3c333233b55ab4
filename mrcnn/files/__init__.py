"""Bytes to arrays: weight files of every library, and downloads. No model is known here."""

from mrcnn.files.reading import read_arrays

__all__ = ["read_arrays"]
