"""Weight files of every format: what is read, and what is said of files that are none."""

import copy
import io
import json
import os
import pickle
import random
import shutil
import struct
import tracemalloc
import zipfile
import zlib

import h5py
import ml_dtypes
import numpy as np
import pytest
from torch_files import write_detectron2_pkl, write_legacy_pth, write_zip_pth

from mrcnn.files.reading import read_arrays

ARRAYS = {
    "conv.weight": np.arange(6, dtype="f4").reshape(2, 3),
    "conv.bias": np.array([1.5, -2.0], "f2"),
    "half.bias": np.array([1.5, -3.0], ml_dtypes.bfloat16),
    "bn.num_batches_tracked": np.array(7),
    "empty": np.zeros((0, 3), "f4"),
    "long": np.arange(100.0),
}
NUMPY = {name: array for name, array in ARRAYS.items() if name != "half.bias"}


def write_safetensors(path, arrays):
    kinds = {"f": "F", "i": "I"}
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        kind = f"{kinds.get(array.dtype.kind, 'BF')}{array.itemsize * 8}"
        ends = [len(numbers), len(numbers) + array.nbytes]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": ends}
        numbers += array.tobytes()
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + numbers)


def write_npz(path, arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def write_packed_npz(path, arrays):
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["layer"]
        group = file.create_group("layer")
        group.attrs["weight_names"] = [f"layer/{name}:0" for name in arrays]
        for name, array in arrays.items():
            group[f"layer/{name}:0"] = array


def write_pkl_of_python_3_for_2(path, arrays):
    write_detectron2_pkl(path, arrays, protocol=2)


WRITERS = [
    write_zip_pth,
    write_legacy_pth,
    write_safetensors,
    write_detectron2_pkl,
    write_pkl_of_python_3_for_2,
    write_npz,
    write_packed_npz,
]
TORCH = [write_zip_pth, write_legacy_pth]


def says(path, what):
    """What is said of a file: one sentence that names it."""
    with pytest.raises(ValueError, match=what) as caught:
        read_arrays(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ") and "\n" not in text and len(text) < 400
    return text


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_whatever_its_suffix(tmp_path, write):
    arrays = ARRAYS if write in WRITERS[:3] else NUMPY
    write(tmp_path / "weights", arrays)
    read = read_arrays(tmp_path / "weights")
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array.astype("f4") if "bias" in name else array)
        assert read[name].shape == array.shape
        assert read[name].dtype == ("f4" if "bias" in name else array.dtype)


def test_hdf5_goes_to_its_own_reader(tmp_path):
    write_hdf5(tmp_path / "weights", {"kernel": np.ones(3, "f4")})
    np.testing.assert_array_equal(read_arrays(tmp_path / "weights")["layer/kernel"], np.ones(3))
    with h5py.File(tmp_path / "other", "w") as file:
        file["x"] = 1
    says(tmp_path / "other", "no `layer_names`")


@pytest.mark.parametrize("write", TORCH)
@pytest.mark.parametrize("wrap", ["model", "state_dict", "model_state_dict", "module"])
def test_checkpoints_are_unwrapped(tmp_path, write, wrap):
    write(tmp_path / "c.pth", {"a": np.ones(2, "f4")}, wrap=wrap)
    assert read_arrays(tmp_path / "c.pth")["a"].tolist() == [1, 1]


def test_first_wrapper_with_arrays_is_the_model(tmp_path):
    content = {
        "model": {"depth": 50},
        "module": {"state_dict": {"a": np.ones(1), "epoch": 7, 3: np.ones(1)}},
        "optimizer": {"b": np.ones(1)},
        "c": np.ones(1),
    }
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(content))
    assert list(read_arrays(tmp_path / "c.pkl")) == ["a"]


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["module.a", "module.b.c"], ["a", "b.c"]),
        (["model.a", "model.b"], ["a", "b"]),
        (["model.module.a", "model.module.b"], ["a", "b"]),
        (["module.model.a"], ["a"]),
        (["module.a", "b"], ["module.a", "b"]),
        (["model.", "model.b"], ["model.", "model.b"]),
    ],
)
@pytest.mark.parametrize("write", [write_zip_pth, write_npz, write_safetensors])
def test_prefix_of_all_names_is_taken_off(tmp_path, write, names, read):
    write(tmp_path / "w", {name: np.ones(1, "f4") for name in names})
    assert list(read_arrays(tmp_path / "w")) == read


@pytest.mark.parametrize("write", TORCH)
def test_tied_weights_share_their_numbers(tmp_path, write):
    tied = np.ones(2, "f2")
    write(tmp_path / "w.pth", {"a": tied, "b": tied})
    read = read_arrays(tmp_path / "w.pth")
    assert np.shares_memory(read["a"], read["b"])


