"""The bodies of requests, within their limits."""

import asyncio

from starlette.requests import ClientDisconnect

from mrcnn.serve.errors import RequestError, shown


class Bodies:
    """Reads the bodies of requests. Belongs to one event loop.

    Those that are on their way are bounded together. Where there is no room for more, the one that
    has been on its way longest gives way: who sends slowly, or stops midway, keeps nobody out.

    Args:
        limits: `Limits`.
    """

    def __init__(self, limits):
        self.limits = limits
        self._arriving = {}  # the `asyncio.Timeout` of each: its bytes so far. The oldest first

    async def read(self, request):
        """The bytes of a request's body.

        Args:
            request: `fastapi.Request`.

        Raises:
            RequestError: it is compressed, too large, too slow, or ends before it should.
        """
        limits = self.limits
        _check_head(request.headers, limits)
        chunks, size = [], 0
        try:
            async with asyncio.timeout(limits.body_seconds) as timeout:
                self._arriving[timeout] = 0
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limits.body_bytes:
                        raise _too_large(limits, "more")
                    chunks.append(chunk)
                    self._make_room(timeout, size)
        except TimeoutError:
            within = f"within {limits.body_seconds:g} s"
            if timeout not in self._arriving:
                within = "before others need its room"
            raise RequestError(
                408,
                f"expected the whole body {within}, received {size} bytes; send less, or faster",
            ) from None
        except ClientDisconnect:
            raise RequestError(400, f"the body ended after {size} bytes; send all of it") from None
        finally:
            self._arriving.pop(timeout, None)
        return b"".join(chunks)

    def _make_room(self, timeout, size):
        """Counts the bytes of a body, and ends the wait for the oldest ones that do not fit."""
        if timeout in self._arriving:
            self._arriving[timeout] = size
        while sum(self._arriving.values()) > self.limits.arriving_bytes:
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            if not oldest.expired():
                oldest.reschedule(0)  # a time that has passed


def _check_head(headers, limits):
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(
            415,
            f"expected a body without Content-Encoding, received {shown(encoding)}; pictures are "
            "compressed already",
        )
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits, f"{length} bytes")


def _too_large(limits, received):
    return RequestError(
        413,
        f"expected a body of at most {limits.body_bytes} bytes, received {received}; send fewer or "
        "smaller pictures, or start the server with a larger --max-megabytes",
    )
