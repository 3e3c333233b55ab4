"""Fetches one file: goes on where a transfer was cut off, checks it, puts it in place whole or not.

Beside `path` lie, while it is fetched, `path.part` (what has come), `path.part.tag` (the server's
mark of that version) and `path.lock`; afterwards `path.checked`, so that it is hashed once only.
"""

import contextlib
import dataclasses
import hashlib
import http.client
import importlib.util
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from mrcnn import __version__

TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 5  # connections for one file, as long as each brings something
_BLOCK = 1 << 20


class DownloadError(OSError):
    """The server cannot be reached, or does not give the file that was asked for."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What is known of a file; None where nothing is. Hashes may be leading hex digits only."""

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    def fault(self, measured):
        """What is wrong with a file of `measure`, as half a sentence; None where nothing is."""
        if self.size is not None and measured["size"] != self.size:
            return f"it has {measured['size']:,} bytes, expected {self.size:,}"
        for name, label in (("sha256", "SHA-256"), ("md5", "MD5")):
            digits = getattr(self, name)
            if digits is not None and not measured[name].startswith(digits.lower()):
                return f"its {label} is {measured[name]}, expected {digits}"
        return None

    def describe(self):
        """What to expect, for people."""
        facts = [f"{self.size:,} bytes"] if self.size is not None else []
        facts += [f"SHA-256 {self.sha256}"] if self.sha256 else []
        facts += [f"MD5 {self.md5}"] if self.md5 else []
        return ", ".join(facts) or "size and hash are not known"


def show_progress(done, total):
    """Draws one line on a terminal's stderr; elsewhere nothing."""
    if not sys.stderr.isatty():
        return
    share = f" of {total / 1e6:.1f} MB, {100 * done // total} %" if total else " MB"
    end = "\n" if done == total else ""
    print(f"\r{done / 1e6:.1f}{share}", end=end, file=sys.stderr, flush=True)


def ensure(url, path, expected, progress=None):
    """Makes sure that `path` is the file: fetches it if it is absent or damaged.

    Args:
        url: str, http or https.
        path: str; its folder exists.
        expected: `Expected`.
        progress: function of (bytes so far, bytes in all or None), called as blocks come.

    Raises:
        DownloadError: it could not be fetched; what came is kept for the next attempt.
        OSError: the disk refuses.
    """
    with _alone(path):
        if not os.path.exists(path) or _fault_on_disk(path, expected):
            _download(url, path, expected, progress)


def measure(path):
    """Size, time of change and hashes of a file, as `Expected.fault` takes them."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            md5.update(block)
    return {**_stat(path), "sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def known(path):
    """As `measure`, without reading a fetched file that has not changed since it was checked."""
    remembered = _remembered(path)
    unchanged = remembered and _stat(path).items() <= remembered.items()
    return remembered if unchanged else measure(path)


def in_package(url):
    """The path of a file that an installed Python package brings, None where none is installed.

    Args:
        url: str, `package://<package>/<path inside it>`.
    """
    package, inside = urllib.parse.urlsplit(url)[1:3]
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or []:
        path = os.path.join(folder, *inside.strip("/").split("/"))
        if os.path.exists(path):
            return path
    return None


def _fault_on_disk(path, expected):
    now, remembered = _stat(path), _remembered(path)
    if expected.size is not None and now["size"] != expected.size:
        return expected.fault(now)
    if not remembered or not now.items() <= remembered.items():
        # Where no hash is published, the file must still be what once came.
        if remembered and not (expected.sha256 or expected.md5):
            expected = dataclasses.replace(expected, sha256=remembered["sha256"])
        remembered = measure(path)
        _remember(path, remembered)
    return expected.fault(remembered)


def _download(url, path, expected, progress):
    part = f"{path}.part"
    for _ in range(2):
        resumed = _complete(url, part, expected, progress)
        measured = measure(part)
        fault = expected.fault(measured)
        if fault is None:
            os.replace(part, path)
            _discard(part)
            _remember(path, measured)
            return
        _discard(part)
        # Halves of two versions do not fit: begin again. What came whole will not get better.
        if not resumed:
            break
    raise DownloadError(f"what the server sent is not that file: {fault}")


def _complete(url, part, expected, progress):
    """Fetches until `part` is whole; returns whether any of it is from an earlier connection."""
    resumed = False
    for _ in range(ATTEMPTS):
        start = os.path.getsize(part) if os.path.exists(part) else 0
        if expected.size is not None and start >= expected.size:
            return True
        # Without a mark of the version or a hash nobody would notice two halves that do not fit.
        if not (_tag(part) or expected.sha256 or expected.md5):
            start = 0
        response = _connect(url, part, start)
        if response is None:
            _discard(part)
            continue
        with response:
            came_from, total = _receive(response, part, start, expected, progress)
        resumed = resumed or came_from > 0
        done = os.path.getsize(part)
        if total is None or done == total:
            return resumed
        if done == came_from:
            break
    raise DownloadError(f"the connection broke after {done:,} of {total:,} bytes")


def _connect(url, part, start):
    """The answer of the server; None where it has no byte `start`, the file having changed."""
    headers = {"User-Agent": f"mrcnn/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if _tag(part):
            headers["If-Range"] = _tag(part)
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            return None
        raise DownloadError(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(str(reason) or type(error).__name__) from error


def _receive(response, part, start, expected, progress):
    """Writes what comes. Returns the byte it began at and the size of the file, None if unknown."""
    if response.status == 206:
        content_range = response.headers.get("Content-Range", "")
        if not content_range.startswith(f"bytes {start}-"):
            raise DownloadError(f"asked for the bytes from {start}, got {content_range!r}")
    else:
        start = 0
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    if None not in (total, expected.size) and total != expected.size:
        raise DownloadError(f"the server's file has {total:,} bytes, expected {expected.size:,}")
    _write_tag(part, response.headers)
    with open(part, "ab" if start else "wb") as file:
        done = start
        while block := _read(response):
            file.write(block)
            done += len(block)
            if progress:
                progress(done, total)
    return start, total


def _read(response):
    """The next block; nothing at the end and where the connection breaks."""
    try:
        return response.read(_BLOCK)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException):
        return b""


def _write_tag(part, headers):
    tag = headers.get("ETag") or ""
    if not tag.startswith('"'):  # a weak tag does not promise equal bytes
        tag = headers.get("Last-Modified") or ""
    with open(f"{part}.tag", "w") as file:
        file.write(tag)


def _tag(part):
    try:
        with open(f"{part}.tag") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _discard(part):
    for path in (part, f"{part}.tag"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def _stat(path):
    status = os.stat(path)
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _remembered(path):
    try:
        with open(f"{path}.checked") as file:
            remembered = json.load(file)
    except (OSError, ValueError):
        return None
    names = {"size", "mtime_ns", "sha256", "md5"}
    return remembered if isinstance(remembered, dict) and set(remembered) == names else None


def _remember(path, measured):
    # A cache that cannot be written is hashed again the next time.
    with contextlib.suppress(OSError), open(f"{path}.checked", "w") as file:
        json.dump(measured, file)


@contextlib.contextmanager
def _alone(path):
    """Keeps other processes of this machine out, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        lock = open(f"{path}.lock", "w")  # noqa: SIM115
    except OSError:  # a folder that only others write: its files are whole
        yield
        return
    with lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
