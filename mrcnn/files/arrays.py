"""Arrays that lie in a file: what numbers they have, and which of them they show."""

import math

import numpy as np

MAX_EXPANDED = 2**20  # items of an array that repeats a smaller storage
MAX_DIMENSIONS = 32
MAX_SIZE = 2**48


class Refused(ValueError):
    """Says what a file holds that is not wanted; the sentence goes on from the file's name."""


def as_numbers(data, kind):
    """Numbers that lie in a buffer, without a copy where NumPy can use them as they are.

    Args:
        data: bytes or memoryview.
        kind: str, a NumPy type string with its byte order (`<f4`), or that order and `bfloat16`.

    Returns:
        1-D array; `bfloat16` and half become float32.

    Raises:
        ValueError: the buffer is no whole number of items.
    """
    if kind[1:] == "bfloat16":
        wide = as_numbers(data, f"{kind[0]}u2").astype(np.uint32)
        return np.left_shift(wide, 16, out=wide).view(np.float32)
    dtype = np.dtype(kind)
    numbers = np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
    if kind[1:] == "f2":
        return numbers.astype(np.float32)
    return numbers if dtype.isnative else numbers.astype(dtype.newbyteorder("="))


class Storage:
    """A run of numbers that arrays look into.

    Args:
        kind: str, see `as_numbers`.
        count: int, items.
        data: memoryview, or None until a reader knows where the numbers lie.
    """

    def __init__(self, kind, count, data=None):
        self.kind, self.count, self.data = kind, natural(count), data
        self._numbers = None

    @property
    def nbytes(self):
        return self.count * (2 if self.kind[1:] == "bfloat16" else np.dtype(self.kind).itemsize)

    def numbers(self):
        """1-D array; converted once, however many arrays look into it."""
        if self._numbers is None:
            self._numbers = as_numbers(self.data, self.kind)
        return self._numbers


class Tensor:
    """An array to come, which is a view of a storage; offset and strides count items."""

    def __init__(self):
        self.storage = None

    def look_into(self, storage, offset, shape, strides):
        """Sets what the array views.

        Raises:
            Refused: it would reach beyond the storage, or repeat it too often.
        """
        for value in (offset, *shape, *strides):
            natural(value)
        if not len(shape) == len(strides) <= MAX_DIMENSIONS:
            raise Refused(f"is damaged: an array has {len(shape)} sizes and {len(strides)} strides")
        count = math.prod(shape)
        last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        if offset > storage.count or (count and last >= storage.count):
            raise Refused(f"is damaged: an array reaches beyond the {storage.count} items stored")
        if count > max(storage.count, MAX_EXPANDED):
            raise Refused(
                f"has an array of {count} items that repeats {storage.count}; save its `.clone()`"
            )
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def fill(self, kind, shape, fortran, data):
        """Makes it an array of its own, of all the numbers in `data`.

        Raises:
            Refused: they are more or fewer than the shape needs.
        """
        storage = Storage(kind, math.prod(map(natural, shape)), data)
        if storage.nbytes != len(data):
            raise Refused(f"is damaged: an array of {storage.nbytes} bytes has {len(data)}")
        strides, step = [], 1
        for size in shape if fortran else reversed(shape):
            strides.append(step)
            step *= max(size, 1)
        self.look_into(storage, 0, shape, strides if fortran else strides[::-1])

    def array(self):
        """NumPy array, read-only where it is a view of the file."""
        if self.storage is None:
            raise Refused("is damaged: an array has no numbers")
        numbers = self.storage.numbers()
        if not math.prod(self.shape):
            return np.empty(self.shape, numbers.dtype)
        steps = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps)


def natural(value):
    """Checks a size, offset or stride.

    Raises:
        Refused: it is no integer of a size that a file can have.
    """
    if type(value) is not int or not 0 <= value < MAX_SIZE:
        raise Refused(f"is damaged: a size, offset or stride is {show(value)}")
    return value


def show(value, limit=100):
    """Beginning of a value in printable characters on one line, for messages."""
    if type(value) is int:
        return str(value) if abs(value) < 10**20 else "an integer of more than 20 digits"
    return ascii(value[:limit])[1:-1] if type(value) is str else f"of type {type(value).__name__}"
