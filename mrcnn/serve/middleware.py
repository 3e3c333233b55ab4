"""What happens around every request: its id, its key, its line in the log, its counts."""

import asyncio
import contextlib
import re
import time
import uuid

from fastapi.responses import JSONResponse

from mrcnn.serve.logs import LOGGER

OPEN = ("/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json")  # need no key
ASSETS = "/docs-assets"  # nor do the scripts of /docs
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class Surroundings:
    """ASGI middleware around an app.

    A request's `scope["mrcnn"]` is a dict of what its line in the log says beside the usual, with
    its `request_id`.

    Args:
        app: an ASGI app.
        service: `Service`.
        keys: `Keys`.
    """

    def __init__(self, app, service, keys):
        self.app, self.service, self.keys = app, service, keys

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), None
        facts = scope["mrcnn"] = {"request_id": _request_id(scope["headers"])}
        receive = _Body(scope["headers"], receive)

        async def send_with_id(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status != 408:
                    await receive.discard(self.service.limits.body_seconds)
                named = (b"x-request-id", facts["request_id"].encode())
                message = {**message, "headers": [*message["headers"], named]}
            await send(message)

        try:
            path = scope["path"]
            if path in OPEN or path.startswith(f"{ASSETS}/") or self.keys.admit(scope["headers"]):
                await self.app(scope, receive, send_with_id)
            else:
                await _unauthorized(facts)(scope, receive, send_with_id)
        except Exception:
            LOGGER.exception("request failed", extra={"facts": facts})
            if status is None:
                text = "the server failed; its log says more under this request_id"
                await error_response(500, text, facts)(scope, receive, send_with_id)
        finally:
            self._record(scope, facts, status, time.perf_counter() - start)

    def _record(self, scope, facts, status, seconds):
        # A pattern with braces: who asks for a thousand paths makes no thousand rows.
        route = getattr(scope.get("route"), "path", "unmatched")
        self.service.metrics.add_request(route, status or 499, seconds)
        client = scope.get("client") or [None]
        usual = {
            **{"client": client[0], "method": scope["method"], "path": scope["path"]},
            **{"status": status or 499, "ms": round(seconds * 1000, 1)},
        }
        LOGGER.info("request", extra={"facts": {**usual, **facts}})


class _Body:
    """The `receive` of a request, which knows whether its body has ended.

    Args:
        headers: list of (name in small letters, value), both bytes.
        receive: of ASGI.
    """

    def __init__(self, headers, receive):
        names = {name for name, _ in headers}
        # Who asks before it sends its body is not asked for it.
        sends = names & {b"content-length", b"transfer-encoding"} and b"expect" not in names
        self.receive, self.ended = receive, not sends

    async def __call__(self):
        message = await self.receive()
        self.ended = not message.get("more_body", False)
        return message

    async def discard(self, seconds):
        """Reads what is left: a client that still sends when its connection is closed would lose
        the answer that refuses it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ended:
                    await self()


def error_response(status, message, facts, retry_after=None):
    """The answer to a request that is refused."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 408:
        headers["Connection"] = "close"  # the rest of the body is not waited for
    content = {"error": message, "request_id": facts["request_id"]}
    return JSONResponse(content, status, headers)


def _unauthorized(facts):
    text = "expected a key of this server, received none or another; send Authorization: Bearer KEY"
    return error_response(401, text, facts)


def _request_id(headers):
    """The id that a client gives its request, or a new one."""
    given = dict(headers).get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex
