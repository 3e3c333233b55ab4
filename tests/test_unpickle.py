"""The pickle machine: what it builds, and what it refuses; numbers by hand."""

import collections
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from mrcnn.files import unpickle
from mrcnn.files.arrays import Refused, Storage, Tensor, as_numbers
from mrcnn.files.pickle_globals import GLOBALS
from mrcnn.files.unpickle import Unpickler

SIX = struct.pack("<6f", 0, 1, 2, 3, 4, 5)


def load(content):
    return Unpickler(memoryview(content)).load()


def look(offset, shape, strides, storage=None):
    tensor = Tensor()
    tensor.look_into(storage or Storage("<f4", 6, SIX), offset, shape, strides)
    return tensor.array()


PLAIN = {
    "text": ["", "ä\U0001f600", "x" * 300],
    "numbers": [0, 255, 256, 65536, -1, 2**31, -(2**60), 2**70, 1.5, float("inf")],
    "others": [None, True, False],
    "nested": {"a": {1: (1, 2), 2.5: (1, 2, 3), None: (1, 2, 3, 4), False: [()]}},
    "set": {1, "two"},
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    "counter": collections.Counter([16, 16, 22]),
    "shared": [["same"]] * 3,
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_as_pickle_reads_them(protocol):
    assert load(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_bytes_are_views_of_the_file(protocol):
    value = load(pickle.dumps([b"", b"ab", b"c" * 300], protocol))
    assert [bytes(each) for each in value] == [b"", b"ab", b"c" * 300]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [1, 3, 5000])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "|u1", "|b1"])
def test_numpy_arrays(protocol, size, dtype):
    array = np.arange(size * 2).reshape(2, size).astype(dtype)
    for written in (array, np.asfortranarray(array), array[:0], array[0, 0]):
        tensor = load(pickle.dumps(written, protocol))
        read = tensor.array()
        np.testing.assert_array_equal(read, written)
        assert read.shape == written.shape and read.dtype.isnative
        assert read.dtype == ("f4" if dtype == "<f2" else np.dtype(dtype).newbyteorder("="))


def test_array_that_python_2_wrote():
    # Texts and bytes are one type (U: one byte of length, T: four), an integer beyond 32 bits is I.
    content = (
        b"\x80\x02}q\x00(U\x01wcnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\n"
        b"K\x00\x85U\x01btRq\x02(K\x01K\x02K\x01\x86cnumpy\ndtype\nq\x03(U\x02f4K\x00K\x01tRq\x04"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x08\x00\x00\x80?\x00\x00\x40\xc0tbU\x01nI4294967296\n"
        b"U\x02\xe4\xffT\x02\x00\x00\x00okU\x03yesI01\nu."
    )
    value = load(content)
    np.testing.assert_array_equal(value.pop("w").array(), [[1.0], [-3.0]])
    assert value == {"n": 2**32, "\xe4\xff": "ok", "yes": True}


def test_half_and_bfloat16_become_float32():
    # bfloat16 is the upper half of float32: 1.0 = 0x3F80(0000), -3.0 = 0xC040(0000).
    ones = as_numbers(struct.pack("<2H", 0x3F80, 0xC040), "<bfloat16")
    assert ones.tolist() == [1.0, -3.0] and ones.dtype == np.float32
    assert as_numbers(struct.pack(">2H", 0x3F80, 0xC040), ">bfloat16").tolist() == [1.0, -3.0]
    # half: sign, 5 bits of exponent with bias 15, 10 of fraction: 0x3E00 = 1.5.
    half = as_numbers(struct.pack("<H", 0x3E00), "<f2")
    assert half.tolist() == [1.5] and half.dtype == np.float32
    assert as_numbers(struct.pack(">i", 258), ">i4").tolist() == [258]
    assert as_numbers(b"", "<f4").shape == (0,)


