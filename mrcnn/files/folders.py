"""Folders whose files appear whole or not at all, on this machine and remote.

A file is at most as large as memory. Names have no "/" at their start: "_plan/settings.json".
"""

import contextlib
import os
import uuid

from mrcnn.files.remote import errors_of, file_system, is_remote, without_file_scheme
from mrcnn.files.replacing import UNFINISHED, replaced
from mrcnn.files.retrying import patient

# Where what is written appears when all of it has come; elsewhere it is renamed then.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}


def open_folder(path):
    """The folder at a path, which need not exist yet.

    Args:
        path: of this machine, or remote.

    Example:

    >>> folder = open_folder("found")  # doctest: +SKIP
    >>> folder.write("a.json", b"{}")  # doctest: +SKIP
    """
    if is_remote(path):
        return RemoteFolder(path)
    return LocalFolder(without_file_scheme(path))


class LocalFolder:
    """A folder of this machine, or of a disk that several machines share."""

    def __init__(self, path):
        self.path = os.path.abspath(path)

    def names(self, below=""):
        """Names of the files in it, or in a folder below, without those being written; a set."""
        try:
            with os.scandir(os.path.join(self.path, below)) as entries:
                return {x.name for x in entries if x.is_file() and not _is_unfinished(x.name)}
        except FileNotFoundError:
            return set()

    def has(self, name):
        """Whether there is a file of that name."""
        return os.path.isfile(os.path.join(self.path, name))

    def read(self, name):
        """The bytes of a file.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def write(self, name, data):
        """Writes bytes as a file, in place of the one of that name where there is one.

        Raises:
            OSError: the disk refuses; then nothing is left of it.
        """
        path = os.path.join(self.path, name)
        with replaced(path) as unfinished, open(unfinished, "wb") as file:
            file.write(data)

    def remove(self, name):
        """Removes a file, where there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self.path, name))

    def remove_unfinished(self, below=""):
        """Removes what is left of files whose writers died."""
        folder = os.path.join(self.path, below)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if _is_unfinished(name):
                self.remove(os.path.join(below, name))


class RemoteFolder:
    """As `LocalFolder`, through fsspec; what fails for a moment is tried again."""

    def __init__(self, path):
        self.path = os.fspath(path).rstrip("/")

    def __getstate__(self):
        return self.path  # a process opens connections of its own

    def __setstate__(self, path):
        self.path = path

    def _place(self, name):
        system, root = file_system(self.path)
        return system, f"{root.rstrip('/')}/{name}".rstrip("/")

    @patient
    def names(self, below=""):
        system, place = self._place(below)
        try:
            with errors_of(self.path):
                found = system.ls(place, detail=True)
        except FileNotFoundError:
            return set()
        files = (x["name"].rpartition("/")[2] for x in found if x["type"] == "file")
        return {name for name in files if name and not _is_unfinished(name)}

    @patient
    def has(self, name):
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}"):
            return system.isfile(place)

    @patient
    def read(self, name):
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}"):
            return system.cat_file(place)

    @patient
    def write(self, name, data):
        system, place = self._place(name)
        protocol = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
        with errors_of(f"{self.path}/{name}"):
            if _WHOLE & set(protocol):
                system.pipe_file(place, data)
                return
            system.makedirs(place.rpartition("/")[0], exist_ok=True)
            unfinished = f"{place}.{uuid.uuid4().hex}{UNFINISHED}"
            system.pipe_file(unfinished, data)
            system.mv(unfinished, place)

    @patient
    def remove(self, name):
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}"), contextlib.suppress(FileNotFoundError):
            system.rm_file(place)

    def remove_unfinished(self, below=""):
        system, place = self._place(below)
        with errors_of(self.path), contextlib.suppress(FileNotFoundError):
            for found in system.ls(place, detail=False):
                if _is_unfinished(found):
                    system.rm_file(found)


def _is_unfinished(name):
    return name.endswith(UNFINISHED)
