"""Folders whose files appear whole or not at all, on this machine and remote.

Names have no "/" at their start: "_plan/settings.json".
"""

import contextlib
import os
import shutil
import tempfile
import uuid

from mrcnn.files.remote import errors_of, file_system, is_remote, without_file_scheme
from mrcnn.files.replacing import UNFINISHED, appearing, replaced
from mrcnn.files.retrying import patient

# Where what is written appears when all of it has come; elsewhere it is renamed then.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}


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

    def folders(self):
        """Names of the folders in it, a set."""
        try:
            with os.scandir(self.path) as entries:
                return {x.name for x in entries if x.is_dir()}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def has(self, name):
        """Whether there is a file of that name."""
        return os.path.isfile(os.path.join(self.path, name))

    def modified(self, name):
        """When a file was written, which compares with the others of its folder."""
        return os.path.getmtime(os.path.join(self.path, name))

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
    def folders(self):
        system, place = self._place("")
        try:
            with errors_of(self.path):
                found = system.ls(place, detail=True)
        except FileNotFoundError:
            return set()
        return {x["name"].rstrip("/").rpartition("/")[2] for x in found if x["type"] == "directory"}

    @patient
    def has(self, name):
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}"):
            return system.isfile(place)

    @patient
    def modified(self, name):
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}"):
            return system.modified(place)

    @patient
    def read(self, name):
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}"):
            return system.cat_file(place)

    @patient
    def write(self, name, data):
        with self._replaced(name) as (system, place):
            system.pipe_file(place, data)

    @patient
    def put(self, name, path):
        """As `write`, of a file of this machine, which may be larger than memory."""
        with self._replaced(name) as (system, place):
            system.put_file(path, place)

    @patient
    def get(self, name, path):
        """Copies a file to a path of this machine, whole or not at all; "" is what is at the
        folder's own path."""
        system, place = self._place(name)
        with errors_of(f"{self.path}/{name}".rstrip("/")), appearing(path) as unfinished:
            system.get_file(place, unfinished)

    @contextlib.contextmanager
    def _replaced(self, name):
        """The file system, and where to write what is at a name once all of it has come."""
        system, place = self._place(name)
        protocol = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
        with errors_of(f"{self.path}/{name}"):
            if _WHOLE & set(protocol):
                yield system, place
                return
            system.makedirs(place.rpartition("/")[0], exist_ok=True)
            unfinished = f"{place}.{uuid.uuid4().hex}{UNFINISHED}"
            try:
                yield system, unfinished
                system.mv(unfinished, place)
            except BaseException:
                with contextlib.suppress(Exception):
                    system.rm_file(unfinished)
                raise

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


@contextlib.contextmanager
def uploaded(path):
    """The path of a file of this machine to write: `path`, or one that is copied there after.

    Args:
        path: of a file, here or remote.

    Raises:
        OSError: it cannot be copied; then there is nothing new at `path`.

    Example:

    >>> with uploaded("s3://bucket/mine.h5") as file:  # doctest: +SKIP
    ...     write(file)
    """
    if not is_remote(path):
        yield without_file_scheme(path)
        return
    folder, _, name = os.fspath(path).rpartition("/")
    with tempfile.TemporaryDirectory(prefix="mrcnn") as here:
        file = os.path.join(here, name)
        yield file
        RemoteFolder(folder).put(name, file)


@contextlib.contextmanager
def uploaded_folder(path, whole=False):
    """As `uploaded`, of a folder, which is made. What cannot be copied stays on this machine.

    Args:
        path: of a folder, here or remote.
        whole: bool, whether a remote folder is left empty where not all can be copied.
    """
    if not is_remote(path):
        path = without_file_scheme(path)
        os.makedirs(path, exist_ok=True)
        yield path
        return
    here = tempfile.mkdtemp(prefix="mrcnn")
    written = False
    try:
        yield here
        written = True
        _upload(here, RemoteFolder(path), whole)
    except OSError as error:
        if written:
            raise OSError(f"{error}; what was written lies in {here}") from error
        raise
    else:
        written = False
    finally:
        if not written:
            shutil.rmtree(here, ignore_errors=True)


def _upload(here, remote, whole):
    """Copies the files of a folder, the last written last: it may name the others."""
    paths = {name: os.path.join(here, name) for name in files_below(here)}
    names = sorted(paths, key=lambda name: os.stat(paths[name]).st_mtime_ns)
    try:
        for name in names:
            remote.put(name, paths[name])
    except BaseException:
        for name in names if whole else ():
            with contextlib.suppress(OSError):
                remote.remove(name)
        raise


def files_below(folder):
    """Names of all files below a folder of this machine, with "/", without those being written."""
    found = []
    for place, _, names in os.walk(folder):
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        whole = [name for name in names if not _is_unfinished(name)]
        found += [name if below == "." else f"{below}/{name}" for name in whole]
    return sorted(found)
