"""Proposals of files: where an object may be, for networks that are given that.

Shape legend: N proposals of an image; M of all; I images.

`read_proposals` reads

- `.npz` with one array a picture, named by the picture's id or file name: float `[N, 4]`,
  y1 x1 y2 x2 in its pixels, the best first;
- `.npz` of `boxes` `[M, 4]`, the same, and `index` `[M]`: of each the place of its picture in `ids`
  `[I]`, ids or file names, or where there are no `ids` the id itself; and perhaps `scores` `[M]`;
- detectron2's and Detectron's pickles: a dict of `ids` (or `indexes`), of `boxes`, for each of them
  `[N, 4]`, x1 y1 x2 y2 or what `bbox_mode` says, and of `objectness_logits` (or `scores`) `[N]`.
"""

import mmap
import os
import zipfile
from pathlib import PurePath

import numpy as np

from mrcnn.data.image_loading import image_name
from mrcnn.files.arrays import Refused, Tensor, show
from mrcnn.files.reading import DAMAGE
from mrcnn.files.unpickle import MAX_STEPS, Unpickler
from mrcnn.image.proposals import checked_proposals

_LAYOUTS = (
    "expected an .npz of one array [N, 4] a picture, or of boxes and index, or detectron2's pickle "
    "of ids, boxes and objectness_logits"
)
_ADVICE = "save ids, boxes and scores as lists and NumPy arrays, or as .npz"
YXYX, XYXY, XYWH = "y1 x1 y2 x2", "x1 y1 x2 y2", "x1 y1 width height"
_MODES = {0: XYXY, 1: XYWH}  # detectron2's BoxMode


class Proposals:
    """The proposals of pictures, found by their id or file name.

    Args:
        names: list of I ids or file names, with or without folders and suffix.
        boxes: list of I arrays `[N, 4]`.
        scores: list of I arrays `[N]`, by which they are ranked; None: the best are first.
        form: `YXYX`, `XYXY` or `XYWH`, what the numbers of a box are.
        source: str, what errors call it.

    Raises:
        ValueError: not one entry for each name, or a name that comes twice.

    Example:

    >>> proposals = Proposals(["a.jpg"], [[[0, 0, 8, 8]]])
    >>> proposals.of("7", "pictures/a.jpg")
    array([[0., 0., 8., 8.]], dtype=float32)
    """

    def __init__(self, names, boxes, scores=None, form=YXYX, source="proposals"):
        self._boxes, self._scores, self._form, self.source = boxes, scores, form, source
        self._places = {str(name): i for i, name in enumerate(names)}
        counts = {"ids": len(self._places), "boxes": len(boxes)}
        counts |= {} if scores is None else {"scores": len(scores)}
        if len(set(counts.values())) > 1 or len(names) != len(boxes):
            raise ValueError(
                f"{source}: expected ids that differ, and for each its boxes and scores, received "
                + ", ".join(f"{count} {what}" for what, count in counts.items())
            )

    def __len__(self):
        return len(self._places)

    def of(self, image_id=None, path=None):
        """The proposals of a picture.

        Args:
            image_id: its id, or None.
            path: of its file, or None.

        Returns:
            float32 `[N, 4]`, y1 x1 y2 x2 in its pixels, the best first; None where it has no entry.

        Raises:
            ValueError: its entry is no boxes, or has another number of scores.
        """
        name = next((name for name in _names(image_id, path) if name in self._places), None)
        if name is None:
            return None
        place, what = self._places[name], f"{self.source}, {name}"
        boxes = np.asarray(self._boxes[place])
        if boxes.size and boxes.ndim == 2 and boxes.shape[1] == 4 and self._form != YXYX:
            if self._form == XYWH:
                boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
            boxes = boxes[:, [1, 0, 3, 2]]
        boxes = checked_proposals(boxes, what)
        if self._scores is None:
            return boxes
        scores = np.asarray(self._scores[place]).reshape(-1)
        if len(scores) != len(boxes):
            raise ValueError(
                f"{what}: expected a score a box, received {len(scores)} scores and {len(boxes)} "
                "boxes"
            )
        return boxes[np.argsort(-scores.astype(float), kind="stable")]


