"""KServe's Open Inference Protocol, version 2, with the extension of binary tensors.

One input a request: `BYTES` [B] of encoded pictures, in JSON as base64, or a tensor [B, H, W, C]
(or [H, W, C]) of `UINT8`, `UINT16` or `FP32`. The parameter `masks` chooses the masks of the
answer: rle, full, none. Binary tensors stand behind the JSON, in the order in which it lists them,
and an element of `BYTES` is its length (4 bytes, the lowest first) and its bytes.
"""

import dataclasses
import math
import struct

import numpy as np

from mrcnn.serve.errors import RequestError, shown
from mrcnn.serve.protocols.json_bodies import from_base64, read_json, write_json
from mrcnn.serve.protocols.outputs import MASKS

LENGTH_HEADER = "Inference-Header-Content-Length"
_DTYPES = {"UINT8": "u1", "UINT16": "<u2", "FP32": "<f4"}
_DATATYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32", "object": "BYTES"}


@dataclasses.dataclass(frozen=True)
class Infer:
    """A request.

    Args:
        items: list of bytes, arrays and `RequestError`s, one for each picture.
        masks: of `outputs.MASKS`.
        id: str, to be repeated in the answer, or None.
        binary: dict from the names of the outputs that are wanted to whether they come as binary
            data; None: all come, as `all_binary` says.
        all_binary: bool.
    """

    items: list
    masks: str = "rle"
    id: str | None = None
    binary: dict | None = None
    all_binary: bool = False


def read_request(body, header_length, outputs):
    """The `Infer` of a body.

    Args:
        body: bytes.
        header_length: str, the value of `LENGTH_HEADER`: bytes of the JSON; None: it is all JSON.
        outputs: function of one of `outputs.MASKS` to the dict of `outputs.declared_outputs`.

    Raises:
        RequestError: it is none; what is wrong with one picture is an item instead.
    """
    body, data = _split(body, header_length)
    content = read_json(body)
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RequestError(
            400,
            'expected "inputs" with one tensor (image_bytes of BYTES, or image_tensor of UINT8), '
            f"received {shown(inputs)}; send one",
        )
    parameters = _dict(content, "parameters")
    masks = parameters.get("masks", "rle")
    if masks not in MASKS:
        raise RequestError(
            400,
            f"expected the parameter masks to be one of {', '.join(MASKS)}, received "
            f"{shown(masks)}; leave it out for the first",
        )
    all_binary = bool(parameters.get("binary_data_output", False))
    binary = _wanted(content.get("outputs"), all_binary, list(outputs(masks)))
    return Infer(_items(inputs[0], data), masks, content.get("id"), binary, all_binary)


def _split(body, header_length):
    """JSON and binary data of a body."""
    if header_length is None:
        return body, b""
    if not header_length.isdecimal() or int(header_length) > len(body):
        raise RequestError(
            400,
            f"expected {LENGTH_HEADER} from 0 to the {len(body)} bytes of the body, received "
            f"{shown(header_length)}; it counts the bytes of the JSON",
        )
    return body[: int(header_length)], body[int(header_length) :]


def _dict(content, key):
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise RequestError(
            400, f"expected {key} to be an object, received {shown(value)}; write {{...}}"
        )
    return value


def _wanted(outputs, all_binary, names):
    """The names of the outputs that a request lists, and whether each is binary; or None."""
    if outputs is None:
        return None
    known = isinstance(outputs, list) and all(
        isinstance(each, dict) and each.get("name") in names for each in outputs
    )
    if not known:
        raise RequestError(
            400,
            f"expected outputs with names of {', '.join(names)}, which are all that this model and "
            f"the parameter masks give, received {shown(outputs)}; leave outputs out for all",
        )
    return {
        each["name"]: bool(_dict(each, "parameters").get("binary_data", all_binary))
        for each in outputs
    }


