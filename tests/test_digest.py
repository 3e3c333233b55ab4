"""A file or folder in a few bytes, which tell it apart and not where it lies."""

import shutil

from mrcnn.files.digest import digest


def test_copies_are_alike_and_others_are_not(tmp_path):
    one = tmp_path / "a.h5"
    one.write_bytes(b"12")
    copy = shutil.copy(one, tmp_path / "b.h5")
    assert digest(one) == digest(copy) and digest(one).startswith("2 bytes, SHA-256 ")
    one.write_bytes(b"13")
    assert digest(one) != digest(copy)


def test_folders_and_files_of_two_parts(tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"1234")
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert digest(folder) == digest(copy) and digest(folder).startswith("9 bytes")
    (copy / "variables" / "data").write_bytes(b"1235")
    assert digest(folder) != digest(copy)
    (tmp_path / "a.xml").write_text("graph")
    (tmp_path / "a.bin").write_bytes(b"1")
    before = digest(tmp_path / "a.xml")
    (tmp_path / "a.bin").write_bytes(b"2")
    assert digest(tmp_path / "a.xml") != before
