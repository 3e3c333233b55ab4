"""Shards: what is in them is what they were made of, and an epoch of them is an epoch."""

import argparse
import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import test_remote
import test_remote_data
from coco_folder import annotation, truth, write_annotations, write_coco, write_images
from format_examples import write_example
from test_remote_data import put_folder
from test_shares import Host
from tiny import TinyConfig, corners, shapes

from mrcnn import cli
from mrcnn.cli.data_arguments import add_data_arguments
from mrcnn.cli.training_data import load_training_data
from mrcnn.data import DataGenerator, convert, load
from mrcnn.data.formats import ShardsDataset
from mrcnn.data.formats.shards import records
from mrcnn.data.formats.shards.records import columns, read_index, write_index
from mrcnn.data.loading import describe, recognize, subsets
from mrcnn.data.remote import local_data
from mrcnn.data.splitting import split
from mrcnn.files.parquet import import_pyarrow
from mrcnn.files.remote import file_system
from mrcnn.image.channels import Channels
from mrcnn.parallel.shares import Share

memory, cache = test_remote.memory, test_remote_data.cache
SHARD_MB = 3e-3  # a shard for each record, which have at least 2048 bytes


def shards_of(dataset, folder, **options):
    return load(convert(dataset, folder, "shards", **{"shard_mb": SHARD_MB, **options}), verbose=0)


def check_equal(found, dataset):
    assert found.class_names == dataset.class_names and found.num_images == dataset.num_images
    for i in range(dataset.num_images):
        image = dataset.load_image(i)
        np.testing.assert_array_equal(found.load_image(i), image)
        assert found.load_image(i).dtype == image.dtype
        for name in ("load_mask", "load_boxes"):
            arguments = (i,) if name == "load_mask" else (i, image.shape)
            pairs = zip(*(getattr(x, name)(*arguments) for x in (found, dataset)), strict=True)
            for one, other in pairs:
                np.testing.assert_array_equal(one, other, err_msg=f"{name} {i}")
        assert found.image_class_ids(i).tolist() == dataset.image_class_ids(i).tolist()
        assert found.image_info[i]["subset"] == dataset.image_info[i].get("subset", "")


def coco(folder):
    """Two subsets: polygons, codes, a crowd whose code has another size, a picture without
    objects, an object of two parts, and one with a box alone."""
    folder.mkdir()
    two = [[0, 0, 1, 0, 1, 1.5, 0, 1.5], [2, 2, 3, 2, 3, 4, 2, 4]]
    more = [annotation(9, 8, 90, two, [0, 0, 3, 4]), annotation(10, 8, 1, [], [1, 1, 2, 2])]
    write_coco(folder, "train2017")
    write_annotations(folder, "val2017", truth((8,), more))
    write_images(folder, "val2017", (8,))
    return folder


@pytest.fixture
def pets(tmp_path):
    write_coco(new(tmp_path / "pets"), "train2017")
    return tmp_path / "pets"


def new(folder):
    folder.mkdir()
    return folder


def members(path):
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_all_is_as_it_was(tmp_path):
    dataset = load(coco(tmp_path / "coco"), verbose=0, box_masks=True)
    folder = convert(dataset, tmp_path / "shards", "shards", shard_mb=0.009)
    found = load(folder, verbose=0, box_masks=True)
    check_equal(found, dataset)
    assert found.image_class_ids(0).tolist() == [-2, 3] and not found.load_mask(1)[1].size
    told = describe(dataset, "data").replace("coco", "shards")
    assert describe(found, "data") == told
    assert recognize(folder) == "shards" and subsets(folder) == ["train2017", "val2017"]
    assert load(folder, verbose=0).without_outline.endswith("shard-000001.tar/000000003")
    val = load(folder, "val", verbose=0, box_masks=True)
    assert val.num_images == 1 and val.image_info[0]["id"] == "000000003"
    assert val.image_from_source_map["shards.000000003"] == 0
    assert "shards.000000000" not in val.image_from_source_map
    names = sorted(os.listdir(folder))
    assert names == ["index.parquet", "shard-000000.tar", "shard-000001.tar"]
    assert all((folder / name).stat().st_size <= 9000 for name in names[1:])
    assert [members(folder / name) for name in names[1:]] == [
        [f"00000000{i}.{kind}" for i in range(3) for kind in ("png", "json")],
        ["000000003.png", "000000003.json"],
    ]
    back = load(convert(found, tmp_path / "back", "coco"), verbose=0, box_masks=True)
    check_equal(back, dataset)
    again = convert(dataset, tmp_path / "again", "shards", shard_mb=0.009)
    for name in names[1:]:
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_masks_of_files_and_of_code_become_codes(tmp_path):
    write_example("masks", tmp_path / "masks")
    dataset = load(tmp_path / "masks", verbose=0)
    check_equal(shards_of(dataset, tmp_path / "a"), dataset)
    painted = shapes(4)
    check_equal(shards_of(painted, tmp_path / "b"), painted)


