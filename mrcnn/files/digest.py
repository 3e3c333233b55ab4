"""What a file or folder holds, in a few bytes: the same on each machine that has a copy."""

import hashlib
import os


def digest(path):
    """The size and hash of what lies at a path, ready for JSON.

    Args:
        path: of a file; of a folder all files count, and of OpenVINO's `.xml` the `.bin` too.
            TensorFlow's `.index` has checksums of its data.

    Returns:
        str, such as "12 bytes, SHA-256 0a1b2c...".
    """
    size, found = 0, hashlib.sha256()
    for name, file in _files(os.fspath(path)):
        found.update(f"{name} {os.path.getsize(file)}\n".encode())
        size += os.path.getsize(file)
        with open(file, "rb") as opened:
            while block := opened.read(2**20):
                found.update(block)
    return f"{size} bytes, SHA-256 {found.hexdigest()}"


def _files(path):
    """(name, path) of each file, by names that are the same wherever it lies."""
    if os.path.isdir(path):
        below = (os.path.join(folder, x) for folder, _, names in os.walk(path) for x in names)
        return sorted((os.path.relpath(file, path).replace(os.sep, "/"), file) for file in below)
    stem, suffix = os.path.splitext(path)
    further = [f"{stem}.bin"] if suffix == ".xml" and os.path.isfile(f"{stem}.bin") else []
    return [(os.path.splitext(file)[1], file) for file in (path, *further)]
