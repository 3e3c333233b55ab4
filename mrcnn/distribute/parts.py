"""The files that users read: the blocks that are done, many of them in one.

`part-PLAN-FIRST-LAST.parquet` has the rows of the blocks FIRST to LAST. What is done is told by the
names of parts and blocks alone, none of which is ever there in half.
"""

import bisect
import io
import re
from concurrent.futures import ThreadPoolExecutor

from mrcnn.distribute.jobs import FOLDER, MARKS, block_name
from mrcnn.distribute.packages import import_pyarrow
from mrcnn.distribute.plan import Plan, remove_plan
from mrcnn.distribute.rows import table_bytes

PICTURES = 4096  # files of pictures whose rows a part has, at most
PART = re.compile(r"part-(\w+)-(\d{8})-(\d{8})\.parquet")
_THREADS = 16  # that wait for a remote folder


class Parts:
    """Which blocks of a plan are done, and the parts they become.

    Args:
        plan: `mrcnn.distribute.plan.Plan`.

    Attributes:
        missing: list of int, the blocks that are to be done.
    """

    def __init__(self, plan):
        self._plan, self._folder = plan, plan.folder
        size = max(1, PICTURES // plan.block_size)
        done = self._folder.names(FOLDER)
        gaps = list(gaps_of(plan))
        self._tidy(done - {self._file(i) for first, last in gaps for i in range(first, last + 1)})
        self.missing, self._groups, self._left = [], [], []
        for first, last in gaps:
            for start in range(first, last + 1, size):
                group = range(start, min(start + size, last + 1))
                missing = [i for i in group if self._file(i) not in done]
                self.missing += missing
                self._groups.append(group)
                self._left.append(set(missing))
        self._starts = [group[0] for group in self._groups]
        for i, left in enumerate(self._left):
            if not left:
                self._write(self._groups[i])

    def _tidy(self, merged):
        """Removes what runs that were stopped left behind: blocks that are in a part, marks."""
        for name in merged:
            self._folder.remove(f"{FOLDER}/{name}")
        for name in self._folder.names(MARKS):
            self._folder.remove(f"{MARKS}/{name}")
        for below in ("", FOLDER, MARKS):
            self._folder.remove_unfinished(below)

    def _file(self, block):
        return block_name(self._plan, block).rpartition("/")[2]

    def add(self, block):
        """Notes that a block is done."""
        i = bisect.bisect_right(self._starts, block) - 1
        left = self._left[i]
        if block in left:
            left.remove(block)
            if not left:
                self._write(self._groups[i])

    def _write(self, group):
        """Writes the part of a group of blocks, and removes these."""
        names = [block_name(self._plan, block) for block in group]
        with ThreadPoolExecutor(_THREADS) as threads:
            data = threads.map(self._folder.read, names)
            read_table = import_pyarrow().parquet.read_table
            content = table_bytes([read_table(io.BytesIO(each)) for each in data])
            name = f"part-{self._plan.name}-{group[0]:08d}-{group[-1]:08d}.parquet"
            self._folder.write(name, content)
            list(threads.map(self._folder.remove, names))


def remove_results(folder):
    """Removes what earlier runs wrote, and nothing else; the plan last, which tells what."""
    try:
        plan = Plan(folder)
    except FileNotFoundError:
        return
    for name in folder.names():
        match = PART.fullmatch(name)
        if match and match[1] == plan.name:
            folder.remove(name)
    for below in (FOLDER, MARKS):
        for name in folder.names(below):
            folder.remove(f"{below}/{name}")
    remove_plan(folder)


def gaps_of(plan):
    """Yields (first, last) of the blocks of a plan that are in no part yet."""
    found = (PART.fullmatch(name) for name in plan.folder.names())
    ranges = sorted((int(x[2]), int(x[3])) for x in found if x and x[1] == plan.name)
    return _gaps(ranges, plan.num_blocks)


def _gaps(ranges, count):
    """Yields (first, last) of what lies between ranges, of numbers from 0 to `count`.

    >>> list(_gaps([(2, 3)], 6))
    [(0, 1), (4, 5)]
    """
    start = 0
    for first, last in [*ranges, (count, count)]:
        if start < first:
            yield start, first - 1
        start = last + 1