def test_keypoints(tmp_path):
    dataset = corners(3)
    found = shards_of(dataset, tmp_path / "shards")
    assert found.keypoint_scheme == dataset.keypoint_scheme
    for i in range(3):
        np.testing.assert_array_equal(found.load_keypoints(i), dataset.load_keypoints(i))


def test_classes_may_be_chosen(tmp_path, pets):
    folder = convert(load(pets, verbose=0), tmp_path / "shards", "shards")
    with pytest.warns(UserWarning, match=r"not asked for are left out: .*\(person\)"):
        found = load(folder, classes=["toothbrush", "car"], verbose=0)
    assert found.class_names == ["BG", "toothbrush", "car"]
    # Picture 7 has a person and a car, 3 a crowd of cars and a toothbrush, 5 nothing.
    assert [found.image_class_ids(i).tolist() for i in range(3)] == [[-2, 1], [], [2]]
    assert [found.load_mask(i)[1].tolist() for i in range(3)] == [[-2, 1], [], [2]]
    assert found.summary()["counts"].tolist() == [0, 1, 2] and found.summary()["empty"] == 1


def made(tmp_path, count=11):
    dataset = shapes(count)
    return dataset, shards_of(dataset, tmp_path / "shards", shard_mb=0.01)


def test_an_epoch_of_any_number_of_hosts_has_each_image_once_and_goes_on_anywhere(tmp_path):
    dataset, found = made(tmp_path)
    assert len(set(found.image_info.table["shard"].to_pylist())) > 2
    config = TinyConfig()
    config.IMAGES_PER_GPU = 4
    whole = DataGenerator(dataset, config)
    expected = [whole[i][0] for i in range(3)]
    for hosts in (1, 2, 3, 5):
        shares = [Share(Host(i, hosts), devices=1) for i in range(hosts)]
        parts = [DataGenerator(found, config, share=share) for share in shares]
        read = []
        for index in range(3):
            batches = [part[index][0] for part in parts]
            read += [i for part in parts for i in part.made_of[index]]
            for name, array in expected[index].items():
                together = np.concatenate([batch[name] for batch in batches])
                np.testing.assert_array_equal(together, array, err_msg=name)
        assert sorted(read) == list(range(11))
    rest = DataGenerator(found, config)
    rest.go_on(whole.seed, 0, 1)
    assert len(rest) == 2
    for batch, (found_batch,) in zip(expected[1:], rest, strict=True):
        np.testing.assert_array_equal(found_batch["input_image"], batch["input_image"])


