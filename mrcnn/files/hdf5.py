"""Weight files: HDF5 in the layout of Keras 2, where every array lies under its layer's name.

That is the layout of matterport's files. Keras 3's own `.weights.h5` finds layers by position, so
that a file of one graph silently loads wrongly into another.
"""

import os

import h5py
import numpy as np

# Attribute of files whose weight names are whole: `layer/variable`, or deeper.
WHOLE_NAMES = "whole_names"


def read_attribute(path, name):
    """A str attribute of an HDF5 file, or None: without it, or where the file is no HDF5."""
    if not h5py.is_hdf5(path):
        return None
    with h5py.File(path, "r") as file:
        return file.attrs.get(name)


def read_hdf5(path):
    """Reads every array of a Keras 2 weight file.

    Args:
        path: str, a file of weights or of a whole model (root `model_weights`).

    Returns:
        dict: `layer/variable` -> NumPy array.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is not such a file, or it is damaged; the message says which.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory; expected a weight file (.h5)")
    if not os.path.exists(path):
        raise FileNotFoundError(f"no weight file at {os.path.abspath(path)}")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is not an HDF5 file; expected weights as `save_weights` writes")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise ValueError(
                    f"{path} has no `layer_names`: it is HDF5, but not a Keras 2 weight file "
                    "(Keras 3's `.weights.h5` stores layers by position and is not supported)"
                )
            _refuse_foreign(path, file)
            return _read(root)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or incomplete ({error}); copy it again") from error


def _refuse_foreign(path, file):
    """Raises ValueError if a file points at other files, or inflates out of proportion."""
    budget = (64 << 20) + 16 * os.path.getsize(path)

    def check(name, item):
        nonlocal budget
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                return f"takes {name} from another file"
            budget -= item.nbytes
        return "would inflate to many times its size" if budget < 0 else None

    def check_link(name, link):
        external = isinstance(link, h5py.ExternalLink)
        return f"links {name} to another file" if external else None

    fault = file.visititems_links(check_link) or file.visititems(check)
    if fault:
        raise ValueError(f"{path} {fault}; refused")


def _read(root):
    arrays, whole_names = {}, bool(root.attrs.get(WHOLE_NAMES))
    for layer in map(_text, root.attrs["layer_names"]):
        for name in map(_text, root[layer].attrs["weight_names"]):
            key = name.rpartition(":")[0] or name
            if not whole_names:
                # The last two parts are layer and variable; wrappers put their names in front.
                key = "/".join([layer, *key.split("/")][-2:])
            arrays[key] = _array(root[layer][name])
    return arrays


def _array(dataset):
    """The values of a dataset: mapped, as memory is short while a model takes them, or read."""
    offset = dataset.id.get_offset()
    if offset is None or dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
        return dataset[()]
    return np.memmap(dataset.file.filename, dataset.dtype, "r", offset, dataset.shape)


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)
