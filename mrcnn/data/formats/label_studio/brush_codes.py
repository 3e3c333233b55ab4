"""The run-length codes of Label Studio's brush, which are those of @thi.ng/rle-pack.

Shape legend: H, W size of the picture in pixels.
"""

import numpy as np


def decode_brush(values, height, width):
    """Decodes the mask of a brush: the alpha of an RGBA picture, row by row.

    The code is a stream of bits, highest first: the number of values (32 bits); the bits of a
    value less 1 (5); four sizes less 1 (4 each). Then blocks: whether it is a run (1); which of
    the sizes (2); in as many bits the number of values less 1; the values, of a run one alone.

    Args:
        values: list of int, the bytes of the code.
        height, width: int, of the picture.

    Returns:
        bool [H, W].

    Raises:
        ValueError: it is no such code, or one of another size.
    """
    if not isinstance(values, list):
        raise ValueError(f"expected a list of bytes as rle, received {str(values)[:40]}")
    try:
        bits = _Bits(bytes(values))
    except TypeError as error:
        raise ValueError(f"expected bytes as rle ({error})") from None
    count, expected = bits.read(32), 4 * height * width
    if count != expected:
        raise ValueError(
            f"expected an rle of {height} x {width} pixels, {expected} values, received {count}"
        )
    word = bits.read(5) + 1
    if word > 8:
        raise ValueError(f"expected an rle of bytes, received values of {word} bits")
    sizes = [bits.read(4) + 1 for _ in range(4)]
    rgba, place = np.zeros(count, np.uint8), 0
    while place < count:
        is_run = bits.read(1)
        end = min(place + 1 + bits.read(sizes[bits.read(2)]), count)
        rgba[place:end] = bits.read(word) if is_run else bits.read_all(word, end - place)
        place = end
    return rgba.reshape(height, width, 4)[:, :, 3] > 0


class _Bits:
    """Numbers from bytes, bit by bit."""

    def __init__(self, data):
        self._data, self._end, self._place = data + bytes(5), 8 * len(data), 0

    def read(self, size):
        """The number in the next bits, 32 at most."""
        start, end = self._place, self._place + size
        if end > self._end:
            raise ValueError(f"expected an rle of more than its {self._end // 8} bytes: it is cut")
        self._place = end
        window = int.from_bytes(self._data[start // 8 : start // 8 + 5], "big")  # 40 bits
        return window >> (40 - start % 8 - size) & ((1 << size) - 1)

    def read_all(self, size, count):
        """A list of numbers of one size."""
        return [self.read(size) for _ in range(count)]
