"""Where the folders of runs lie: on this machine, or in a remote folder, s3://bucket/runs.

A training writes files of this machine alone. Those of a remote run lie in a folder for the
meantime, and what has changed is copied whenever the state was saved: the state last, so that what
is there can always be gone on with.
"""

import os
import shutil
import tempfile
import warnings
import weakref

from mrcnn.files.folders import RemoteFolder, files_below
from mrcnn.files.remote import file_system, is_remote, local_path
from mrcnn.training.state import FILE

_WEIGHTS = ".h5"  # how the names of checkpoints end


def runs_at(path):
    """The runs below a folder: `RunsHere`, or `RemoteRuns` of a remote one.

    Raises:
        ImportError: fsspec, or its part for this kind of path, is not installed.
    """
    return RemoteRuns(path) if is_remote(path) else RunsHere(local_path(path))


class RunsHere:
    """Runs below a folder of this machine: they lie where they are written.

    Attributes:
        root: str, the folder as the user calls it.
        path: str, that of this machine whose folders are those of runs.
    """

    def __init__(self, path):
        self.root = self.path = path

    def here(self, path):
        """The path of this machine that stands for one below `root`."""
        return path

    def there(self, path):
        """The path below `root` that one of this machine stands for."""
        return path

    def make(self, folder):
        """Makes the folder of a new run.

        Raises:
            FileExistsError: a run has it.
        """
        os.makedirs(folder)

    def open(self, folder):
        """Makes the folder of a run unless it is there, for more to be written in it."""
        os.makedirs(folder, exist_ok=True)

    def fetch_state(self, folder):
        """The folder of this machine with the state of a run that is to go on."""
        return folder

    def names(self, folder):
        """Names of the files in the folder of a run."""
        return os.listdir(folder)

    def remove(self, path):
        """Removes a file of a run."""
        os.remove(path)

    def upload(self, folder):
        """Copies to a remote folder what has changed in that of a run."""

    def finish(self, folder):
        """As `upload`, when nothing more will be written."""


class RemoteRuns(RunsHere):
    """Runs below a remote folder; paths that are given and returned are of this machine.

    Args:
        root: str, as s3://bucket/runs.
    """

    def __init__(self, root):
        self.root = os.fspath(root).rstrip("/")
        file_system(self.root)  # what is not installed is said now
        self.path = tempfile.mkdtemp(prefix="mrcnn")
        self._forget = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._remote, self._copied, self._outdated = RemoteFolder(self.root), {}, []
        self._reached = False  # whether anything could be written there

    def here(self, path):
        name = os.fspath(path).removeprefix(f"{self.root}/")
        return path if name == os.fspath(path) else os.path.join(self.path, *name.split("/"))

    def there(self, path):
        return f"{self.root}/{self._name(path)}"

    def _name(self, path):
        """The name below `root` of a path of this machine."""
        return os.path.relpath(path, self.path).replace(os.sep, "/")

    def make(self, folder):
        os.makedirs(folder)
        if self._name(folder) in self._remote.folders():
            raise FileExistsError(f"{self.there(folder)}: a run has this folder")

    def open(self, folder):
        """Copies what goes on there beside: tables and logs, no weights."""
        os.makedirs(folder, exist_ok=True)
        for name in RemoteFolder(self.there(folder)).names():
            if name != FILE and not name.endswith(_WEIGHTS):
                self._get(os.path.join(folder, name))

    def fetch_state(self, folder):
        folder = self.here(folder)
        self.open(folder)
        self._get(os.path.join(folder, FILE))
        return folder

    def _get(self, path):
        if not os.path.exists(path):
            self._remote.get(self._name(path), path)
            self._copied[self._name(path)] = _version(path)

    def names(self, folder):
        return RemoteFolder(self.there(folder)).names().union(os.listdir(folder))

    def remove(self, path):
        """Removes it there when what is newer has been copied."""
        if os.path.exists(path):
            os.remove(path)
        self._outdated.append(self._name(path))

    def upload(self, folder):
        """Copies what has changed in the folder of a run. What fails is told, and tried again with
        the next state.

        Raises:
            OSError: it failed the first time.
        """
        try:
            self._upload(folder)
        except OSError as error:
            if not self._reached:
                raise
            warnings.warn(
                f"{self.there(folder)} is not up to date: {error}. The training goes on, and "
                "copies again when it saves its state",
                stacklevel=2,
            )

    def finish(self, folder):
        """Copies what is left.

        Raises:
            OSError: it cannot be copied; the message says where it lies.
        """
        try:
            self._upload(folder)
        except OSError as error:
            self._forget.detach()
            raise OSError(f"{error}; what was written lies in {folder}") from error

    def _upload(self, folder):
        for name in sorted(files_below(folder), key=_order):
            path = os.path.join(folder, *name.split("/"))
            version, name = _version(path), f"{self._name(folder)}/{name}"
            if self._copied.get(name) != version:
                self._remote.put(name, path)
                self._copied[name], self._reached = version, True
        while self._outdated:
            self._remote.remove(self._outdated[-1])
            self._outdated.pop()


def _order(name):
    """Weights first, the state last: it says what is there."""
    return name == FILE, not name.endswith(_WEIGHTS), name


def _version(path):
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
