"""The file of a body: a form of several parts (RFC 7578), or the bytes as they are."""

import re

from mrcnn.serve.errors import RequestError, shown

_PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


def read_upload(body, content_type=None):
    """The name and the bytes of the file that a body brings.

    Args:
        body: bytes.
        content_type: str, of the request, or None. What is no form is the file itself, for curl
            calls what it sends by --data-binary a form of another kind.

    Returns:
        (str or None, bytes).

    Raises:
        RequestError: the body is empty, or a form without exactly one file.
    """
    kind, parameters = _parsed(content_type or "")
    if kind != "multipart/form-data":
        if not body:
            raise RequestError(400, f"expected a picture, received an empty body; {_FIX}")
        return None, body
    boundary = parameters.get("boundary")
    if not boundary:
        raise RequestError(
            400,
            f"expected a boundary in the Content-Type, received {shown(content_type)}; let the "
            "client write this header itself",
        )
    parts = _parts(body, boundary.encode("latin-1", "replace"))
    files = [(name, content) for name, content in parts if name is not None]
    if len(files) != 1:
        raise RequestError(
            400,
            f"expected a form with one file, received {len(files)} in {len(parts)} parts; {_FIX}",
        )
    return files[0]


_FIX = "send it as curl -F file=@a.jpg or curl --data-binary @a.jpg does, one a request"


def _parsed(value):
    """The first word of a header, and its parameters."""
    kind, _, _ = value.partition(";")
    found = _PARAMETER.findall(value)
    parameters = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in found
    }
    return kind.strip().lower(), parameters


def _parts(body, boundary):
    """The parts of a form: list of (name of the file, or None of other fields; bytes)."""
    # The first delimiter may stand without the line break that belongs to all others.
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise RequestError(
            400,
            f"expected a form that ends with its boundary --{boundary.decode('latin-1')}--, "
            f"received {len(body)} bytes without it; send the whole body",
        )
    parts = []
    for piece in pieces[1:-1]:
        # Behind the boundary blanks may stand, then the line breaks.
        head, _, content = piece.lstrip(b" \t").partition(b"\r\n\r\n")
        name = None
        for line in head.decode("utf-8", "replace").split("\r\n"):
            header, _, value = line.partition(":")
            if header.strip().lower() == "content-disposition":
                name = _parsed(value)[1].get("filename")
        parts.append((name, content))
    return parts
