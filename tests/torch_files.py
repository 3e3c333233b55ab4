"""Writes weight files as PyTorch and detectron2 do, without either.

A dictionary's value is an array; one array under two names is one storage, as with tied weights.
Arrays of `ml_dtypes.bfloat16` are written as bfloat16.
"""

import pickle
import struct
import zipfile

import numpy as np

STORAGES = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
}


def write_zip_pth(path, arrays, wrap=None):
    """Writes the format of PyTorch since 1.6.

    Args:
        path: str.
        arrays: dict of name -> array.
        wrap: str, the key of a checkpoint under which they lie, beside an epoch; or None.
    """
    storages = _storages(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", _pickled(arrays, storages, wrap))
        archive.writestr("archive/byteorder", b"little")
        for key, array in storages.values():
            archive.writestr(f"archive/data/{key}", _raw(array))
        archive.writestr("archive/version", b"3\n")


def write_legacy_pth(path, arrays, wrap=None):
    """Writes the format of PyTorch before 1.6; arguments as `write_zip_pth`."""
    storages = _storages(arrays)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    with open(path, "wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, system):
            file.write(pickle.dumps(value, 2))
        file.write(_pickled(arrays, storages, wrap, legacy=True))
        file.write(pickle.dumps([key for key, _ in storages.values()], 2))
        for _, array in storages.values():
            file.write(struct.pack("<q", array.size))
            file.write(_raw(array))


def write_detectron2_pkl(path, arrays, protocol=4):
    """Writes the format of detectron2's model zoo."""
    content = {"model": arrays, "__author__": "nobody", "matching_heuristics": True}
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol)


def _storages(arrays):
    """Array's id -> its key in the file, and itself; it stays alive as long as its id is used."""
    distinct = {id(array): array for array in arrays.values()}
    return {each: (str(key), array) for key, (each, array) in enumerate(distinct.items())}


def _raw(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _pickled(arrays, storages, wrap, legacy=False):
    """A pickle of protocol 2 that names PyTorch's functions, which need not be there."""
    content = b"ccollections\nOrderedDict\n)R("
    for name, array in arrays.items():
        content += _text(name) + _tensor(storages[id(array)][0], array, legacy)
    content += b"u"
    if wrap:
        content = b"}(" + _text(wrap) + content + _text("epoch") + _integer(7) + b"u"
    return b"\x80\x02" + content + b"."


def _tensor(key, array, legacy):
    kind = STORAGES[array.dtype.name].encode()
    strides, step = [], 1
    for size in reversed(array.shape):
        strides.insert(0, step)
        step *= max(size, 1)
    storage = b"(" + _text("storage") + b"ctorch\n" + kind + b"Storage\n" + _text(key)
    storage += _text("cpu") + _integer(array.size) + (b"N" if legacy else b"") + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + _integer(0)
        + _integers(array.shape)
        + _integers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def _integers(values):
    return b"(" + b"".join(map(_integer, values)) + b"t"


def _integer(value):
    return b"J" + struct.pack("<i", value)


def _text(text):
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()
