"""`write_shards`: any data set as shards."""

import os

from mrcnn.data.annotations.instances import MaskFile
from mrcnn.data.annotations.outlines import text_code
from mrcnn.data.annotations.writing import code_of, save_picture
from mrcnn.data.formats.shards.records import END, INDEX, columns, encode, shard_name, write_index
from mrcnn.files.parquet import import_pyarrow

_KEPT = ("score", "keypoints", "num_keypoints", "attributes")  # of what a file said beside
_ROWS = 65536  # of the index that are Python's at a time
_BYTES_PER_MB = 10**6


def write_shards(items, folder, class_names, notes, shard_mb=256):
    """Writes `shard-000000.tar`, ... and `index.parquet`; see `mrcnn.data.formats.shards`.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background; their ids are 1, 2, ...
        notes: `Notes`, told of what the format cannot hold.
        shard_mb: number, MB (10^6 bytes) after which a shard ends; one larger picture fills one.
    """
    folder.mkdir(exist_ok=True)
    ids = {name: i for i, name in enumerate(class_names, start=1)}
    index, scheme = _Index(), None
    with _Shards(folder, shard_mb * _BYTES_PER_MB) as shards:
        for key, item in enumerate(items):
            scheme, picture = scheme or item.keypoint_scheme, item.picture
            annotations = [_annotation(each, picture, ids) for each in picture.instances]
            facts = {"height": int(picture.height), "width": int(picture.width)}
            text = {"file_name": picture.name, "subset": item.subset, **facts}
            suffix = os.path.splitext(picture.name)[1].lower()
            content = _content(item, folder / f"picture{suffix}")
            place = shards.add(encode(key, suffix, content, {**text, "annotations": annotations}))
            signs = {0: 1, 1: -1}
            class_ids = [signs[x["iscrowd"]] * x["category_id"] for x in annotations]
            alone = sum(not x["parts"] for x in annotations)
            index.add(key, picture.name, item.subset, *place, *facts.values(), alone, class_ids)
    keypoints = None if scheme is None else scheme.to_json()
    facts = {"classes": list(class_names), "subsets": index.subsets, "keypoints": keypoints}
    write_index(folder / INDEX, index.batches(), facts)


def _content(item, path):
    """The bytes of a picture's file."""
    save_picture(item, path)
    content = path.read_bytes()
    path.unlink()
    return content


def _annotation(instance, picture, ids):
    """An instance as JSON holds it: its parts stay what they were, but for mask files."""
    parts = instance.parts
    if any(isinstance(part, MaskFile) for part in parts):
        parts = [code_of(instance, picture)]
    return {
        "category": instance.category,
        "category_id": ids[instance.category],
        "iscrowd": int(instance.crowd),
        "parts": [_coded(x) if isinstance(x, dict) else _numbers(x) for x in parts],
        "box": None if instance.box is None else _numbers(instance.box),
        "name": instance.name,
        **{key: instance.extra[key] for key in _KEPT if key in instance.extra},
    }


def _coded(code):
    counts = code["counts"]
    if isinstance(counts, (str, bytes)):
        return text_code(code)
    return {"size": _numbers(code["size"]), "counts": _numbers(counts)}


def _numbers(values):
    """Numbers at any depth as Python's, which JSON gives back as they were."""
    if hasattr(values, "tolist"):
        return values.tolist()
    return [_numbers(x) for x in values] if isinstance(values, (list, tuple)) else values


class _Shards:
    """Tar files that are written one after another."""

    def __init__(self, folder, limit):
        self._folder, self._limit = folder, limit
        self._number, self._file = -1, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def add(self, record):
        """Appends a record; returns the number of its shard, its offset and its size in bytes."""
        if self._file is None or 0 < self._file.tell() > self._limit - len(record) - len(END):
            self._close()
            self._number += 1
            self._file = open(self._folder / shard_name(self._number), "wb")  # noqa: SIM115
        offset = self._file.tell()
        self._file.write(record)
        return self._number, offset, len(record)

    def _close(self):
        if self._file is not None:
            with self._file as file:
                file.write(END)


class _Index:
    """Rows of an index, in memory as Arrow has them."""

    def __init__(self):
        self.subsets, self._rows, self._batches = [], [], []

    def add(self, key, name, subset, *values):
        """Adds a row; the arguments are in the order of `columns()`."""
        if subset not in self.subsets:
            self.subsets.append(subset)
        self._rows.append((key, name, self.subsets.index(subset), *values))
        if len(self._rows) == _ROWS:
            self._pack()

    def _pack(self):
        arrow, schema = import_pyarrow("shards"), columns()
        values = zip(*self._rows, strict=True) if self._rows else ([] for _ in schema)
        arrays = [arrow.array(x, y.type) for x, y in zip(values, schema, strict=True)]
        self._batches.append(arrow.RecordBatch.from_arrays(arrays, schema=schema))
        self._rows = []

    def batches(self):
        """All rows, a list of `pyarrow.RecordBatch`."""
        self._pack()
        return self._batches
