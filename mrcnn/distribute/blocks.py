"""What a worker does: a block of pictures becomes a file of the rows of what was found.

A picture that kills its process - by its size, or a fault in a library - would kill each that
tries. So each attempt leaves a mark beside the results, and what killed two of one run is done
picture by picture; a picture that kills two more becomes a row with that as its error.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io

import numpy as np

from mrcnn.distribute.jobs import MARKS, Done, block_name
from mrcnn.distribute.packages import import_pyarrow
from mrcnn.distribute.remote_listing import is_of_one_file
from mrcnn.distribute.rows import error_row, found_row, schema, table_bytes
from mrcnn.files.remote import fetched, is_remote
from mrcnn.files.retrying import is_full
from mrcnn.image.channels import Channels
from mrcnn.inference.inputs import Picture, Source, iterate_sources
from mrcnn.inference.picture_detector import PictureDetector

DEATHS = 2  # of one run's workers, of which a block or a picture is blamed


class BlockDetector:
    """Detects in blocks with one model.

    Args:
        job: `Job`.
    """

    def __init__(self, job):
        self.plan, self.run, self.score = job.plan, job.run, job.score
        with contextlib.redirect_stdout(io.StringIO()):  # not the same from each worker
            self._model = job.build()
        self._channels = Channels.of(self._model.settings.image)
        self._detector = PictureDetector(self._model)
        scheme = getattr(self._model, "keypoint_scheme", None)
        self._schema = schema(self._model.class_names, scheme)

    def detect(self, block, decoded=None):
        """Detects in a block's pictures and writes its file.

        Args:
            block: int.
            decoded: of `decode`, or None.

        Returns:
            `Done`.
        """
        marks, paths = _Marks(self.plan, self.run, block), self.plan.paths(block)
        pictures = self._pictures(paths, decoded)
        if marks.begin() >= DEATHS:
            found = (each for picture in pictures for each in self._alone(picture, marks))
        else:
            found = self._detector.over(pictures)
        rows = [self._row(picture, result) for picture, result in found]
        places = {path: i for i, path in enumerate(paths)}
        rows.sort(key=lambda row: (places[row["path"]], row["page"] or 0))
        table = import_pyarrow().Table.from_pylist(rows, self._schema)
        self.plan.folder.write(block_name(self.plan, block), table_bytes([table]))
        marks.end_all()
        failed = sum("error" in row for row in rows)
        return Done(block, len(rows), failed, sum(len(row.get("scores", ())) for row in rows))

    def _pictures(self, paths, decoded):
        """Yields each `Picture` of files; one whose file cannot be read says so when loaded."""
        for i, path in enumerate(paths):
            source = Source(path, path, path)
            if decoded is not None and decoded[i] is not None and not self._channels.files:
                yield Picture(path, source, None, 1, functools.partial(np.asarray, decoded[i]))
                continue
            if is_remote(path) and self._channels.files:
                error = ValueError(
                    f"{path}: the further files of IMAGE_CHANNEL_FILES are looked for on this "
                    "machine; copy the pictures here"
                )
                yield Picture(path, source, None, 1, functools.partial(_refuse, error))
                continue
            yield from self._of_file(source)

    def _of_file(self, source):
        try:
            with fetched(source.path) as file:
                tile_size = self._model.settings.tiles.size
                here = Source(file, source.name, source.file_name)
                for picture in iterate_sources([here], "all", self._channels, tile_size):
                    load = functools.partial(_load, picture, file, source.path)
                    yield dataclasses.replace(picture, source=source, load=load)
        except OSError as error:  # of what cannot be reached nothing is known: raised
            if is_full(error) or not is_of_one_file(source.path, error):
                raise
            yield Picture(source.path, source, None, 1, functools.partial(_refuse, error))

    def _alone(self, picture, marks):
        """What `PictureDetector.over` yields of a picture, unless that is what kills."""
        name = f"{picture.source.path}-{picture.page}"
        if marks.begin(name) >= DEATHS:
            error = (
                f"the process that detected in it was killed {2 * DEATHS} times: it is too large "
                "for the memory, or a library has a fault"
            )
            yield picture, ValueError(error)
            return
        yield from self._detector.over([picture])
        marks.end(name)

    def _row(self, picture, found):
        if isinstance(found, ValueError):
            return error_row(picture.source.path, picture.page, found)
        if self.score is not None:
            found = found.filter(found["scores"] >= self.score)
        return found_row(picture.source.path, picture.page, found)


class _Marks:
    """How often a block, or a picture of it, was begun in a run and not ended."""

    def __init__(self, plan, run, block):
        self._folder, self._stem = plan.folder, f"{MARKS}/{run}-{block:08d}"
        self._begun = {}  # by name: its files

    def begin(self, name=""):
        """Adds a mark; returns how many there were."""
        digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:12]
        stem, count = f"{self._stem}-{digest}", 0
        while self._folder.has(f"{stem}-{count}"):
            count += 1
        self._folder.write(f"{stem}-{count}", b"")
        self._begun[name] = [f"{stem}-{i}" for i in range(count + 1)]
        return count

    def end(self, name):
        """Takes the marks of a picture away."""
        for file in self._begun.pop(name):
            self._folder.remove(file)

    def end_all(self):
        """Takes all marks away: the block is done."""
        for name in list(self._begun):
            self.end(name)


def _load(picture, file, path):
    """Loads a picture of a file that may be a copy: errors name what it is a copy of."""
    try:
        return picture.load()
    except ValueError as error:
        raise ValueError(str(error).replace(file, path)) from error


def _refuse(error):
    raise ValueError(str(error)) from error