def test_views_of_a_storage():
    assert look(1, (2, 2), (3, 1)).tolist() == [[1, 2], [4, 5]]
    assert look(0, (3, 2), (1, 3)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert look(5, (), ()).tolist() == 5
    assert look(2, (2, 3), (0, 0)).tolist() == [[2, 2, 2], [2, 2, 2]]
    assert look(6, (0, 3), (3, 1)).shape == (0, 3)
    assert not look(0, (6,), (1,)).flags.writeable


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "message"),
    [
        (1, (6,), (1,), "reaches beyond the 6 items"),  # the last would be item 6
        (0, (2, 2), (5, 1), "reaches beyond the 6 items"),  # 5 + 1
        (6, (), (), "reaches beyond the 6 items"),
        (7, (0,), (1,), "reaches beyond the 6 items"),
        (-1, (2,), (1,), "stride is -1"),
        (5, (2,), (-1,), "stride is -1"),
        (0, (2.0,), (1,), "of type float"),
        (0, (True,), (1,), "of type bool"),
        (0, (2,), (1, 1), "1 sizes and 2 strides"),
        (0, (1,) * 33, (1,) * 33, "33 sizes and 33 strides"),
        (0, (2**21,), (0,), "2097152 items that repeats 6"),
        (0, (2**60,), (0,), "stride is 1152921504606846976"),
    ],
)
def test_views_that_lie(offset, shape, strides, message):
    with pytest.raises(Refused, match=message):
        look(offset, shape, strides)


def test_arrays_of_one_storage_share_their_numbers():
    storage = Storage("<bfloat16", 2, struct.pack("<2H", 0x3F80, 0xC040))
    first, second = (look(0, (2,), (1,), storage) for _ in range(2))
    assert np.shares_memory(first, second)


def glob(module, name):
    return f"c{module}\n{name}\n".encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (glob("os", "system") + b"\x8c\x01x\x85R.", "asks for os.system, "),
        (b"\x8c\x02os\x8c\x06system\x93.", "asks for os.system, "),
        (glob("builtins", "getattr") + b".", "asks for builtins.getattr, "),
        (glob("numpy", "load") + b".", "asks for numpy.load, "),
        (glob("torch", "load") + b".", "asks for torch.load, "),
        (glob("torch.storage", "_load_from_bytes") + b".", "asks for torch.storage._load_from_by"),
        (glob("collections", "OrderedDict.fromkeys") + b".", "OrderedDict.fromkeys, "),
        (b"cx\x1b\na\n.", r"asks for x\\x1b.a, "),
        (b"(S'x'\nios\nsystem\n.", "instruction 0x53"),  # INST after a text of protocol 0
        (b"(ios\nsystem\n.", "instruction 0x69"),  # INST
        (b"(o.", "instruction 0x6f"),  # OBJ
        (b"\x82\x01.", "instruction 0x82"),  # EXT1
        (b"\x83\x01\x00.", "instruction 0x83"),
        (b"\x84\x01\x00\x00\x00.", "instruction 0x84"),
        (b"Pkey\n.", "instruction 0x50"),  # PERSID
        (b"\x97.", "instruction 0x97"),  # NEXT_BUFFER
        (b"\x8b\x01\x00\x00\x00\x01.", "instruction 0x8b"),  # LONG4
        (glob("numpy", "ndarray") + b"K\x03\x85R.", "calls numpy.ndarray"),
        (glob("numpy", "ndarray") + b"K\x03\x85\x81.", "calls numpy.ndarray"),
        (
            glob("numpy.core.multiarray", "_reconstruct") + glob("torch", "Size") + b"\x85R.",
            "no array",
        ),
        (glob("numpy", "dtype") + b"\x8c\x01O\x85R.", "array of type O; "),
        (glob("numpy", "dtype") + b"\x8c\x02V9\x85R.", "array of type V9; "),
        (glob("_codecs", "encode") + b"\x8c\x01x\x8c\x03rot\x86R.", "the encoding rot"),
        (b"(\x8c\x06moduleNNNNtQ.", "whole pickled model"),
        (b"(\x8c\x07storageNNNNtQ.", "not supported"),
        (b"}))s.", "key of type tuple"),
        (b"}\x8a\x09" + b"\x00" * 8 + b"\x01Ns.", "key 18446744073709551616"),
        (b"X\xff\xff\xff\x7fabc", "truncated"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc", "truncated"),
        (b"T\xff\xff\xff\xffabc", "truncated"),  # -1
        (b"\x80\x02}", "truncated"),
        (b"cos", "a name has no end"),
    ],
)
def test_refuses(content, message):
    with pytest.raises(Refused, match=message):
        load(content)


