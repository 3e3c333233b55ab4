"""Reads the arrays of weight files, whatever their format, without PyTorch.

What a file is, is told by its content. Nothing from a file is run, and time and memory stay in
proportion to its size. Arrays are views of the mapped file where their numbers can be used as they
lie there: read-only, and costing memory only while they are used.
"""

import io
import json
import mmap
import os
import struct
import tokenize
import zipfile
import zlib

import h5py
import numpy as np

from mrcnn.hdf5 import read_hdf5
from mrcnn.stored import Refused, Tensor, show
from mrcnn.unpickle import Unpickler

WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "blobs")
PREFIXES = ("module.", "model.")
LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
MAX_HEADER = 2**24  # bytes of JSON; 100 thousand arrays need 10 million
MAX_INFLATED = 2**26  # bytes that compressed entries may take, whatever the file's size
MAX_RATIO = 16  # and otherwise how many times the file's size; weights reach 1.2
STATE_DICT = "save `model.state_dict()` with `torch.save` instead"
SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "<b1",
}
# What reading damaged data raises, apart from `Refused`.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(path):
    """Reads every array of a weight file, under the file's own names.

    It reads HDF5 in the layout of Keras 2, PyTorch's `.pth` of any version since 0.4, the `.pkl`
    of detectron2, `.npz` and `.safetensors`. Of a checkpoint, only the model is read, and a prefix
    that all its names share (`module.` or `model.`) is taken off.

    Args:
        path: str.

    Returns:
        dict: name -> NumPy array, which may be read-only. bfloat16 and half are float32.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is no weight file, it is damaged, or it asks for more than arrays; the
            message names the file, what was found, and the fix.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory; pass the weight file inside it")
    if not os.path.exists(path):
        raise FileNotFoundError(f"no weight file at {path}")
    if not os.path.isfile(path):
        raise ValueError(f"{path} is no regular file; copy the weights to one")
    if not os.path.getsize(path):
        raise ValueError(f"{path} is empty; copy or download it again")
    try:
        arrays = _read(path)
    except Refused as error:
        raise ValueError(f"{path} {error}") from error
    except DAMAGE as error:
        if str(error).startswith(path):  # `read_hdf5` names the file itself
            raise
        what = show(f"{type(error).__name__}: {error}")
        raise ValueError(f"{path} is damaged or incomplete ({what}); copy it again") from error
    if not arrays:
        raise ValueError(f"{path} holds no arrays; expected a file of weights")
    return arrays


def _read(path):
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if data[:2] == b"PK":
        return _read_zip(path, data)
    if h5py.is_hdf5(path):
        return read_hdf5(path)
    if data[:1] == b"\x80" and 2 <= data[1] <= 5:
        return _without_prefix(_read_pickle(data))
    if data[8:9] == b"{" and _header_length(data) <= len(data) - 8:
        return _without_prefix(_read_safetensors(data))
    raise Refused(_what_it_is(bytes(data[:512])))


def _what_it_is(head):
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "is a web page and no weight file: the download failed; download it again"
    if text.startswith(b"version https://git-lfs"):
        return "is a pointer of git-lfs and not the file itself; fetch that with `git lfs pull`"
    if head.startswith(b"\x93NUMPY"):
        return "is one array without a name; save a dictionary with `numpy.savez` instead"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return "is compressed; unpack it first"
    if head[257:262] == b"ustar":
        return f"is a tar archive; unpack it first, or if PyTorch wrote it, {STATE_DICT}"
    return (
        f"is no weight file that is known: it begins with {head[:8]!r}; expected .h5, .pth, .pkl, "
        ".npz or .safetensors"
    )


def _read_zip(path, data):
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise Refused("is an incomplete zip archive; copy or download it again") from error
    with archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        _check_sizes(data, archive.infolist())
        pickles = [name for name in entries if f"/{name}".endswith("/data.pkl")]
        if any(
            name.endswith("constants.pkl") or f"/{name}".rpartition("/code/")[1] for name in entries
        ):
            raise Refused(f"is a TorchScript archive, which holds a program; {STATE_DICT}")
        if len(pickles) == 1:
            return _without_prefix(_read_torch(data, entries, pickles[0][: -len("data.pkl")]))
        if any(name.endswith(".npy") for name in entries):
            return _without_prefix(_read_npz(data, entries))
    if "model.weights.h5" in entries:
        raise Refused("is a whole Keras model; save its weights as .h5 instead")
    raise Refused("is a zip archive without weights; expected .npz, or .pth as PyTorch writes it")


def _check_sizes(data, entries):
    """Refuses entries that overlap, are compressed in other ways, or unpack to too much."""
    if sum(entry.compress_size for entry in entries) > len(data):
        raise Refused("is damaged: its entries are larger than the file")
    packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if any(entry.compress_type != zipfile.ZIP_DEFLATED for entry in packed):
        raise Refused("is compressed in a way that is not supported; save it uncompressed")
    if sum(entry.file_size for entry in packed) > max(MAX_INFLATED, MAX_RATIO * len(data)):
        raise Refused("unpacks to far more than weights would; save it uncompressed")


def _entry(data, entry):
    """The bytes of a zip entry; those of one that is not compressed as they lie in the file."""
    # The header in front of an entry may be longer than the directory says.
    start = entry.header_offset
    if start < 0 or data[start : start + 4] != b"PK\x03\x04" or entry.flag_bits & 1:
        raise Refused(f"is damaged: {show(entry.filename)} is not where it should be")
    start += 30 + sum(struct.unpack_from("<HH", data, start + 26))
    content = data[start : start + entry.compress_size]
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        # At most that many bytes; 0 would mean any number.
        content = memoryview(zlib.decompressobj(-15).decompress(content, entry.file_size or 1))
        if zlib.crc32(content) != entry.CRC:
            raise Refused(f"is damaged: {show(entry.filename)} has another checksum")
    if len(content) != entry.file_size:
        raise Refused(f"is damaged: {show(entry.filename)} has another size; copy it again")
    return content


def _read_torch(data, entries, root):
    """PyTorch's format since 1.6: an archive of one pickle, and one entry for each storage."""
    unpickler = Unpickler(_entry(data, entries[f"{root}data.pkl"]))
    tree = unpickler.load()
    order = "<"
    if f"{root}byteorder" in entries:
        order = {b"little": "<", b"big": ">"}[bytes(_entry(data, entries[f"{root}byteorder"]))]
    for name, storage in unpickler.storages.items():
        if f"{root}data/{name}" not in entries:
            raise Refused(f"is incomplete: it lacks the entry data/{show(name)}; copy it again")
        _set_data(storage, _entry(data, entries[f"{root}data/{name}"]), order)
    return _arrays(tree)


