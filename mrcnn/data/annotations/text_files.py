"""Texts and YAML files of annotations."""

import reprlib

import yaml


def read_text(path):
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: it cannot be read, or is in another encoding; names the file.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a text in UTF-8, but it cannot be read as one ({error}); save it "
            "as UTF-8"
        ) from error


def read_yaml(path):
    """The content of a YAML file of plain values: no tag makes an object of Python.

    Raises:
        ValueError: it is no YAML; names the file.
    """
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except Exception as error:  # its constructors raise what comes, as `!!int x` a KeyError
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{path}: expected YAML, but it is none ({type(error).__name__}: {reason}); correct it"
        ) from error


def shown(value):
    """A value of any size and depth in few characters, for a message."""
    return reprlib.repr(value)[:100]