def _names(image_id, path):
    """What a picture may be called, the surest first; COCO's files are numbered by their ids."""
    if image_id is not None:
        yield str(image_id)
    for text in filter(None, (path, image_id if isinstance(image_id, str) else None)):
        parts = PurePath(text).parts
        for i in range(len(parts)):
            whole = PurePath(*parts[i:])
            yield whole.as_posix()
            yield whole.with_suffix("").as_posix()
        stem = PurePath(text).stem
        if stem.isdecimal():
            yield str(int(stem))


def load_proposals(dataset, image_id):
    """Returns the checked proposals of a data set's image, float32 `[N, 4]`.

    Raises:
        ValueError: it has none, or they are no boxes; it names the image.
        RuntimeError: `load_proposals` of the data set fails; it names the image.
    """
    name = image_name(dataset, image_id)
    try:
        found = getattr(dataset, "load_proposals", lambda image_id: None)(image_id)
    except ValueError as error:
        raise ValueError(f"{name}, load_proposals: {error}") from error
    except Exception as error:
        raise RuntimeError(f"{name}, load_proposals: {type(error).__name__}: {error}") from error
    return checked_proposals(found, name)


def read_proposals(path):
    """Reads a file of proposals; its forms are listed above. Nothing in a pickle is run.

    Args:
        path: of the file.

    Returns:
        `Proposals`, for `Dataset.proposals`.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is no such file, or is damaged; it says what is expected.

    Example:

    >>> dataset.proposals = read_proposals("selective_search.npz")  # doctest: +SKIP
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no file of proposals at {path}")
    try:
        if zipfile.is_zipfile(path):
            return _of_npz(path)
        return _of_pickle(path)
    except Refused as error:
        raise ValueError(f"{path} {error}") from error
    except DAMAGE as error:
        if str(error).startswith(path):
            raise
        what = show(f"{type(error).__name__}: {error}")
        raise ValueError(
            f"{path} is damaged, or no file of proposals ({what}); {_LAYOUTS}"
        ) from error


def _of_npz(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if "index" not in arrays:
        return Proposals(list(arrays), list(arrays.values()), source=path)
    if "boxes" not in arrays:
        raise Refused(f"has an index and no boxes; {_LAYOUTS}")
    boxes, index = arrays["boxes"], arrays["index"]
    if index.ndim != 1 or index.dtype.kind not in "iu" or len(index) != len(boxes):
        raise Refused(
            f"has an index {index.dtype} {list(index.shape)} and boxes {list(boxes.shape)}; "
            "expected whole numbers, one a box"
        )
    names = arrays.get("ids")
    if names is None:
        names, index = np.unique(index, return_inverse=True)
    elif index.size and not 0 <= index.min() <= index.max() < len(names):
        raise Refused(f"has {len(names)} ids and an index up to {index.max()}")
    order = np.argsort(index, kind="stable")
    ends = np.cumsum(np.bincount(index, minlength=len(names)))[:-1]
    scores = arrays.get("scores")
    if scores is not None and scores.shape != index.shape:
        raise Refused(f"has scores {list(scores.shape)} and {len(boxes)} boxes; expected one a box")
    parts = [None if x is None else np.split(x[order], ends) for x in (boxes, scores)]
    return Proposals(names.tolist(), *parts, source=path)


def _of_pickle(path):
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    steps = MAX_STEPS + len(data)
    tree = Unpickler(data, max_steps=steps, wanted="proposals", advice=_ADVICE).load()
    if type(tree) is not dict or not {"boxes"} < tree.keys():
        what = sorted(map(str, tree)) if type(tree) is dict else type(tree).__name__
        raise Refused(f"holds {show(str(what))}; {_LAYOUTS}")
    names = next((tree[key] for key in ("ids", "indexes") if key in tree), None)
    scores = next((tree[key] for key in ("objectness_logits", "scores") if key in tree), None)
    mode = _plain(tree.get("bbox_mode", 0))
    if names is None or mode not in _MODES:
        raise Refused(
            f"has {'no ids' if names is None else 'ids'} and bbox_mode {mode!r}; expected ids or "
            f"indexes, and a bbox_mode of {_MODES}"
        )
    boxes = [_plain(each) for each in _plain(tree["boxes"])]
    scores = None if scores is None else [_plain(each) for each in _plain(scores)]
    names = [_plain(name) for name in _plain(names)]
    return Proposals(names, boxes, scores, _MODES[mode], source=path)


def _plain(value):
    """What was unpickled as NumPy has it; a number of an array of one."""
    if type(value) is not Tensor:
        return value
    array = value.array()
    return array if array.ndim else array.item()