def _set_data(storage, data, order="<"):
    if len(data) != storage.nbytes:
        raise Refused(f"is damaged: a storage of {storage.nbytes} bytes has {len(data)}")
    storage.data, storage.kind = data, order + storage.kind[1:]


def _read_pickle(data):
    """PyTorch's format before 1.6, which begins with a magic number, or one plain pickle."""
    unpickler = Unpickler(data)
    tree = unpickler.load()
    if tree != LEGACY_MAGIC:
        if unpickler.storages:
            raise Refused("names storages that it does not hold; copy it again")
        return _arrays(tree)
    position = unpickler.position
    parts = []
    for _ in ("version", "system", "object", "keys"):
        unpickler = Unpickler(data, position)
        parts.append((unpickler.load(), unpickler.storages))
        position = unpickler.position
    (version, _), _, (tree, storages), (names, _) = parts
    if version != LEGACY_VERSION:
        raise Refused(f"is of version {show(version)} of PyTorch's format; {STATE_DICT}")
    for name in names:
        (count,) = struct.unpack_from("<q", data, position)
        storage, start = storages.pop(name), position + 8
        if count != storage.count:
            raise Refused(f"is damaged: a storage of {storage.count} items has {count}")
        position = start + storage.nbytes
        if position > len(data):
            raise Refused("is truncated: it ends before its arrays do; copy it again")
        _set_data(storage, data[start:position])
    if storages:
        raise Refused(f"is damaged: it lacks the numbers of {len(storages)} storages")
    return _arrays(tree)


def _arrays(tree):
    """The named arrays of what was unpickled: those of the model, if it is a checkpoint."""
    if type(tree) is Tensor:
        raise Refused(f"is one array without a name; {STATE_DICT}")
    if type(tree) is not dict:
        raise Refused(f"holds a {show(type(tree).__name__)} instead of named arrays; {STATE_DICT}")
    leaves = _model(tree)
    if not leaves:
        names = ", ".join(show(str(name), 20) for name in list(tree)[:5]) or "nothing"
        raise Refused(f"holds no arrays of a model, but {names}; {STATE_DICT}")
    return {name: leaf.array() for name, leaf in leaves.items()}


def _model(tree, depth=2):
    """The arrays under the first key of a checkpoint that has any, or else those right here."""
    for name in WRAPPERS if depth else ():
        inner = type(tree.get(name)) is dict and _model(tree[name], depth - 1)
        if inner:
            return inner
    return {
        name: leaf
        for name, leaf in tree.items()
        if type(name) is str and type(leaf) is Tensor and leaf.storage is not None
    }


def _without_prefix(arrays):
    for prefix in PREFIXES * 2:  # `model.module.` too
        if all(name.startswith(prefix) and name != prefix for name in arrays):
            arrays = {name[len(prefix) :]: array for name, array in arrays.items()}
    return arrays


def _read_npz(data, entries):
    """NumPy's archive: one `.npy` an array, each with a header of its own."""
    entries = {name[:-4]: entry for name, entry in entries.items() if name.endswith(".npy")}
    return {name: _npy(name, _entry(data, entry)) for name, entry in entries.items()}


def _npy(name, content):
    file = io.BytesIO(bytes(content[: 2**14]))
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise Refused(f"has {show(name)} in version {version} of NumPy's format; save it again")
    shape, fortran, dtype = read[version](file)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise Refused(f"has {show(name)} of type {show(str(dtype))}; weights are arrays of numbers")
    tensor = Tensor()
    order = ">" if dtype.str[0] == ">" else "<"
    tensor.fill(order + dtype.str[1:], shape, fortran, content[file.tell() :])
    return tensor.array()


def _header_length(data):
    return struct.unpack_from("<Q", data)[0]


def _read_safetensors(data):
    """The format of safetensors: the length of a JSON header, the header, the numbers."""
    length = _header_length(data)
    if length > MAX_HEADER:
        raise Refused(f"has a header of {length} bytes; expected at most {MAX_HEADER}")
    header, numbers = json.loads(bytes(data[8 : 8 + length])), data[8 + length :]
    header.pop("__metadata__", None)
    arrays, left = {}, len(numbers)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        left -= end - begin
        if not 0 <= begin <= end <= len(numbers) or left < 0:
            raise Refused("is damaged or truncated: its arrays are larger than the file")
        if entry["dtype"] not in SAFETENSORS:
            raise Refused(f"has {show(name)} of type {show(entry['dtype'])}; save it as float32")
        tensor = Tensor()
        tensor.fill(SAFETENSORS[entry["dtype"]], entry["shape"], False, numbers[begin:end])
        arrays[name] = tensor.array()
    return arrays