def test_big_endian_archive(tmp_path):
    write_zip_pth(tmp_path / "little", {"a": np.array([1, 256], ">i4").view("<i4")})
    with zipfile.ZipFile(tmp_path / "little") as old, zipfile.ZipFile(tmp_path / "b", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"big" if name.endswith("byteorder") else old.read(name))
    assert read_arrays(tmp_path / "b")["a"].tolist() == [1, 256]


@pytest.mark.parametrize(
    "write", [write_zip_pth, write_legacy_pth, write_detectron2_pkl, write_npz]
)
def test_arrays_are_read_when_they_are_used(tmp_path, write):
    write(tmp_path / "w", {f"a{i}": np.full(2**18, i, "f4") for i in range(16)})  # 16 MiB
    tracemalloc.start()
    read = read_arrays(tmp_path / "w")
    assert read["a7"].sum() == 7 * 2**18
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
HEADS = {
    "web page": (b"\n<!DOCTYPE html><html>404</html>", "is a web page .* download it again"),
    "page": (b"<html><body>", "is a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "empty": (b"", "is empty"),
    "npy": (b"\x93NUMPY\x01\x00", "numpy.savez"),
    "gzip": (b"\x1f\x8b\x08\x00", "is compressed; unpack it"),
    "text": (b"hello", "begins with b'hello'; expected .h5, .pth"),
    "byte": (b"\x80", "damaged"),
    "list": (pickle.dumps([1]), "holds a list instead of named arrays"),
    "array": (pickle.dumps(np.ones(1)), "one array without a name"),
    "nothing": (pickle.dumps({"epoch": 3}), "no arrays of a model, but epoch; save"),
    "strings": (pickle.dumps({"a": np.array(["b"])}), "array of type U1"),
    "objects": (pickle.dumps({"a": np.array([None])}), "array of type O8"),
    "legacy": (MAGIC + pickle.dumps(1002), "ends before its pickle"),
    "version": (MAGIC + b"".join(map(pickle.dumps, (1002, {}, {}, []))), "version 1002"),
    "header": (struct.pack("<Q", 10) + b"{" + b" " * 9, "damaged or incomplete"),
    "no header": (struct.pack("<Q", 100) + b"{" + b" " * 9, "no weight file"),
    "long header": (
        struct.pack("<Q", 2**24 + 1) + b"{}".ljust(2**24 + 1),
        "a header of 16777217 bytes",
    ),
    "no arrays": (struct.pack("<Q", 2) + b"{}", "holds no arrays"),
    "storage": (
        b"\x80\x02}\x8c\x01a(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x01tQs.",
        "names storages that it does not hold",
    ),
    "tar": (b"\x00" * 257 + b"ustar\x00", "is a tar archive"),
}


@pytest.mark.parametrize("name", HEADS)
def test_files_without_weights(tmp_path, name):
    content, what = HEADS[name]
    (tmp_path / "weights.pth").write_bytes(content)
    says(tmp_path / "weights.pth", what)


def test_no_file(tmp_path):
    says(tmp_path, "is a directory")
    with pytest.raises(FileNotFoundError, match=r"no weight file at .*absent"):
        read_arrays(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    says(tmp_path / "pipe", "no regular file")


ZIPS = {
    "script": (["m/data.pkl", "m/constants.pkl", "m/code/x.py"], "TorchScript.*state_dict"),
    "keras": (["config.json", "model.weights.h5"], "whole Keras model"),
    "other": (["a.txt"], "zip archive without weights"),
    "none": ([], "zip archive without weights"),
    "two": (["a/data.pkl", "b/data.pkl"], "zip archive without weights"),
    "nothing": (["a/data.pkl"], "truncated"),
    "npy": (["a.npy"], "damaged"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_archives_without_weights(tmp_path, name):
    entries, what = ZIPS[name]
    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        for entry in entries:
            archive.writestr(entry, b"")
    says(tmp_path / "weights.pth", what)


@pytest.mark.parametrize("write", WRITERS)
def test_truncated_files(tmp_path, write):
    write(tmp_path / "whole", NUMPY)
    content = (tmp_path / "whole").read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / f"{part}").write_bytes(content[: int(len(content) * part)])
        says(tmp_path / f"{part}", "damaged|incomplete|truncated|no weight file")


def rezip(path, change, compression=zipfile.ZIP_STORED):
    """Writes an archive again; `change` maps names to content."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(f"{path}.new", "w", compression) as new:
        for name in old.namelist():
            content = change.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return f"{path}.new"


def test_archives_that_lie(tmp_path):
    write_zip_pth(tmp_path / "w.pth", ARRAYS)
    path = tmp_path / "w.pth"
    says(rezip(path, {"archive/data/0": None}), "lacks the entry data/0")
    says(rezip(path, {"archive/data/0": b"\x00" * 20}), "a storage of 24 bytes has 20")
    says(rezip(path, {"archive/data/0": b"\x00" * 28}), "a storage of 24 bytes has 28")
    says(rezip(path, {"archive/byteorder": b"middle"}), "damaged")


def test_archive_that_was_packed_again(tmp_path):
    write_zip_pth(tmp_path / "w.pth", ARRAYS)
    path = tmp_path / "w.pth"
    read = read_arrays(rezip(path, {}, zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(read["long"], ARRAYS["long"])
    says(rezip(path, {}, zipfile.ZIP_BZIP2), "compressed in a way")


def test_compressed_bombs(tmp_path):
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(2**25, "f4"))  # 128 MiB become 128 KiB
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", zeros.getbuffer())
    with zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"]" * 2**27)
    small = (tmp_path / "b.npz").read_bytes()
    size = struct.pack("<I", len(zeros.getbuffer()))
    (tmp_path / "0.npz").write_bytes(small.replace(size, bytes(4)))
    del zeros
    tracemalloc.start()
    says(tmp_path / "0.npz", "another")  # it says that it unpacks to nothing
    says(tmp_path / "b.npz", "unpacks to far more")
    says(tmp_path / "b.pth", "unpacks to far more")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.ones(1, "c8")])
def test_npz_of_other_things_than_numbers(tmp_path, array):
    write_npz(tmp_path / "w", {"a": array})
    says(tmp_path / "w", "has a of type .*; weights are arrays of numbers")


def test_npz_of_the_other_byte_order(tmp_path):
    write_npz(tmp_path / "w", {"a": np.array([1, 256], ">i4")})
    assert read_arrays(tmp_path / "w")["a"].tolist() == [1, 256]


def test_legacy_file_without_its_numbers(tmp_path):
    write_legacy_pth(tmp_path / "w", {"a": np.ones(1, "f4")})
    content = (tmp_path / "w").read_bytes()
    keys = pickle.dumps(["0"], 2)
    (tmp_path / "w").write_bytes(content[: content.index(keys)] + pickle.dumps([], 2))
    says(tmp_path / "w", "lacks the numbers of 1 storages")


def test_packed_entries_that_lie(tmp_path):
    array, file = np.zeros(1000, "u1"), io.BytesIO()
    np.save(file, array)
    write_packed_npz(tmp_path / "w", {"a": array})
    content = (tmp_path / "w").read_bytes()
    size = struct.pack("<I", 1128)  # and a header of 128
    assert size in content
    (tmp_path / "longer").write_bytes(content.replace(size, struct.pack("<I", 1129)))
    says(tmp_path / "longer", "another size")
    checksum = zlib.crc32(file.getvalue())
    other = [struct.pack("<I", each) for each in (checksum, checksum ^ 1)]
    (tmp_path / "other").write_bytes(content.replace(*other))
    says(tmp_path / "other", "another checksum")


def test_legacy_storage_of_another_size(tmp_path):
    write_legacy_pth(tmp_path / "w", {"a": np.ones(6, "u1")})
    content = (tmp_path / "w").read_bytes()
    lie = content.replace(struct.pack("<q", 6), struct.pack("<q", 5))
    assert lie != content
    (tmp_path / "w").write_bytes(lie)
    says(tmp_path / "w", "a storage of 6 items has 5")
    (tmp_path / "cut").write_bytes(content[:-1])
    says(tmp_path / "cut", "truncated: it ends before its arrays do")


def test_archive_whose_entries_overlap(tmp_path):
    """Many names for one entry would be many copies of it, were it of half precision."""
    with zipfile.ZipFile(tmp_path / "o.npz", "w") as archive:
        half = io.BytesIO()
        np.save(half, np.zeros(1000, "f2"))
        archive.writestr("a.npy", half.getvalue())
        for number in range(3):
            entry = copy.copy(archive.infolist()[0])
            entry.filename = f"{number}.npy"
            archive.filelist.append(entry)
    says(tmp_path / "o.npz", "its entries are larger than the file")


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"data_offsets": [0, 12]}, "larger than the file"),
        ({"data_offsets": [4, 0]}, "larger than the file"),
        ({"data_offsets": [-4, 4]}, "larger than the file"),
        ({"data_offsets": [0, 4]}, "an array of 8 bytes has 4"),
        ({"shape": [3]}, "an array of 12 bytes has 8"),
        ({"shape": [-2]}, "stride is -2"),
        ({"shape": [2**60, 2**60]}, "stride is 11529"),
        ({"shape": 2}, "damaged"),
        ({"dtype": "F8_E4M3"}, "of type F8_E4M3; save it as float32"),
        ({"dtype": None}, "of type of type NoneType|of type"),
    ],
)
def test_safetensors_that_lie(tmp_path, entry, what):
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | entry}
    header = json.dumps(header).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header + b"\x00" * 8)
    says(tmp_path / "w", what)


def test_safetensors_whose_arrays_overlap(tmp_path):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": entry, "b": entry}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header + b"\x00" * 8)
    says(tmp_path / "w", "larger than the file")


def test_safetensors_package_writes_what_is_read(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    package.save_file(NUMPY, tmp_path / "w.safetensors", metadata={"format": "pt"})
    for name, array in read_arrays(tmp_path / "w.safetensors").items():
        np.testing.assert_array_equal(array, NUMPY[name])


# Each names something that makes the file SENTINEL when it is called, or would lead there.
COMMAND = b"\x8c\x0etouch SENTINEL"
STATE = b"}\x8c\x0c__setstate__cos\nsystem\nsb" + COMMAND + b"b"
MALICIOUS = {
    "global": b"cos\nsystem\n" + COMMAND + b"\x85R.",
    "posix": b"cposix\nsystem\n" + COMMAND + b"\x85R.",
    "stack global": b"\x8c\x02os\x8c\x06system\x93" + COMMAND + b"\x85R.",
    "inst": b"(" + COMMAND + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + COMMAND + b"o.",
    "newobj": b"csubprocess\nPopen\n" + COMMAND + b"\x85\x81.",
    "newobj_ex": b"csubprocess\nPopen\n" + COMMAND + b"\x85}\x92.",
    "build": b"ccollections\nOrderedDict\n)R" + STATE + b".",
    "build of a function": b"ccollections\nOrderedDict\n" + STATE + b".",
    "build of a type": b"ctorch\nFloatStorage\n" + STATE + b".",
    "extension": b"\x82\x01" + COMMAND + b"\x85R.",
    "eval": b"cbuiltins\neval\n\x8c\x22__import__('os').mkdir('SENTINEL')\x85R.",
    "getattr": b"cbuiltins\ngetattr\ncos\n__dict__\n\x8c\x06system\x86R" + COMMAND + b"\x85R.",
    "attribute": b"ccollections\nabc.sys.modules\n.",
    "dotted": b"\x8c\x05torch\x8c\x0cSize.__new__\x93.",
    "hub": b"ctorch.hub\nload\n\x8c\x01a\x8c\x01b\x86R.",
    "load": b"ctorch\nload\n" + COMMAND + b"\x85R.",
    "from bytes": b"ctorch.storage\n_load_from_bytes\nC\x02N.\x85R.",
    "loads": b"cpickle\nloads\nC\x02N.\x85R.",
    "reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmemmap\nK\x00\x85\x8c\x01btR.",
    "subtype": b"cnumpy.core.multiarray\n_reconstruct\n(ctorch\nSize\nK\x00\x85\x8c\x01btR.",
    "object array": b"cnumpy\ndtype\n\x8c\x01O\x85R.",
    "persistent module": b"(\x8c\x06modulecos\nsystem\n" + COMMAND + b"NNtQ.",
    "persistent text": b"Pmodule\n.",
    "persistent other": b"(\x8c\x04file" + COMMAND + b"NNNtQ.",
    "code": b"ctypes\nCodeType\n)R.",
    "partial": b"cfunctools\npartial\ncos\nsystem\n\x85R.",
    "operator": b"coperator\nattrgetter\n\x8c\x06system\x85R.",
    "keyed": b"}cos\nsystem\nNs.",
}
CONTAINERS = {
    "pkl": lambda content: b"\x80\x04" + content,
    "legacy": lambda content: (
        MAGIC
        + pickle.dumps(1001, 2)
        + pickle.dumps({}, 2)
        + b"\x80\x02"
        + content
        + pickle.dumps([], 2)
    ),
    "legacy system": lambda content: MAGIC + pickle.dumps(1001, 2) + b"\x80\x02" + content,
    "legacy keys": lambda content: (
        MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2) * 2 + b"\x80\x02" + content
    ),
    "legacy version": lambda content: MAGIC + b"\x80\x02" + content,
}


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content)
    return file.getvalue()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MALICIOUS)
def test_no_code_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for place, contain in (CONTAINERS | {"zip": zipped}).items():
        (tmp_path / place).write_bytes(contain(MALICIOUS[name]))
        tracemalloc.start()
        says(tmp_path / place, "asks|instruction|damaged|holds|NumPy|whole pickled|no arrays|kind")
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
    assert sorted(os.listdir()) == sorted([*CONTAINERS, "zip"])


def test_the_malicious_pickles_are_malicious(tmp_path, monkeypatch):
    """They do run with Python's own reader."""
    monkeypatch.chdir(tmp_path)
    for name in ("global", "stack global", "inst", "eval"):
        pickle.loads(b"\x80\x04" + MALICIOUS[name])
        assert os.listdir() == ["SENTINEL"]
        shutil.rmtree("SENTINEL", ignore_errors=True)
        if os.path.exists("SENTINEL"):
            os.remove("SENTINEL")


def test_a_pickle_as_storage_is_only_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = b"\x80\x04" + MALICIOUS["global"]
    for write in TORCH:
        write("w.pth", {"a": np.frombuffer(content, "u1")})
        assert read_arrays("w.pth")["a"].tobytes() == content
        os.remove("w.pth")
    assert not os.listdir()


def damage(content, other, random):
    """Content with bits flipped, bytes deleted, cut off, or parts of another file in it."""
    content = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        place = random.randrange(len(content))
        kind = random.randrange(5)
        if kind == 0:
            content[place] ^= 1 << random.randrange(8)
        elif kind == 1:
            content[place] = random.choice(b"\x00\xff\x7f\x80().cRbQ")
        elif kind == 2:
            del content[place : place + random.randrange(1, 20)]
        elif kind == 3:
            part = random.randrange(len(other))
            content[place : place + random.randrange(20)] = other[part : part + 20]
        else:
            del content[max(place, 1) :]
        content = content or bytearray(b"x")
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")  # what NumPy 1 on Python 2 wrote
@pytest.mark.parametrize("write", WRITERS)
def test_damaged_files_are_read_or_refused(tmp_path, write):
    write(tmp_path / "whole", NUMPY)
    write_legacy_pth(tmp_path / "other", NUMPY)
    content, other = ((tmp_path / name).read_bytes() for name in ("whole", "other"))
    dice, read, refused = random.Random(0), 0, 0
    tracemalloc.start()
    for number in range(300):
        path = tmp_path / str(number)
        path.write_bytes(damage(content, other, dice))
        try:
            arrays = read_arrays(path)
        except ValueError as error:
            assert str(error).startswith(f"{path} ") and "\n" not in str(error)
            refused += 1
        else:
            assert sum(array.size for array in arrays.values()) < 2**20
            assert all(array.tobytes() is not None for array in arrays.values())
            read += 1
        path.unlink()
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert read and refused


@pytest.mark.parametrize("write", TORCH)
def test_pytorch_reads_what_the_helpers_write(tmp_path, write):
    torch = pytest.importorskip("torch")
    write(tmp_path / "w.pth", ARRAYS, wrap="model")
    loaded = torch.load(tmp_path / "w.pth", weights_only=True)
    assert loaded["epoch"] == 7
    ours = read_arrays(tmp_path / "w.pth")
    for name, tensor in loaded["model"].items():
        tensor = tensor.float() if "bias" in name else tensor
        np.testing.assert_array_equal(tensor.numpy(), ours[name])


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_reads_what_pytorch_writes(tmp_path, new, protocol):
    torch = pytest.importorskip("torch")
    base = torch.arange(48.0).reshape(6, 8)
    weights = {
        "whole": base,
        "transposed": base.t(),
        "sliced": base[1:4, ::2],
        "none": base[6:],
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "tied": base,
        "scalar": torch.tensor(3),
        "repeated": torch.ones(1).expand(3, 4),
        "bfloat16": torch.tensor([9.0, 1.5, -3.0], dtype=torch.bfloat16)[1:],
        "half": torch.tensor([[1.5, 2], [3, 4]], dtype=torch.half).t(),
        "bool": torch.tensor([True, False]),
    }
    content = {"model": weights, "epoch": 3, "size": torch.Size([2]), "type": torch.float32}
    torch.save(
        content,
        tmp_path / "w.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=new,
    )
    read = read_arrays(tmp_path / "w.pth")
    assert list(read) == list(weights)
    for name, tensor in weights.items():
        tensor = tensor.float() if name in ("bfloat16", "half") else tensor
        np.testing.assert_array_equal(read[name], tensor.detach().numpy())
        assert read[name].dtype == tensor.detach().numpy().dtype