@pytest.mark.parametrize(
    "content",
    [
        glob("collections", "OrderedDict") + b"}b.",  # would change the function for everyone
        glob("torch", "FloatStorage") + b"(K\x03\x8c\x01>tb.",
        b"]}b.",
        b"K\x01)R.",  # calls a number
        b")}\x93.",
        b"(K\x01K\x02K\x03tK\x01a.",
        b"K\x01(K\x01\x90.",
        b"](K\x01K\x02u.",
        b"}(K\x01u.",
        b"h\x05.",
        b"0.",
        b"\x86.",
        b".",
        b"X\x01\x00\x00\x00\xff.",
    ],
)
def test_nonsense_raises(content):
    with pytest.raises((TypeError, ValueError, LookupError)):
        load(content)


def test_globals_stay_as_they_are():
    before = {name: vars(each).copy() for name, each in GLOBALS.items()}
    test_nonsense_raises(glob("collections", "OrderedDict") + b"}\x8c\x01a)sb.")
    test_nonsense_raises(glob("torch", "FloatStorage") + b"}\x8c\x01a)sb.")
    assert {name: vars(each) for name, each in GLOBALS.items()} == before


def nested_tuples(depth):
    """((((), ()), ((), ())), ...): its hash would visit 2**depth."""
    return b")" + b"2\x86" * depth


def encodings(count):
    """One text of a million characters, to become bytes again and again."""
    text = b"\x8d" + struct.pack("<Q", 10**6) + b"x" * 10**6 + b"q\x000"
    again = glob("_codecs", "encode") + b"h\x00\x8c\x06latin1\x86Ra"
    return b"]" + text + again * count + b"."


def copies(count):
    """One list of 10 thousand pairs, to become a dictionary again and again."""
    pairs = b"](" + b"K\x01K\x02\x86" * 10**4 + b"e\x85q\x00"
    return pairs + (glob("collections", "OrderedDict") + b"h\x00R") * count + b"."


def repeats(count):
    """One million bytes, of which to make arrays of half precision, again and again."""
    data = b"B" + struct.pack("<I", 10**6) + b"\x00" * 10**6 + b"q\x00"
    dtype = glob("numpy", "dtype") + b"\x8c\x02f2\x85Rq\x01"
    array = glob("numpy.core.numeric", "_frombuffer")
    array += b"(h\x00h\x01J" + struct.pack("<i", 5 * 10**5) + b"\x85\x8c\x01CtR"
    return data + dtype + array * count + b"."


@pytest.mark.parametrize(
    "content",
    [
        b"}" + nested_tuples(60) + b"Ns.",
        b"\x8f(" + nested_tuples(60) + b"\x90.",
        encodings(1000),
        copies(1000),
        repeats(1000),
        b"]" * 110_000 + b".",
        b"](" + b"N" * 110_000 + b"e.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
    ids=["tuples", "set", "encodings", "copies", "repeats", "lists", "values", "length"],
)
def test_bombs_end_early(content, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_STEPS", 10**5)
    tracemalloc.start()
    with pytest.raises(Refused):
        load(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_deep_nesting_is_no_recursion():
    value = load(b"]" * 100_000 + b"a" * 99_999 + b".")
    for _ in range(99_999):
        (value,) = value
    assert value == []
