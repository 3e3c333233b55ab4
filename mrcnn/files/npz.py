"""NumPy's archive of arrays."""

import io

import numpy as np

from mrcnn.files.arrays import Refused, Tensor, show
from mrcnn.files.zip_entries import entry_bytes


def read_npz(data, entries):
    """NumPy's archive: one `.npy` an array, each with a header of its own."""
    entries = {name[:-4]: entry for name, entry in entries.items() if name.endswith(".npy")}
    return {name: _npy(name, entry_bytes(data, entry)) for name, entry in entries.items()}


def _npy(name, content):
    file = io.BytesIO(bytes(content[: 2**14]))
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise Refused(f"has {show(name)} in version {version} of NumPy's format; save it again")
    shape, fortran, dtype = read[version](file)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise Refused(f"has {show(name)} of type {show(str(dtype))}; weights are arrays of numbers")
    tensor = Tensor()
    order = ">" if dtype.str[0] == ">" else "<"
    tensor.fill(order + dtype.str[1:], shape, fortran, content[file.tell() :])
    return tensor.array()
