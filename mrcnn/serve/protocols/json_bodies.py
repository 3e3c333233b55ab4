"""JSON of strangers, and encoded pictures in it."""

import base64
import binascii
import json

import numpy as np

from mrcnn.serve.errors import RequestError, shown


def read_json(body):
    """The object that a body holds.

    Raises:
        RequestError: it is no JSON, or no object.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise RequestError(
            400,
            f"expected a JSON object, received {len(body)} bytes that begin with "
            f"{shown(body[:20])} ({error}); check the body",
        ) from None
    if not isinstance(content, dict):
        raise RequestError(
            400, f"expected a JSON object, received {shown(content)}; put it into {{...}}"
        )
    return content


def write_json(content):
    """Bytes of JSON."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def from_base64(text, name):
    """The bytes that a text of base64 means, or a `RequestError` that names it."""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        return RequestError(
            400,
            f"{name}: expected the base64 of an encoded picture, received {shown(text)} ({error}); "
            "encode the file's bytes, without line breaks and without a data: prefix",
        )


def from_numbers(value, name):
    """The array of nested lists of pixels, or a `RequestError` that names them.

    Whole numbers from 0 to 255 become uint8, others float32.
    """
    try:
        array = np.array(value)
    except ValueError as error:
        return RequestError(400, f"{name}: {_EXPECTED}, received {error}; {_FIX}")
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or not array.size:
        return RequestError(
            400,
            f"{name}: {_EXPECTED}, received {shown(value)} of shape {list(array.shape)}; {_FIX}",
        )
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    with np.errstate(over="ignore"):  # infinity is told with the picture
        return array.astype(np.float32)


_EXPECTED = 'expected an encoded picture {"b64": ...}, or its pixels as lists [H][W] or [H][W][C]'
_FIX = "send numbers, with rows of one length and the channels last"
