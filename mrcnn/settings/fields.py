"""Fields of settings: which key of a `Config` each comes from, and how it is read.

A field made by `numerics` is one that weights depend on, and that a preset therefore fixes: the
threshold of torchvision's NMS, say. `Settings.numerics` lists them, to compare two families.
"""

import dataclasses

import numpy as np

from mrcnn.config import Config

stage = dataclasses.dataclass(frozen=True, kw_only=True)


def key(name, convert=None, *, numeric=False):
    """A field that comes from the key `name` of a `Config`, through `convert`."""
    convert = convert or plain
    metadata = {"key": name, "convert": convert, "numeric": numeric}
    return dataclasses.field(default=convert(getattr(Config, name)), metadata=metadata)


def numerics(name, convert=None):
    """As `key`, of what a preset fixes."""
    return key(name, convert, numeric=True)


def plain(value):
    """A value of a `Config` as numbers, strings and tuples, which can be compared and saved."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def floats(value):
    return tuple(float(x) for x in value)


class Stage:
    """What all stages share: the way from a `Config`."""

    @classmethod
    def from_config(cls, config, **values):
        """Reads the fields' keys from a `Config`; `values` go first."""
        found = {
            field.name: field.metadata["convert"](getattr(config, field.metadata["key"]))
            for field in dataclasses.fields(cls)
            if field.name not in values
        }
        return cls(**found, **values)

    def by_key(self):
        """The values by the names of their keys."""
        return {
            field.metadata["key"]: getattr(self, field.name) for field in dataclasses.fields(self)
        }
