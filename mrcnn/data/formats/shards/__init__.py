"""Shards: pictures and annotations in a few large files, for data that no disk here holds.

    shard-000000.tar    000000000.jpg, 000000000.json, 000000001.jpg, ...
    index.parquet       where each picture lies, its size, subset and class ids

The tar files are those of webdataset: any tar reads them. Each picture and its annotations lie one
after the other, a record, and the index says where, so that one picture is one reading of one range
of bytes: in any order, on any host, from where a training stopped. A stream through the files, as
of webdataset or TFRecord, has only a buffer to shuffle in: an epoch of several hosts is then not
each picture once, and going on in its middle reads all that was before.

Annotations are in the records, not in the index, which every process keeps in memory.
"""

from mrcnn.data.formats.shards.dataset import ShardsDataset
from mrcnn.data.formats.shards.writing import write_shards

__all__ = ["ShardsDataset", "write_shards"]
