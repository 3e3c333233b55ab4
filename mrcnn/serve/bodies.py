"""The body of a request, within its limits."""

import asyncio

from starlette.requests import ClientDisconnect

from mrcnn.serve.errors import RequestError, shown


async def read_body(request, limits):
    """The bytes of a request's body.

    Args:
        request: `fastapi.Request`.
        limits: `Limits`.

    Raises:
        RequestError: it is compressed, too large, too slow, or ends before it should.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(
            415,
            f"expected a body without Content-Encoding, received {shown(encoding)}; pictures are "
            "compressed already",
        )
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits, f"{length} bytes")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.body_bytes:
                    raise _too_large(limits, "more")
                chunks.append(chunk)
    except TimeoutError:
        raise RequestError(
            408,
            f"expected the whole body within {limits.body_seconds:g} s, received {size} bytes; "
            "send less, or faster",
        ) from None
    except ClientDisconnect:
        raise RequestError(400, f"the body ended after {size} bytes; send all of it") from None
    return b"".join(chunks)


def _too_large(limits, received):
    return RequestError(
        413,
        f"expected a body of at most {limits.body_bytes} bytes, received {received}; send fewer or "
        "smaller pictures, or start the server with a larger --max-megabytes",
    )
