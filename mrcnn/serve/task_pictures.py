"""The pictures that Label Studio's tasks name, fetched from where they lie.

Who may write tasks says by them what this server fetches. So that is Label Studio's own address,
and hosts that the operator names.
"""

import base64
import http.client
import json
import string
import urllib.parse
import urllib.request

from mrcnn.serve.errors import RequestError, shown
from mrcnn.serve.protocols.json_bodies import from_base64

_STORAGES = ("s3", "gs", "azure-blob")  # whose files Label Studio hands on


class TaskPictures:
    """Fetches pictures.

    Args:
        url: str, Label Studio's address.
        key: str, an access token or a personal access token of one of its users, or None.
        hosts: names of other hosts whose pictures tasks may name, with their port where it is not
            the usual one.
        limits: `Limits`: of the size and the time.
    """

    def __init__(self, url, key, hosts, limits):
        self.url, self.key, self.limits = url.rstrip("/"), key, limits
        self._own = urllib.parse.urlsplit(self.url)[:2]
        self._hosts = set(hosts)
        # HTTP alone: urllib's own opener reads files and FTP as well.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            *(urllib.request.ProxyHandler(), urllib.request.HTTPHandler()),
            *(urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler()),
            *(_Redirects(self), urllib.request.HTTPErrorProcessor()),
        ):
            self._opener.add_handler(handler)

    def fetch(self, reference, task_id, name):
        """The bytes of a task's picture, or the `RequestError` why there are none.

        Args:
            reference: what the task has: a path or URL of Label Studio, a URL of another host, of
                a storage that Label Studio knows, or the picture itself as a data: URL.
            task_id: of the task.
            name: str, what an error calls the picture.
        """
        if not isinstance(reference, str) or not reference:
            return RequestError(
                400,
                f"{name}: expected the task's data to name a picture, received {shown(reference)}; "
                "see the value of Image in the labelling configuration",
            )
        if reference.startswith("data:"):
            return from_base64(reference.partition(",")[2], name)
        try:
            return self._read(self._address(reference, task_id))
        except RequestError as error:
            return RequestError(error.status, f"{name}: {error.message}")
        except (OSError, ValueError, http.client.HTTPException) as error:  # what urllib raises
            return RequestError(
                502, f"{name}: expected a picture at {shown(reference, 100)}, received {error}"
            )

    def is_own(self, url):
        """Whether a URL is of Label Studio."""
        return urllib.parse.urlsplit(url)[:2] == self._own

    def allows(self, url):
        """Whether a URL may be fetched."""
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.netloc in self._hosts
        return known or self.is_own(url)

    def _address(self, reference, task_id):
        """The URL of a picture that may be fetched."""
        parts = urllib.parse.urlsplit(reference)
        if parts.scheme in _STORAGES:
            uri = base64.urlsafe_b64encode(reference.encode()).decode()
            return f"{self.url}/tasks/{urllib.parse.quote(str(task_id))}/presign/?fileuri={uri}"
        if not parts.scheme and not parts.netloc:
            path = "/" + reference.lstrip("/")
            return self.url + ("/data" + path if path.startswith("/upload/") else path)
        if not self.allows(reference):
            raise RequestError(
                403,
                f"expected a picture of {self.url}, received {shown(reference, 100)}; start the "
                f"server with --picture-hosts {parts.netloc or 'HOST'} to allow that host",
            )
        return reference

    def _read(self, address):
        # Of blanks and letters beyond ASCII urllib makes nothing.
        request = urllib.request.Request(urllib.parse.quote(address, safe=string.punctuation))
        if self.key and self.is_own(address):
            # Where a redirect leads, it is not sent.
            request.add_unredirected_header("Authorization", self._authorization())
        most = self.limits.body_bytes
        with self._open(request) as answer:
            data = answer.read(most + 1)
        if len(data) > most:
            raise RequestError(413, f"expected a picture of at most {most} bytes, received more")
        return data

    def _open(self, request):
        return self._opener.open(request, timeout=self.limits.body_seconds)

    def _authorization(self):
        """The header of a key: personal access tokens are traded for one that is valid minutes."""
        if self.key.count(".") != 2:
            return f"Token {self.key}"
        request = urllib.request.Request(
            f"{self.url}/api/token/refresh",
            json.dumps({"refresh": self.key}).encode(),
            {"Content-Type": "application/json"},
        )
        with self._open(request) as answer:
            return f"Bearer {json.load(answer)['access']}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows Label Studio, which sends to a storage's address, and others to hosts allowed."""

    def __init__(self, pictures):
        self.pictures = pictures

    def redirect_request(self, request, file, code, message, headers, url):
        if not (self.pictures.is_own(request.full_url) or self.pictures.allows(url)):
            raise RequestError(
                403, f"expected a picture, received a redirect to {shown(url, 100)}, not allowed"
            )
        return super().redirect_request(request, file, code, message, headers, url)
