"""The run-length codes of Label Studio's brush, which are those of @thi.ng/rle-pack.

Shape legend: H, W size of the picture in pixels.
"""

import numpy as np

_SIZES = (3, 4, 8, 16)  # in bits, of the lengths of blocks that are written


def encode_brush(mask):
    """The code of a mask, see `decode_brush`: white inside, transparent black elsewhere.

    Args:
        mask: bool [H, W].

    Returns:
        list of int, bytes.

    Example:

    >>> decode_brush(encode_brush(np.eye(2, dtype=bool)), 2, 2).tolist()
    [[True, False], [False, True]]
    """
    flat = np.asarray(mask, bool).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = 4 * np.diff(starts, append=flat.size)  # four values a pixel
    bits = [f"{4 * flat.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for value, length in zip(flat[starts].tolist(), lengths.tolist(), strict=True):
        while length:
            part = min(length, 2 ** _SIZES[-1])
            index = next(i for i, size in enumerate(_SIZES) if part <= 2**size)
            number = f"{part - 1:0{_SIZES[index]}b}"
            bits += ["1", f"{index:02b}", number, "1" * 8 if value else "0" * 8]
            length -= part
    text = "".join(bits)
    size = -(-len(text) // 8)
    return list(int(text.ljust(8 * size, "0"), 2).to_bytes(size, "big"))


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
