"""Which pictures there are: folders, patterns and lists, here and remote, path after path."""

import os

from mrcnn.distribute.remote_listing import files_below
from mrcnn.files.remote import (
    errors_of,
    fetched,
    file_system,
    is_remote,
    without_file_scheme,
)
from mrcnn.image.reading import SUFFIXES

COLUMN = "path"
TABLES = (".parquet", ".csv")
LISTS = (*TABLES, ".txt")
_ROWS = 65536  # of a table that are in memory at a time


def list_pictures(inputs, avoid=None, column=COLUMN):
    """Yields the paths of all pictures that inputs name, in a fixed order; absolute, or URLs.

    Args:
        inputs: path or list of paths, each of this machine or remote. A folder: the pictures in it
            and below, without hidden ones. A pattern with `*` or `**`: what it matches. A list
            (.parquet or .csv with a column of paths, .txt with a path a line): what it lists, from
            its folder on. Any other file: itself.
        avoid: folder of this machine from which nothing is taken, or None.
        column: str, of the paths in a table.

    Raises:
        ValueError: an input that names nothing, or a table without that column.
        OSError: an input that cannot be read.

    Example:

    >>> list(list_pictures("s3://bucket/pictures"))  # doctest: +SKIP
    ['s3://bucket/pictures/a.jpg', 's3://bucket/pictures/b.jpg']
    """
    inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    if not inputs:
        raise ValueError("expected inputs: folders, patterns, lists or files, received none")
    avoid = None if avoid is None else os.path.abspath(avoid)
    for i, item in enumerate(map(os.fspath, inputs)):
        place, name = without_file_scheme(item), f"inputs[{i}]"
        paths = _below(place, name, avoid, column)
        first = next(paths, None)
        if first is None:
            raise ValueError(
                f"{name} is {item!r}; expected pictures, found none ({' '.join(SUFFIXES)})"
            )
        yield first
        yield from paths


def _below(item, name, avoid, column):
    suffix = os.path.splitext(item)[1].lower()
    if suffix in LISTS and (is_remote(item) or os.path.isfile(item)):
        yield from _listed(item, suffix, column)
    elif is_remote(item):
        yield from _remote(item)
    elif os.path.isdir(item) and os.path.abspath(item) != avoid:
        yield from _walk(os.path.abspath(item), avoid)
    else:  # says what is wrong, too
        from mrcnn.inference.inputs import files_of  # with all that detects

        for _, path in files_of(item, name, avoid):
            yield os.path.abspath(path)


def _is_taken(path):
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _walk(folder, avoid):
    """Pictures in a folder and below, a folder in memory at a time."""
    with os.scandir(folder) as entries:
        entries = sorted(entries, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if not entry.name.startswith(".") and entry.path != avoid:
                yield from _walk(entry.path, avoid)
        elif _is_taken(entry.name):
            yield entry.path


def _remote(item):
    """Pictures that a remote path names: those of a pattern, of a folder, or itself."""
    system, place = file_system(item)
    with errors_of(item):
        one = not any(sign in place for sign in "*?[") and system.isfile(place)
        for path in [place] if one else filter(_is_taken, files_below(system, place)):
            yield system.unstrip_protocol(path)


def _listed(item, suffix, column):
    """The paths of a list, those that are relative from its folder on."""
    folder = item.rpartition("/")[0] if is_remote(item) else os.path.dirname(os.path.abspath(item))
    with fetched(item) as copy, open(copy, "rb") as file:
        lines = _lines(file, item) if suffix == ".txt" else _rows(file, item, suffix, column)
        for path in lines:
            path = without_file_scheme(path)
            if is_remote(path) or os.path.isabs(path):
                yield path
            elif is_remote(item):
                yield f"{folder}/{path}"
            else:
                yield os.path.normpath(os.path.join(folder, path))


def _lines(file, item):
    for line in file:
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"{item}: expected a text in UTF-8, received {error}") from None
        if text:
            yield text


def _rows(file, item, suffix, column):
    """The values of a table's column, some rows in memory at a time."""
    from mrcnn.distribute.packages import import_pyarrow

    pyarrow = import_pyarrow()
    try:
        for batch in _batches(pyarrow, file, suffix, column):
            yield from (path for path in batch.column(0).to_pylist() if path)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
        raise ValueError(
            f"{item}: expected a table with a column {column!r} of paths (--column names another): "
            f"{str(error).strip()}"
        ) from None


def _batches(pyarrow, file, suffix, column):
    if suffix == ".parquet":
        table = pyarrow.parquet.ParquetFile(file)
        names = table.schema_arrow.names
        if column not in names:
            raise pyarrow.ArrowInvalid(f"its columns are {', '.join(names)}")
        yield from table.iter_batches(_ROWS, columns=[column])
        return
    options = {"include_columns": [column], "column_types": {column: pyarrow.string()}}
    yield from pyarrow.csv.open_csv(file, convert_options=pyarrow.csv.ConvertOptions(**options))
