"""`Rows`: the pictures of an index, each made into a dict when it is asked for."""

import collections.abc

from mrcnn.data.formats.shards.records import shard_name
from mrcnn.files.parquet import import_pyarrow


class Rows(collections.abc.Sequence):
    """What `Dataset.image_info` is of shards: a dict for each picture, none of which is kept.

    Args:
        table: `pyarrow.Table` of `mrcnn.data.formats.shards.records.columns`.
        source: str, of the pictures.
        folder: str, of the shards, here or remote.
        subsets: list of names.
    """

    def __init__(self, table, source, folder, subsets):
        self.table = table.combine_chunks()
        self.source, self.folder, self.subsets = source, folder, subsets

    def __len__(self):
        return self.table.num_rows

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected a picture below {len(self)}, received {index}")
        index = int(index) % len(self)
        row = {
            name: self.table.column(name)[index].as_py()
            for name in self.table.column_names
            if name != "class_ids"
        }
        key, shard = f"{row.pop('key'):09d}", shard_name(row["shard"])
        place = {"path": f"{self.folder}/{shard}/{key}", "shard": f"{self.folder}/{shard}"}
        return {**row, **place, "id": key, "source": self.source} | {
            "subset": self.subsets[row["subset"]]
        }

    def class_ids(self, index=None):
        """int32 [N], the ids that the index has of a picture's objects, of all without `index`;
        negative for crowds."""
        column = self.table.column("class_ids")
        if index is not None:
            return column[int(index)].values.to_numpy()
        return import_pyarrow("shards").compute.list_flatten(column).to_numpy()

    def take(self, indices):
        """Some of the pictures, as `Rows`."""
        table = self.table.take(import_pyarrow("shards").array(indices))
        return Rows(table, self.source, self.folder, self.subsets)


class Places(collections.abc.Mapping):
    """The place of each picture of `Rows` by `"source.id"`, looked for when it is asked for."""

    def __init__(self, rows):
        self._rows = rows

    def __getitem__(self, name):
        source, _, key = name.partition(".")
        arrow = import_pyarrow("shards")
        if source != self._rows.source or not key.isdecimal():
            raise KeyError(name)
        place = arrow.compute.index(self._rows.table.column("key"), int(key)).as_py()
        if place < 0:
            raise KeyError(name)
        return place

    def __iter__(self):
        return (f"{self._rows.source}.{info['id']}" for info in self._rows)

    def __len__(self):
        return len(self._rows)
