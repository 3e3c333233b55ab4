"""Proposals before they reach a network: files, names, and boxes moved as their image."""

import os
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mrcnn.data import Dataset, Proposals, read_proposals
from mrcnn.data.proposals import XYWH, XYXY, load_proposals
from mrcnn.data.tiles import TiledDataset
from mrcnn.image import proposals as boxes_of

A, B = [[1, 2, 3, 4], [0, 0, 5, 6]], [[7, 8, 9, 10]]  # y1 x1 y2 x2


def swapped(boxes):
    return np.array(boxes, "float32")[:, [1, 0, 3, 2]]


# ---- files


def test_an_array_for_each_picture(tmp_path):
    np.savez(tmp_path / "p.npz", **{"a.jpg": A, "train/7": B, "empty": np.zeros((0, 4))})
    found = read_proposals(tmp_path / "p.npz")
    assert len(found) == 3
    assert_array_equal(found.of("a.jpg"), A)
    assert found.of("a.jpg").dtype == np.float32
    assert_array_equal(found.of(None, "/data/train/7.png"), B)
    assert found.of("empty").shape == (0, 4)
    assert found.of("b", "b.jpg") is None


@pytest.mark.parametrize("ids", [["x.jpg", "none", "y"], [30, 40, 50], None])
def test_all_boxes_in_one_array(tmp_path, ids):
    # Three of two pictures in any order; the scores say that A's second is the better.
    arrays = {"boxes": [B[0], *A], "index": [2, 0, 0], "scores": [0.5, 0.1, 0.9]}
    np.savez(tmp_path / "p.npz", **arrays, **({} if ids is None else {"ids": ids}))
    found, ids = read_proposals(tmp_path / "p.npz"), ids or [0, 1, 2]
    assert_array_equal(found.of(ids[0]), A[::-1])
    assert_array_equal(found.of(ids[2]), B)
    others = found.of(ids[1])  # without `ids` only what has boxes is known
    assert others is None if ids == [0, 1, 2] else others.shape == (0, 4)


def d2(**changes):
    boxes = [swapped(A), swapped(B), np.zeros((0, 4), "float32")]
    scores = [np.float32([-1, 2]), np.float32([0]), np.zeros(0, "float32")]
    known = {"ids": [139, "b", 3], "boxes": boxes, "objectness_logits": scores, "bbox_mode": 0}
    return {name: value for name, value in (known | changes).items() if value is not None}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_detectron2s_pickles(tmp_path, protocol):
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps(d2(), protocol))
    found = read_proposals(path)
    assert_array_equal(found.of(139), A[::-1])  # the best first
    assert_array_equal(found.of(None, "val2017/000000000139.jpg"), A[::-1])
    assert_array_equal(found.of("b.jpg", "b.jpg"), B)
    assert found.of(3).shape == (0, 4)


def test_detectrons_first_names_and_widths(tmp_path):
    sizes = [np.float32([[2, 1, 2, 2]])]  # x1 y1 and sides: y from 1 to 3, x from 2 to 4
    names = {"ids": None, "objectness_logits": None, "indexes": np.array([8]), "boxes": sizes}
    (tmp_path / "p.pkl").write_bytes(
        pickle.dumps(d2(**names, scores=[np.float64([1])], bbox_mode=np.int64(1)))
    )
    assert_array_equal(read_proposals(tmp_path / "p.pkl").of(8), [[1, 2, 3, 4]])


class Mode(int):
    """Pickled as detectron2's enumeration of box modes is."""

    def __reduce__(self):
        return Named("detectron2.structures.boxes", "BoxMode"), (int(self),)


