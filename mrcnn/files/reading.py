"""Reads the arrays of weight files, whatever their format, without PyTorch.

What a file is, is told by its content. Nothing from a file is run, and time and memory stay in
proportion to its size. Arrays are views of the mapped file where their numbers can be used as they
lie there: read-only, and costing memory only while they are used.
"""

import mmap
import os
import struct
import tokenize
import zipfile
import zlib

import h5py

from mrcnn.files.arrays import Refused, show
from mrcnn.files.hdf5 import read_hdf5
from mrcnn.files.npz import read_npz
from mrcnn.files.pytorch import STATE_DICT, read_pickles, read_torch_zip
from mrcnn.files.safetensors import header_length, read_safetensors
from mrcnn.files.tensorflow_checkpoint import (
    is_archive,
    is_index,
    read_checkpoint,
    read_checkpoint_archive,
)
from mrcnn.files.zip_entries import check_sizes

PREFIXES = ("module.", "model.")
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
    of detectron2, `.npz`, `.safetensors`, and the `.index` of a checkpoint of TensorFlow or a
    `.tar.gz` of one. Of a checkpoint, only the model is read, and a prefix
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


def is_saved_model(path):
    """Whether a file is a whole model as Keras saves it, `.keras`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {"config.json", "model.weights.h5"} <= set(archive.namelist())


def _read(path):
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if data[:2] == b"PK":
        return _read_zip(path, data)
    if h5py.is_hdf5(path):
        return read_hdf5(path)
    if data[:1] == b"\x80" and 2 <= data[1] <= 5:
        return _without_prefix(read_pickles(data))
    if is_index(path):
        return read_checkpoint(path)
    if data[:2] == b"\x1f\x8b" and is_archive(path):
        return read_checkpoint_archive(path)
    if data[8:9] == b"{" and header_length(data) <= len(data) - 8:
        return _without_prefix(read_safetensors(data))
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
        ".npz, .safetensors, or the .index of a checkpoint of TensorFlow"
    )


def _read_zip(path, data):
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise Refused("is an incomplete zip archive; copy or download it again") from error
    with archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        check_sizes(data, archive.infolist())
        pickles = [name for name in entries if f"/{name}".endswith("/data.pkl")]
        if any(
            name.endswith("constants.pkl") or f"/{name}".rpartition("/code/")[1] for name in entries
        ):
            raise Refused(f"is a TorchScript archive, which holds a program; {STATE_DICT}")
        if len(pickles) == 1:
            return _without_prefix(read_torch_zip(data, entries, pickles[0][: -len("data.pkl")]))
        if any(name.endswith(".npy") for name in entries):
            return _without_prefix(read_npz(data, entries))
    if "model.weights.h5" in entries:
        raise Refused("is a whole Keras model; MaskRCNN.load_weights reads it")
    raise Refused("is a zip archive without weights; expected .npz, or .pth as PyTorch writes it")


def _without_prefix(arrays):
    for prefix in PREFIXES * 2:  # `model.module.` too
        if all(name.startswith(prefix) and name != prefix for name in arrays):
            arrays = {name[len(prefix) :]: array for name, array in arrays.items()}
    return arrays
