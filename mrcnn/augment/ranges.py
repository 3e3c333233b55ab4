"""Ranges that steps draw from."""

import numpy as np


def number_range(name, value, above=None):
    """A range (low, high) as given, or of one number, which is then both.

    Args:
        name: str, the argument's name in errors.
        value: number or (low, high).
        above: number that low must exceed; None: low is 0 or more.

    Raises:
        ValueError: it is no such range.
    """
    pair = (value, value) if np.isscalar(value) else tuple(value)
    low = pair[0]
    if len(pair) != 2 or not low <= pair[1] or not (low >= 0 if above is None else low > above):
        least = "0 <= low" if above is None else f"{above} < low"
        raise ValueError(f"Expected {name} = (low, high) with {least} <= high, received {value}")
    return pair


def factor_range(name, value):
    """The range of a factor: (low, high), or a number x for 1 - x to 1 + x."""
    if np.isscalar(value):
        if value < 0:
            raise ValueError(f"Expected {name} as a number of 0 or more, received {value}")
        value = (max(0.0, 1 - value), 1 + value)
    return number_range(name, value)


def share(name, value):
    """A probability.

    Raises:
        ValueError: it is not within 0 to 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"Expected {name} of 0 to 1, received {value}")
    return value