class Named:
    """A global of a module that is not installed."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Naming(pickle._Pickler):
    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            return self.write(f"c{obj.module}\n{obj.name}\n".encode())
        if isinstance(obj, Mode):
            function, arguments = obj.__reduce__()
            self.save(function)
            self.save(arguments)
            return self.write(pickle.REDUCE)
        return super().save(obj, save_persistent_id)


def test_a_box_mode_needs_no_detectron2(tmp_path):
    with open(tmp_path / "p.pkl", "wb") as file:
        Naming(file, 2).dump({"ids": [1], "boxes": [swapped(A)], "bbox_mode": Mode(0)})
    assert_array_equal(read_proposals(tmp_path / "p.pkl").of(1), A)


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(d2(ids=Evil())), "system, which proposals do not need.*save ids, boxes"),
        (pickle.dumps({"a": 1}), r"holds \['a'\]; expected an .npz of one array"),
        (pickle.dumps([1]), "holds list; expected an .npz"),
        (pickle.dumps(d2(ids=None)), "has no ids and bbox_mode 0"),
        (pickle.dumps(d2(bbox_mode=4)), "has ids and bbox_mode 4; expected ids .* of {0: 'x1 y1"),
        (pickle.dumps(d2(ids=[1, 1, 2])), "received 2 ids, 3 boxes, 3 scores"),
        (pickle.dumps(d2(boxes=[])), "received 3 ids, 0 boxes, 3 scores"),
        (pickle.dumps(d2())[:-9], "damaged|truncated"),
        (b"139 1 2 3 4\n", "p.pkl"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "p.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_proposals(path)
    assert str(path) in str(caught.value)


def test_arrays_that_do_not_fit(tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, boxes=A, index=[0.5, 1.5])
    with pytest.raises(ValueError, match=r"p.npz has an index float64 \[2\] .* whole numbers"):
        read_proposals(path)
    np.savez(path, boxes=A, index=[0, 2], ids=["a", "b"])
    with pytest.raises(ValueError, match="has 2 ids and an index up to 2"):
        read_proposals(path)
    np.savez(path, boxes=A, index=[0, 1], scores=[1])
    with pytest.raises(ValueError, match=r"has scores \[1\] and 2 boxes"):
        read_proposals(path)
    with pytest.raises(FileNotFoundError, match="no file of proposals at"):
        read_proposals(tmp_path / "none.npz")
    scored = Proposals(["a"], [A], [[1, 2, 3]], source="here")
    with pytest.raises(ValueError, match=r"here, a: .* received 3 scores and 2 boxes"):
        scored.of("a")


def test_the_numbers_of_a_box():
    assert_array_equal(Proposals(["a"], [swapped(A)], form=XYXY).of("a"), A)
    assert_array_equal(Proposals(["a"], [[[2, 1, 2, 2]]], form=XYWH).of("a"), A[:1])


def test_the_surest_name_of_a_picture_is_taken():
    found = Proposals(["x/a.jpg", "a", "7"], [A, B, [[0, 0, 1, 1]]])
    assert_array_equal(found.of(None, "data/x/a.jpg"), A)  # its folder and name
    assert_array_equal(found.of(None, "data/y/a.jpg"), B)  # its name alone
    assert_array_equal(found.of(7, "data/x/a.jpg"), [[0, 0, 1, 1]])  # its id


# ---- data sets


def dataset_of(proposals):
    dataset = Dataset()
    dataset.add_class("x", 1, "thing")
    dataset.add_image("x", "first", "pictures/first.jpg", width=6, height=4)
    dataset.prepare()
    dataset.proposals = proposals
    return dataset


def test_a_data_set_has_those_of_its_file():
    assert dataset_of(None).load_proposals(0) is None
    assert_array_equal(dataset_of(Proposals(["first"], [A])).load_proposals(0), A)
    with pytest.raises(ValueError, match=r"Image 0 \(pictures/first.jpg\) has no proposals; expec"):
        load_proposals(dataset_of(Proposals(["second"], [A])), 0)

    class Broken(Dataset):
        def load_proposals(self, image_id):
            raise KeyError("gone")

    broken = Broken()
    broken.image_info = dataset_of(None).image_info
    with pytest.raises(RuntimeError, match=r"Image 0 .*, load_proposals: KeyError: 'gone'"):
        load_proposals(broken, 0)


def test_a_tile_has_what_lies_in_it():
    class Large(Dataset):
        def load_image(self, image_id):
            return np.zeros((4, 6, 3), np.uint8)

    large = Large()
    large.class_info, large.image_info = dataset_of(None).class_info, dataset_of(None).image_info
    large.prepare()
    large.proposals = Proposals(["first"], [[[1, 1, 3, 5], [0, 0, 1, 1], [0, 4, 4, 6]]])
    tiles = TiledDataset(large, 4, 2, keep_empty=True)
    regions = [info["region"] for info in tiles.image_info]
    assert regions == [(0, 0, 4, 4), (0, 2, 4, 6)]
    assert_array_equal(tiles.load_proposals(0), [[1, 1, 3, 4], [0, 0, 1, 1]])
    assert_array_equal(tiles.load_proposals(1), [[1, 0, 3, 3], [0, 2, 4, 4]])


# ---- boxes


def test_boxes_move_as_their_image():
    # 4 x 8 pixels twice as large in the middle of 16 x 16.
    place = 2, [(4, 4), (0, 0), (0, 0)], None, (8, 16)
    given = [[1, 2, 3, 4], [-1, -1, 2, 20], [5, 0, 9, 8]]  # the last lies below the picture
    found = boxes_of.mold_proposals(given, (4, 8, 3), place, (4, 0, 12, 16))
    assert_array_equal(found, [[6, 4, 10, 8], [4, 0, 8, 16]])
    # A crop of 4 x 4 at (2, 3).
    place = 1, [(0, 0)] * 3, (2, 3, 4, 4), None
    found = boxes_of.mold_proposals([[3, 4, 5, 6], [0, 0, 2, 2]], (8, 8), place, (0, 0, 4, 4))
    assert_array_equal(found, [[1, 1, 3, 3]])
    assert boxes_of.mold_proposals(np.zeros((0, 4)), (8, 8), place, (0, 0, 4, 4)).shape == (0, 4)


def test_corners_and_back():
    corners = boxes_of.to_corners([[1, 2, 3, 5]])
    assert_array_equal(corners, [[[1, 2], [1, 5], [3, 2], [3, 5]]])
    turned = corners[..., ::-1]  # about the diagonal
    assert_array_equal(boxes_of.from_corners(turned, (0, 0, 4, 9)), [[2, 1, 4, 3]])


def test_padding():
    padded = boxes_of.pad_proposals(np.float32([[0.6, 1.4, 2.6, 3]]), 2, np.int32)
    assert_array_equal(padded, [[1, 1, 3, 3], [0, 0, 0, 0]])
    assert padded.dtype == np.int32
    assert_array_equal(boxes_of.pad_proposals(np.float32(A), 1), A[:1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "here has no proposals; expected boxes"),
        ([1, 2, 3, 4], r"here: expected proposals \[N, 4\] .* received int64 \[4\]"),
        ([[1, 2, 3, 4, 0.5]], "scores are not part"),
        ([[1, 2, 3, 4], [3, 2, 1, 4]], r"received \[3.0, 2.0, 1.0, 4.0\] at 1"),
        ([[1, 2, np.nan, 4]], "nan, 4.0] at 0"),
        ([[1, 2, 3, np.inf]], "3.0, inf] at 0"),
        ([["a", "b", "c", "d"]], "received <U1"),
    ],
)
def test_what_is_no_proposal(given, message):
    with pytest.raises(ValueError, match=message):
        boxes_of.checked_proposals(given, "here")
