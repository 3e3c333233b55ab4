"""Records of shards: a picture and its annotations as two members of a tar, one range of bytes.

`index.parquet` has a row for each, see `columns`, and in its schema's metadata JSON under `mrcnn`:
`version`, `classes` (names; the first is class 1), `subsets` (names), and `keypoints`, the
arguments of `mrcnn.data.KeypointScheme` or null.
"""

import io
import json
import os
import tarfile

from mrcnn.files.parquet import import_pyarrow
from mrcnn.files.remote import errors_of, file_system, is_remote

INDEX = "index.parquet"
# In the copy of a remote index: a text, the folder of the shards.
PLACE = "place.txt"
VERSION = 1
_METADATA = b"mrcnn"
_BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * _BLOCK)  # how a tar file ends


def columns():
    """The schema of the index, of Arrow.

    `subset` counts from 0 in the metadata's list, `class_ids` are negative for crowds, `alone` is
    how many of the objects have a box and no outline.
    """
    arrow = import_pyarrow("shards")
    return arrow.schema(
        [
            ("key", arrow.int64()),
            ("name", arrow.large_string()),
            ("subset", arrow.int16()),
            ("shard", arrow.int32()),
            ("offset", arrow.int64()),
            ("size", arrow.int64()),
            ("height", arrow.int32()),
            ("width", arrow.int32()),
            ("alone", arrow.int32()),
            ("class_ids", arrow.large_list(arrow.int32())),
        ]
    )


def shard_name(number):
    """The file name of a shard."""
    return f"shard-{number:06d}.tar"


def write_index(path, batches, facts):
    """Writes an index.

    Args:
        path: of the file.
        batches: list of `pyarrow.RecordBatch` of `columns()`.
        facts: dict, of the metadata but for the version.
    """
    arrow = import_pyarrow("shards")
    text = json.dumps({"version": VERSION, **facts})
    schema = columns().with_metadata({_METADATA: text})
    arrow.parquet.write_table(arrow.Table.from_batches(batches, columns()).cast(schema), path)


def read_facts(path):
    """The metadata of an index, a dict; None of a Parquet file that is none.

    Raises:
        ValueError: it is of a later version, or no Parquet.
    """
    arrow = import_pyarrow("shards")
    try:
        metadata = arrow.parquet.read_schema(path).metadata or {}
    except (arrow.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path}: expected an index of shards, which cannot be read: {error}"
        ) from None
    if _METADATA not in metadata:
        return None
    facts = json.loads(metadata[_METADATA])
    if facts["version"] > VERSION:
        raise ValueError(
            f"{path}: expected shards of version {VERSION}, received {facts['version']}: they are "
            "of a later mrcnn"
        )
    return facts


def read_index(path):
    """The rows of an index, a `pyarrow.Table` of `columns()`."""
    table = import_pyarrow("shards").parquet.read_table(path)
    return table.cast(columns().with_metadata(table.schema.metadata))


def encode(key, suffix, picture, annotations):
    """A record as bytes.

    Args:
        key: int, of the picture.
        suffix: str, of its file, such as ".jpg".
        picture: bytes of the file.
        annotations: dict that JSON can hold.
    """
    text = json.dumps(annotations, separators=(",", ":")).encode()
    return b"".join([_member(f"{key:09d}{suffix}", picture), _member(f"{key:09d}.json", text)])


def _member(name, content):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % _BLOCK)


def decode(record, path, name):
    """The picture and the annotations of a record.

    Args:
        record: bytes.
        path: str, its shard and its key.
        name: str, what an error calls it.

    Returns:
        (`io.BytesIO` of the picture's file, dict).

    Raises:
        ValueError: these bytes are no such record.
    """
    place, members = 0, []
    try:
        while place < len(record):
            info = tarfile.TarInfo.frombuf(record[place : place + _BLOCK], "utf-8", "strict")
            members.append((info.name, record[place + _BLOCK : place + _BLOCK + info.size]))
            place += _BLOCK + -(-info.size // _BLOCK) * _BLOCK
        (picture_name, picture), (_, text) = members
        if os.path.splitext(picture_name)[0] != os.path.basename(path):
            raise ValueError(f"it is that of {picture_name}")
        annotations = json.loads(text)
    except (tarfile.HeaderError, ValueError) as error:
        raise ValueError(
            f"{name}: expected the record that the index names, received other bytes ({error}): "
            f"index and shards are not of one writing, or damaged; copy the folder again"
        ) from None
    file = io.BytesIO(picture)
    file.name = path
    return file, annotations


def read_range(path, offset, size, name):
    """Bytes of a shard.

    Args:
        path: of a shard, here or remote.
        offset, size: int, bytes.
        name: str, what an error calls them.

    Raises:
        ValueError: it ends before.
        OSError: it cannot be read.
    """
    if is_remote(path):
        system, place = file_system(path)
        with errors_of(path):
            data = system.cat_file(place, start=offset, end=offset + size)
    else:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(size)
    if len(data) < size:
        raise ValueError(
            f"{name}: expected a record of bytes {offset} to {offset + size} of {path}, received "
            f"{len(data)} bytes: the shard is truncated; copy it again"
        )
    return data
