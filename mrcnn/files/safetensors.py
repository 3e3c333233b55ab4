"""The format of safetensors."""

import json
import struct

from mrcnn.files.arrays import Refused, Tensor, show

MAX_HEADER = 2**24  # bytes of JSON; 100 thousand arrays need 10 million
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


def header_length(data):
    return struct.unpack_from("<Q", data)[0]


def read_safetensors(data):
    """The format of safetensors: the length of a JSON header, the header, the numbers."""
    length = header_length(data)
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