def test_a_picture_is_one_range_of_a_remote_shard(tmp_path, memory, cache, monkeypatch):
    dataset, _ = made(tmp_path, 5)
    put_folder(tmp_path / "shards", f"{memory}/shards")
    system, asked = file_system(memory)[0], []
    cat = type(system).cat_file

    def cat_file(self, path, start=None, end=None, **options):
        asked.append((path, start, end))
        return cat(self, path, start=start, end=end, **options)

    monkeypatch.setattr(type(system), "cat_file", cat_file)
    found = load(f"{memory}/shards", verbose=0)
    assert not asked
    check_equal(found, dataset)
    rows = read_index(tmp_path / "shards" / "index.parquet").to_pylist()
    places = [
        (f"/data/shards/shard-{x['shard']:06d}.tar", x["offset"], x["offset"] + x["size"])
        for x in rows
    ]
    assert asked == places
    assert sorted(os.listdir(local_data(f"{memory}/shards"))) == ["index.parquet", "place.txt"]
    system.rm_file(places[0][0])
    with pytest.raises(ValueError, match=r"Image 0 .memory://data/shards/shard-000000.tar/0000"):
        load(f"{memory}/shards", verbose=0).load_image(0)


def test_damaged_shards_are_named(tmp_path):
    _, found = made(tmp_path, 5)
    info = found.image_info[1]
    assert info["shard"].endswith("shard-000000.tar") and info["offset"] > 0
    with open(info["shard"], "r+b") as file:
        file.truncate(info["offset"] + 100)
    message = (
        r"Image 1 \(.*/shard-000000.tar/000000001\): "
        rf"expected a record of bytes {info['offset']} to {info['offset'] + info['size']} of .*"
        "received 100 bytes: the shard is truncated; copy it again"
    )
    for load_part in (found.load_image, found.load_mask):
        with pytest.raises(ValueError, match=message):
            load_part(1)
    last = found.image_info[4]["shard"]
    os.replace(last, info["shard"])
    with pytest.raises(ValueError, match="expected the record that the index names, received oth"):
        found.load_mask(0)
    with pytest.raises(ValueError, match=r"it is that of|the shard is truncated|bad checksum"):
        found.load_mask(0)


def test_a_picture_of_several_pages_and_of_other_channels(tmp_path):
    from tifffile import imwrite

    from mrcnn.data import Dataset

    class Stacks(Dataset):
        def load_mask(self, image_id):
            return np.ones((32, 40, 1), bool), np.ones(1, int)

    dataset, pages = Stacks(), np.random.default_rng(0).integers(0, 255, (4, 32, 40), np.uint8)
    imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    dataset.add_class("stacks", 1, "cell")
    dataset.add_image("stacks", 0, str(tmp_path / "a.tif"))
    dataset.channels = Channels(4)
    dataset.prepare()
    folder = convert(dataset, tmp_path / "shards", "shards")
    found = ShardsDataset()
    found.channels = Channels(4)
    found.load(folder)
    found.prepare()
    np.testing.assert_array_equal(found.load_image(0), np.moveaxis(pages, 0, -1))
    found.channels = Channels(4, files=("_b",))
    with pytest.raises(ValueError, match="IMAGE_CHANNEL_FILES: a record has one file of a pic"):
        found.load_image(0)


def test_the_index_is_small_in_memory(tmp_path):
    arrow, count = import_pyarrow("this test"), 100_000
    values = {name: np.arange(count) for name in ("key", "offset", "size")}
    values |= {name: np.full(count, 1, np.int32) for name in ("shard", "height", "width", "alone")}
    values |= {"subset": np.zeros(count, np.int16), "name": [f"{i:012d}.jpg" for i in range(count)]}
    values["class_ids"] = [[1, 2, -1]] * count
    arrays = [arrow.array(values[field.name], field.type) for field in columns()]
    batch = arrow.RecordBatch.from_arrays(arrays, schema=columns())
    facts = {"classes": ["a", "b"], "subsets": [""], "keypoints": None}
    write_index(tmp_path / "index.parquet", [batch], facts)
    del values, arrays, batch
    tracemalloc.start()
    dataset = load(tmp_path, verbose=0)
    assert dataset.num_images == count and dataset.image_info[99_999]["name"] == "000000099999.jpg"
    split(dataset, 0.01)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # A row: key, offset and size 8 bytes each, subset 2, four numbers of 4, 16 letters and their
    # place of 8, three ids of 4 and theirs of 8: 86 bytes.
    assert dataset.image_info.table.nbytes < 86 * count * 1.05
    # In Python `image_ids` alone, 8 bytes each; a dict for each would be 200 more.
    assert held < 8 * count * 1.25
    assert dataset.summary()["counts"].tolist() == [0, 200_000, 100_000]


