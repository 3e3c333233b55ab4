"""The pictures of a run in a fixed order, cut into blocks; kept beside its results.

A block is what a worker does at a time, and always the same pictures: whoever does it again, after
a crash, writes the same file again. So no picture is ever written twice.

`_plan/settings.json` says what the results depend on; `_plan/pictures-NUMBER-COUNT.parquet` hold
the paths, COUNT of them, in their order. Pictures that come later follow in further files; no block
has pictures of two files.
"""

import bisect
import functools
import hashlib
import io
import itertools
import json
import re
import uuid

from mrcnn.distribute.packages import import_pyarrow
from mrcnn.files.differences import differences
from mrcnn.files.folders import open_folder

FOLDER = "_plan"
SETTINGS = f"{FOLDER}/settings.json"
PICTURES = 16384  # of a file, at most
_NAME = re.compile(r"pictures-(\d+)-(\d+)\.parquet")


class Plan:
    """The blocks of a folder of results.

    Args:
        folder: `mrcnn.files.folders` folder that has a plan.

    Attributes:
        name: str, another for each plan.
        settings: dict, what the results depend on.
        num_pictures, num_blocks: int.

    Raises:
        FileNotFoundError: it has none.
        ValueError: what lies there is no plan.
    """

    def __init__(self, folder):
        self.folder = folder
        try:
            content = json.loads(folder.read(SETTINGS))
            self.name, self.settings = content["name"], content["settings"]
            self.block_size = content["block_size"]
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{folder.path}/{SETTINGS}: expected the settings of an earlier run, and this is "
                "something else: choose another folder"
            ) from None
        found = sorted(filter(None, map(_NAME.fullmatch, folder.names(FOLDER))), key=_number)
        self._files = [match[0] for match in found]
        self._counts = [int(match[2]) for match in found]
        self.num_pictures = sum(self._counts)
        blocks = (-(-count // self.block_size) for count in self._counts)
        self._starts = [0, *itertools.accumulate(blocks)]  # the first block of each file

    @property
    def num_blocks(self):
        return self._starts[-1]

    def paths(self, block):
        """The paths of a block, list of str.

        Args:
            block: int, from 0 to `num_blocks`.
        """
        file, first = self._place(block)
        column = _read(self.folder.path, self.name, self._files[file])
        return column[first : first + self.block_size].to_pylist()

    def count(self, block):
        """int, how many paths a block has."""
        file, first = self._place(block)
        return min(self.block_size, self._counts[file] - first)

    def _place(self, block):
        """The index of its file, and of its first path there."""
        file = bisect.bisect_right(self._starts, block) - 1
        return file, (block - self._starts[file]) * self.block_size

    def extend(self, paths):
        """A plan of these pictures too, where they are new; written.

        Args:
            paths: iterable of str.
        """
        known = set()
        for file in self._files:
            column = _read(self.folder.path, self.name, file)
            known.update(map(_digest, column.to_pylist()))
        new = _unknown(paths, known)
        number = len(self._files)
        while part := list(itertools.islice(new, PICTURES)):
            name = f"{FOLDER}/pictures-{number:06d}-{len(part)}.parquet"
            self.folder.write(name, _table_bytes(part))
            number += 1
        return Plan(self.folder)


def open_plan(folder, settings, block_size):
    """The plan of a folder, or a new and empty one; written.

    Args:
        folder: `mrcnn.files.folders` folder.
        settings: dict, ready for JSON, of what the results depend on.
        block_size: int, pictures of a block where the plan is new.

    Raises:
        ValueError: its results were made with other settings.
    """
    try:
        plan = Plan(folder)
    except FileNotFoundError:
        name = uuid.uuid4().hex[:8]
        content = {"name": name, "block_size": block_size, "settings": settings}
        folder.write(SETTINGS, json.dumps(content, indent=1).encode())
        return Plan(folder)
    differing = list(differences(plan.settings, json.loads(json.dumps(settings))))
    if differing:
        raise ValueError(
            f"{folder.path} holds results of other settings ({'; '.join(differing)}): choose "
            "another folder, or begin anew with --no-resume (resume=False)"
        )
    return plan


def remove_plan(folder):
    """Removes a plan; its settings last, which tell that there is one."""
    for name in folder.names(FOLDER) - {"settings.json"}:
        folder.remove(f"{FOLDER}/{name}")
    folder.remove(SETTINGS)


def _number(match):
    return int(match[1])


def _digest(path):
    """What tells paths apart, in fewer bytes."""
    try:
        return hashlib.blake2b(path.encode(), digest_size=16).digest()
    except UnicodeEncodeError:
        raise ValueError(f"{path!r}: expected a name in UTF-8; rename the file") from None


def _unknown(paths, known):
    for path in paths:
        digest = _digest(path)
        if digest not in known:
            known.add(digest)
            yield path


def _table_bytes(paths):
    pyarrow = import_pyarrow()
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"path": pyarrow.array(paths)}), file)
    return file.getvalue()


@functools.lru_cache(maxsize=2)
def _read(path, plan_name, name):
    """The paths of one of a plan's files, a column of Arrow."""
    pyarrow = import_pyarrow()
    file = io.BytesIO(open_folder(path).read(f"{FOLDER}/{name}"))
    return pyarrow.parquet.read_table(file).column("path")
