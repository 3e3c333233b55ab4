"""PyTorch's formats: the zip archive since 1.6, and the pickles before it."""

import struct

from mrcnn.files.arrays import Refused, Tensor, show
from mrcnn.files.unpickle import Unpickler
from mrcnn.files.zip_entries import entry_bytes

WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "blobs")
LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
STATE_DICT = "save `model.state_dict()` with `torch.save` instead"


def read_torch_zip(data, entries, root):
    """PyTorch's format since 1.6: an archive of one pickle, and one entry for each storage."""
    unpickler = Unpickler(entry_bytes(data, entries[f"{root}data.pkl"]))
    tree = unpickler.load()
    order = "<"
    if f"{root}byteorder" in entries:
        order = {b"little": "<", b"big": ">"}[bytes(entry_bytes(data, entries[f"{root}byteorder"]))]
    for name, storage in unpickler.storages.items():
        if f"{root}data/{name}" not in entries:
            raise Refused(f"is incomplete: it lacks the entry data/{show(name)}; copy it again")
        _set_data(storage, entry_bytes(data, entries[f"{root}data/{name}"]), order)
    return _arrays(tree)


def _set_data(storage, data, order="<"):
    if len(data) != storage.nbytes:
        raise Refused(f"is damaged: a storage of {storage.nbytes} bytes has {len(data)}")
    storage.data, storage.kind = data, order + storage.kind[1:]


def read_pickles(data):
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