def test_splits_are_those_of_the_ids(tmp_path):
    _, found = made(tmp_path)
    parts = split(found, 0.3)
    assert [x.num_images for x in parts] == [8, 3]
    ids = [[info["id"] for info in x.image_info] for x in parts]
    assert sorted(ids[0] + ids[1]) == [f"{i:09d}" for i in range(11)]
    for part, names in zip(parts, ids, strict=True):
        np.testing.assert_array_equal(part.load_image(1), found.load_image(int(names[1])))


def test_commands(tmp_path, pets, capsys):
    out = tmp_path / "out"
    arguments = ["convert", str(pets), str(out), "--to", "shards", "--shard-mb"]
    assert cli.main([*arguments, "0.002"]) == 0
    assert (out / "shard-000001.tar").exists()
    assert cli.main(["check", str(out)]) == 0
    assert "3 objects" not in capsys.readouterr().err
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    given = parser.parse_args([str(out)])
    given.val, given.split, given.seed = None, None, 0
    train, val = load_training_data(given)
    assert train.num_images + val.num_images == 3
    assert (
        cli.main(["convert", str(pets), str(tmp_path / "a"), "--to", "via", "--shard-mb", "1"]) == 2
    )
    assert "--shard-mb is of --to shards alone" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*arguments, "0"])


@pytest.mark.thorough
def test_a_model_trains_and_is_scored_on_remote_shards(tmp_path, memory, cache, capsys):
    dataset = shapes(6)
    folder = convert(dataset, tmp_path / "shards", "shards")
    place = f"{memory}/shards"
    put_folder(folder, place)
    tiny = str(Path(__file__).with_name("tiny.py"))
    options = [
        "--config",
        tiny,
        "--weights",
        "none",
        "--epochs",
        "1",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert cli.main(["train", place, *options, "STEPS_PER_EPOCH=2"]) == 0
    run = tmp_path / "runs" / "train"
    assert place in (run / "command.txt").read_text()
    assert f"data: {place}\n" in (run / "config.yaml").read_text()
    capsys.readouterr()
    assert cli.main(["evaluate", str(run), place, "--config", tiny]) == 0
    # A fifth of 6, rounded, validated: it is known again by the place of the data.
    assert "1 of the pictures did not train" in capsys.readouterr().out


def test_what_cannot_be_is_told(tmp_path, pets, monkeypatch):
    folder = convert(load(pets, verbose=0), tmp_path / "shards", "shards")
    with pytest.raises(ValueError, match="expected no options of shards, received label"):
        load(folder, label="a")
    dataset = ShardsDataset()
    dataset.load(folder)
    with pytest.raises(ValueError, match="expected an empty data set to load shards into"):
        dataset.load(folder)
    with pytest.raises(ValueError, match="expected a subset of 'train2017', received 'val'"):
        load(folder, "val")
    with pytest.raises(IndexError, match="expected a picture below 3, received 3"):
        dataset.image_info[3]
    monkeypatch.setattr(records, "VERSION", 0)
    with pytest.raises(ValueError, match="expected shards of version 0, received 1"):
        load(folder)
    (folder / "index.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="expected an index of shards, which cannot be read"):
        load(folder)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"shards need pyarrow, .*'mrcnn\[parquet\]'"):
        load(folder)


def test_json_holds_numbers_as_they_were():
    record = records.encode(7, ".png", b"abc", {"annotations": [0.1, 1, 1 / 3]})
    assert len(record) == 4 * 512
    file, annotations = records.decode(record, "shard/000000007", "it")
    assert file.read() == b"abc" and annotations == {"annotations": [0.1, 1, 1 / 3]}
    with tarfile.open(fileobj=io.BytesIO(record + records.END)) as tar:
        assert json.load(tar.extractfile("000000007.json")) == annotations
