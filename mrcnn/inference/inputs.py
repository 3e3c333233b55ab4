"""Where pictures come from: folders, patterns, lists, pictures of one page or many, videos."""

import dataclasses
import functools
import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mrcnn.image.channels import Channels
from mrcnn.image.pages import PageReader
from mrcnn.image.reading import SUFFIXES
from mrcnn.image.video import VideoReader, import_av

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".m2ts", ".wmv", ".flv"),
    *(".ogv", ".3gp"),
)
FRAMES = ("all", "first")


@dataclasses.dataclass(frozen=True)
class Source:
    """A file of pictures.

    Attributes:
        path: str, as it was given.
        name: str, what is written for it is called: its path below the folder that all inputs
            share, with "/", without its suffix where no other file has that name.
        file_name: str, the same with its suffix.
    """

    path: str
    name: str
    file_name: str

    @property
    def is_video(self):
        return _suffix(self.path) in VIDEOS


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of a source.

    Attributes:
        name: str, unique: that of its source; of several, with its number: "stack_p0003" of a
            TIFF, "party_f0003" of an animation, "party_f000003" of a video.
        source: `Source`.
        page: int from 1 on, which of its source's pictures; None where it is the only one.
        count: int, how many its source has; None where it does not tell.
        load: function that returns its pixels, to be called before the next picture is asked for;
            ValueError: it cannot be read.
    """

    name: str
    source: Source
    page: int | None
    count: int | None
    load: Callable


def iterate_inputs(inputs, frames="all", avoid=None, channels=3, tile_size=None):
    """Yields a `Picture` for all that the inputs name; see `find_sources`, `iterate_sources`.

    Example:

    >>> for picture in iterate_inputs(["pictures", "scans/*.tif"]):  # doctest: +SKIP
    ...     found = model.detect([picture.load()])[0]
    """
    return iterate_sources(find_sources(inputs, avoid, channels), frames, channels, tile_size)


def find_sources(inputs, avoid=None, channels=3):
    """The files of pictures that inputs name, each once, in order.

    Args:
        inputs: path or list of paths. A folder: the pictures and videos in it and below, sorted,
            without hidden ones. A pattern with `*`, `?` or `**`: the same of what it matches, and
            arrays where it ends in ".npy". A text (.txt): a path a line, from the text's folder on.
            Any other file: itself.
        avoid: folder from which nothing is taken that is not named itself, or None.
        channels: `mrcnn.image.Channels`, or an int: further files of a picture are not taken by
            themselves, unless they are named.

    Returns:
        list of `Source`.

    Raises:
        ValueError: an input that names nothing.
        ImportError: there are videos, but PyAV is missing.
    """
    inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    if not inputs:
        raise ValueError("expected inputs: folders, patterns, lists or files, received none")
    avoid = None if avoid is None else os.path.abspath(avoid)
    channels = Channels.of(channels)
    files, roots = {}, []  # by absolute path; where the names start
    for i, item in enumerate(map(os.fspath, inputs)):
        for root, path in files_of(item, f"inputs[{i}]", avoid):
            if path != item and channels.is_further(path):
                continue
            files.setdefault(os.path.abspath(path), path)
            roots.append(os.path.abspath(root))
    sources = _named(files, os.path.commonpath(set(roots)))
    if any(source.is_video for source in sources):
        import_av()
    return sources


def iterate_sources(sources, frames="all", channels=3, tile_size=None):
    """Yields each `Picture` of sources; a file that cannot be read is one whose `load` says so.

    Args:
        sources: list of `Source`.
        frames: "all" pages and frames of a file, or the "first" of each.
        channels: `mrcnn.image.Channels`, or an int: which pages are channels of one picture.
        tile_size: int, of a picture that is larger `TiffRegions` or `PageRegions` are loaded, where
            `Channels.open_regions` can; or None.
    """
    if frames not in FRAMES:
        raise ValueError(f"frames is {frames!r}; expected one of {FRAMES}")
    return _iterate(sources, frames == "first", Channels.of(channels), tile_size)


def _iterate(sources, first_alone, channels, tile_size):
    taken = {source.name for source in sources}
    for source in sources:
        is_video, path = source.is_video, source.path
        parts = _video_frames(path) if is_video else _pages(path, channels, tile_size)
        for tag, page, count, load in itertools.islice(parts, 1 if first_alone else None):
            name = source.name
            if tag and not first_alone:
                name = f"{name}_{tag}"
                # A picture of its own may be called like a page.
                name = f"{source.file_name}_{tag}" if name in taken else name
            yield Picture(name, source, page, 1 if first_alone else count, load)


def _pages(path, channels, tile_size):
    """Yields (tag, page, count, load) of a picture file."""
    if channels.files:
        yield None, None, 1, functools.partial(channels.read, path)
        return
    try:
        pages = PageReader(path)
    except ValueError as error:
        yield None, None, 1, functools.partial(_refuse, error)
        return
    with pages:
        try:
            stacked = channels.stacks(pages)
        except ValueError:
            stacked = False  # each page says what is wrong with it
        if stacked:
            yield None, None, 1, functools.partial(_stack, channels, pages, path, tile_size)
            return
        count, letter = len(pages), "f" if pages.animated else "p"
        for i in range(count):
            tag, page = (f"{letter}{i + 1:04d}", i + 1) if count > 1 else (None, None)
            yield tag, page, count, functools.partial(pages.read, i, tile_size)


def _stack(channels, pages, path, tile_size):
    """The pages of a file as one picture, of a large one its `PageRegions` where that goes."""
    regions = None if tile_size is None else channels.stack_regions(pages, path)
    if regions is not None and max(regions.shape[:2]) > tile_size:
        return regions
    return channels.stack(pages, path)


def _video_frames(path):
    """Yields (tag, page, count, load) of a video, up to the first frame that is damaged."""
    number, count = 0, 1
    try:
        with VideoReader(path) as video:
            count = video.count
            for number, frame in enumerate(video, 1):
                yield f"f{number:06d}", number, count, lambda frame=frame: frame
    except ValueError as error:
        tag, page = (f"f{number + 1:06d}", number + 1) if number else (None, None)
        yield tag, page, count, functools.partial(_refuse, error)


def _refuse(error):
    raise error


def _suffix(path):
    return os.path.splitext(path)[1].lower()


def _is_taken(path):
    """Whether a file of a folder is a picture or video; an array is too often a mask."""
    return not os.path.basename(path).startswith(".") and _suffix(path) in SUFFIXES + VIDEOS


def files_of(item, name, avoid):
    """The files of one input.

    Args:
        item: str, see `find_sources`.
        name: str, what errors call it.
        avoid: absolute path of a folder from which nothing is taken, or None.

    Returns:
        list of (folder where their names start, path).

    Raises:
        ValueError: it names nothing.
    """
    if os.path.isdir(item):
        if os.path.abspath(item) == avoid:
            raise ValueError(f"{name} is {item!r}, the folder to write into; choose another one")
        files = [(item, path) for path in _walk(item, avoid)]
        wanted = "a folder of pictures"
    elif os.path.isfile(item):
        paths = _lines(item, name) if _suffix(item) == ".txt" else [item]
        files = [(os.path.dirname(path), path) for path in paths]
        wanted = "a text with a path a line"
    elif glob.has_magic(item):
        files = []
        for path in sorted(glob.glob(item, recursive=True)):
            if (
                os.path.isfile(path)
                and not _is_below(path, avoid)
                and (_is_taken(path) or _suffix(path) == _suffix(item) == ".npy")
            ):
                files.append((os.path.dirname(path), path))
        wanted = "a pattern that pictures match"
    else:
        raise ValueError(
            f"{name} is {item!r}; expected a folder, a pattern, a list (.txt), a picture or a "
            "video, but there is no such file"
        )
    if not files:
        suffixes = " ".join(SUFFIXES + VIDEOS)
        raise ValueError(
            f"{name} is {item!r}; expected {wanted}, found none ({suffixes}; arrays by a pattern "
            'that ends in ".npy")'
        )
    return files


def _walk(folder, avoid):
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _is_below(os.path.join(parent, name), avoid)
        ]
        found += [path for name in files if _is_taken(path := os.path.join(parent, name))]
    return sorted(found)


def _is_below(path, folder):
    """Whether a path is a folder, an absolute path, or something in it."""
    return folder is not None and Path(os.path.abspath(path)).is_relative_to(folder)


def _lines(path, name):
    """The paths that a text lists."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is {path!r}; expected a text in UTF-8 with a path a line, received {error}"
        ) from error
    folder = os.path.dirname(path)
    return [os.path.join(folder, line.strip()) for line in text.splitlines() if line.strip()]


def _named(files, root):
    """Sources of files by their absolute paths, named below a root."""
    relative = {path: Path(os.path.relpath(path, root)).as_posix() for path in files}
    stems = {path: os.path.splitext(name)[0] for path, name in relative.items()}
    count = Counter(stems.values())
    names = {path: stem if count[stem] == 1 else relative[path] for path, stem in stems.items()}
    if len(set(names.values())) < len(names):  # a.jpg and a.png beside a.jpg.png
        names = relative
    return [Source(path, names[key], relative[key]) for key, path in files.items()]
