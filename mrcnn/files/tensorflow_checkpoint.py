"""Checkpoints of TensorFlow: an `.index` beside `.data-...` files, alone or in a `.tar.gz`.

TensorFlow reads them; it runs nothing that they hold.
"""

import os
import re
import tarfile
import tempfile
import zlib

from mrcnn.files.arrays import Refused

_MAGIC = bytes.fromhex("57fb808b247547db")  # what a table ends with
_PART = re.compile(r"(.*)\.(index|data-\d{5}-of-\d{5})")
# What TensorFlow adds to the path of a variable in the graph of objects that was saved.
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def is_index(path):
    """Whether a file is the index of a checkpoint."""
    if os.path.getsize(path) < len(_MAGIC):
        return False
    with open(path, "rb") as file:
        file.seek(-len(_MAGIC), os.SEEK_END)
        return file.read() == _MAGIC


def read_checkpoint(path):
    """The arrays of a checkpoint by their names: `a/b/c`, without what says that it is a value.

    Args:
        path: str, of the index.

    Raises:
        Refused: TensorFlow is not there, the data are missing, or it holds something else.
    """
    try:
        from tensorflow.train import load_checkpoint
    except ImportError:
        raise Refused(
            "is a checkpoint of TensorFlow, which reads it: pip install tensorflow"
        ) from None
    prefix = path.removesuffix(".index")
    if prefix == path:
        raise Refused("is the index of a checkpoint; name it as TensorFlow does, with .index")
    try:
        reader = load_checkpoint(prefix)
        names = reader.get_variable_to_dtype_map()
        numbers = [name for name, dtype in names.items() if dtype.is_floating or dtype.is_integer]
        return {name.removesuffix(VALUE): reader.get_tensor(name) for name in sorted(numbers)}
    except Exception as error:  # of many kinds, from C++
        reason = str(error).partition("\n")[0]
        raise Refused(
            f"is a checkpoint of TensorFlow that cannot be read ({reason}); keep its .index and "
            ".data files beside each other"
        ) from error


def is_archive(path):
    """Whether a file that gzip compressed is a tar archive."""
    try:
        return tarfile.is_tarfile(path)
    except (EOFError, OSError, zlib.error):  # too short, or damaged
        return False


def read_checkpoint_archive(path):
    """The arrays of the one checkpoint in a tar archive."""
    with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
        indices = []
        for member in archive:
            name = os.path.basename(member.name)
            if not member.isfile() or not _PART.fullmatch(name):
                continue
            target = os.path.join(folder, name)
            with archive.extractfile(member) as source, open(target, "wb") as copy:
                while block := source.read(1 << 20):
                    copy.write(block)
            if name.endswith(".index"):
                indices.append(target)
        if len(indices) != 1:
            raise Refused(
                f"is an archive of {len(indices)} checkpoints of TensorFlow; expected one: unpack "
                "it, and pass an .index file"
            )
        return read_checkpoint(indices[0])
