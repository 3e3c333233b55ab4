"""What stands in for the functions and types that pickled weights name; all else is refused.

A function gets the `Unpickler` that calls it, to count its work, and the arguments in the file.
"""

from mrcnn.files.arrays import Refused, Storage, Tensor, show


class Type:
    """The type of a storage's numbers."""

    def __init__(self, kind):
        self.kind = kind


class Dtype(Type):
    """NumPy's; its byte order comes later."""


class Ignored:
    """A value that no array needs."""


def _ignored(machine, *args):
    return Ignored()


def _dict(machine, pairs=()):
    machine.spend(len(pairs))
    pairs = pairs.items() if type(pairs) is dict else pairs
    return {key(name): value for name, value in pairs}


def _set(machine, items=()):
    machine.spend(len(items))
    return set(map(key, items))


def _bytes(machine):
    return b""


def _encode(machine, text, encoding):
    """Bytes as Python 3 writes them for Python 2: characters with the bytes' numbers."""
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"asks for the encoding {show(encoding)}, which no weight file needs")
    machine.spend_bytes(len(text) // 2)  # UTF-8 takes up to two bytes for each
    text = str(text, "utf-8") if type(text) is memoryview else text
    return text.encode("latin-1")


def _tensor(machine, storage, offset, shape, strides, *flags):
    if type(storage) is not Storage or {type(shape), type(strides)} - {tuple, list}:
        raise TypeError("a tensor needs storage, shape and strides")
    tensor = Tensor()
    tensor.look_into(storage, offset, tuple(shape), tuple(strides))
    return tensor


def _first(machine, value=(), *flags):
    return value


def _dtype(machine, code, *flags):
    if code not in _DTYPES:
        raise Refused(f"holds an array of type {show(code)}; weights are arrays of numbers")
    return Dtype(f"<{code}")


def _ndarray(machine, *args):
    raise Refused("calls numpy.ndarray, which no weight file needs; nothing from it was run")


def _reconstruct(machine, cls, *args):
    if cls is not _ndarray:
        raise Refused("asks NumPy to build something that is no array; nothing from it was run")
    return Tensor()


def _scalar(machine, dtype, data):
    return fill(machine, Tensor(), dtype, (), False, data)


def _frombuffer(machine, data, dtype, shape, order):
    return fill(machine, Tensor(), dtype, shape, order == "F", data)


def fill(machine, tensor, dtype, shape, fortran, data):
    if type(dtype) is not Dtype or type(shape) is not tuple or tensor.storage is not None:
        raise TypeError("an array needs one type and one shape")
    machine.spend_bytes(len(data))
    data = data.encode("latin-1") if type(data) is str else data
    tensor.fill(dtype.kind, shape, fortran, data)
    return tensor


def key(value):
    """Checks what is about to be hashed: nested tuples and huge integers could take forever."""
    large = type(value) is int and abs(value) >= 2**63
    if large or type(value) not in (str, int, float, bool, type(None)):
        raise Refused(f"has a dictionary's key {show(value)}, which no weight file needs")
    return value


_STORAGES = {
    "Float": "<f4",
    "Double": "<f8",
    "Half": "<f2",
    "BFloat16": "<bfloat16",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "<i1",
    "Byte": "<u1",
    "Bool": "<b1",
}
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_TORCH_NAMES = (
    *("float", "double", "half", "float16", "float32", "float64", "bfloat16", "complex64"),
    *("bool", "uint8", "int8", "int16", "int32", "int64", "short", "int", "long", "complex128"),
    *("strided", "contiguous_format", "channels_last"),
)
GLOBALS = {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,  # milestones of a learning rate schedule
    "argparse.Namespace": _ignored,  # options of a training script
    "_codecs.encode": _encode,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch.Size": _first,
    "detectron2.structures.boxes.BoxMode": _first,
    "torch.device": _ignored,
    "numpy.ndarray": _ndarray,
    "numpy.dtype": _dtype,
}
GLOBALS |= {f"torch.{name}Storage": Type(kind) for name, kind in _STORAGES.items()}
GLOBALS |= {f"torch.{name}": _ignored for name in _TORCH_NAMES}
for _module in ("builtins", "__builtin__"):
    GLOBALS |= {f"{_module}.set": _set, f"{_module}.bytes": _bytes}
for _module in ("numpy.core", "numpy._core"):
    GLOBALS |= {
        f"{_module}.multiarray._reconstruct": _reconstruct,
        f"{_module}.multiarray.scalar": _scalar,
        f"{_module}.numeric._frombuffer": _frombuffer,
    }