def _items(tensor, data):
    """The pictures of a tensor."""
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    counts = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    ranks = (1, 2) if datatype == "BYTES" else (3, 4)
    if not counts or datatype not in ("BYTES", *_DTYPES) or len(shape) not in ranks:
        raise RequestError(
            400,
            "expected datatype BYTES with shape [B], or UINT8, UINT16 or FP32 with shape "
            f"[B, H, W, C], received {shown(datatype)} with shape {shown(shape)}; correct both",
        )
    size = _dict(tensor, "parameters").get("binary_data_size")
    if size is None:
        values = _flat(tensor.get("data"))
        if datatype == "BYTES":
            _check_count(len(values), math.prod(shape), "texts")
            return [from_base64(text, f"images[{i}]") for i, text in enumerate(values)]
        return _images(_numbers(values, datatype), shape)
    if size != len(data):
        raise RequestError(
            400,
            f"expected binary_data_size to be the {len(data)} bytes behind the JSON, received "
            f"{shown(size)}; {LENGTH_HEADER} says where the JSON ends",
        )
    if datatype == "BYTES":
        return _elements(data, math.prod(shape))
    item = np.dtype(_DTYPES[datatype]).itemsize
    _check_count(len(data), math.prod(shape) * item, "bytes")
    return _images(np.frombuffer(data, _DTYPES[datatype]), shape)


def _flat(data):
    """The values of nested lists, one after another."""
    if not isinstance(data, list):
        raise RequestError(
            400,
            f'expected "data" to be a list, received {shown(data)}; send the values, or '
            "binary_data_size with the bytes behind the JSON",
        )
    while data and all(isinstance(each, list) for each in data):
        data = [value for each in data for value in each]
    return data


def _numbers(values, datatype):
    try:
        array = np.array(values)
        whole = array.dtype.kind in "iu" or not len(values)
        if array.dtype.kind not in "iuf" or (not whole and datatype != "FP32"):
            raise ValueError(f"values such as {shown(values[0])}")
        if datatype != "FP32":
            limit = np.iinfo(_DTYPES[datatype]).max
            if len(values) and (array.min() < 0 or array.max() > limit):
                raise ValueError(f"values from {array.min()} to {array.max()}")
        with np.errstate(over="ignore"):  # infinity is told with the picture
            return array.astype(_DTYPES[datatype])
    except ValueError as error:
        raise RequestError(
            400,
            f"expected data of {datatype}, received {error}; send numbers of its range",
        ) from None


def _images(values, shape):
    _check_count(values.size, math.prod(shape), "values")
    images = values.reshape(shape)
    return list(images) if len(shape) == 4 else [images]


def _elements(data, count):
    """The elements of binary BYTES."""
    items, place = [], 0
    while place + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, place)
        if place + 4 + length > len(data):
            break
        items.append(data[place + 4 : place + 4 + length])
        place += 4 + length
    if place != len(data) or len(items) != count:
        raise RequestError(
            400,
            f"expected {count} elements of BYTES, each its length in 4 bytes and its bytes, "
            f"received {len(items)} and {len(data) - place} bytes more; put the length of each "
            "picture before it, little-endian",
        )
    return items


def _check_count(received, expected, what):
    if received != expected:
        raise RequestError(
            400,
            f"expected {expected} {what} by the tensor's shape, received {received}; correct the "
            "shape, or send all",
        )


def write_answer(request, tensors, name, version):
    """The body of an answer, and how long its JSON is, or None where it is JSON alone.

    Args:
        request: `Infer`.
        tensors: dict of arrays, see `outputs`.
        name, version: str, of the model.
    """
    binary, outputs, data = request.binary, [], []
    for key, array in tensors.items():
        if binary is not None and key not in binary and key != "errors":
            continue
        datatype = _DATATYPES[str(array.dtype)]
        output = {"name": key, "datatype": datatype, "shape": list(array.shape)}
        if (binary or {}).get(key, request.all_binary):
            data.append(_bytes(array))
            output["parameters"] = {"binary_data_size": len(data[-1])}
        else:
            output["data"] = array.ravel().tolist()
        outputs.append(output)
    answer = {"model_name": name, "model_version": version, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    header = write_json(answer)
    return header + b"".join(data), len(header) if data else None


def _bytes(array):
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<")).tobytes()
    texts = [text.encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def model_metadata(name, version, outputs):
    """What `GET` of a model says.

    Args:
        name, version: str, of the model.
        outputs: dict of `outputs.declared_outputs`.
    """
    inputs = [("image_bytes", "BYTES", [-1]), ("image_tensor", "UINT8", [-1, -1, -1, -1])]
    outputs = [(key, _DATATYPES[kind], shape) for key, (kind, shape) in outputs.items()]
    names = ("name", "datatype", "shape")
    return {
        "name": name,
        "versions": [version],
        "platform": "mrcnn_keras",
        "inputs": [dict(zip(names, tensor, strict=True)) for tensor in inputs],
        "outputs": [dict(zip(names, tensor, strict=True)) for tensor in outputs],
    }
