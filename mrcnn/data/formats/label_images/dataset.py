"""`LabelImageDataset`: a picture beside an image of numbers, one for each object, as StarDist and
Cellpose have them.

    images/<stem>.tif     or     <stem>.tif  or  <stem>_img.tif
    masks/<stem>.tif             <stem>_masks.tif
"""

import dataclasses
import itertools

import numpy as np
import tifffile
from PIL import Image
from pycocotools import mask as mask_utils
from skimage.measure import label

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.instances import Instance, MaskFile, Picture
from mrcnn.data.annotations.label_files import check_size, read_labels
from mrcnn.data.annotations.picture_folders import beside_images
from mrcnn.data.annotations.subsets import folders_in, named_subsets
from mrcnn.data.annotations.writing import code_of, save_picture
from mrcnn.data.class_names import NAMELESS
from mrcnn.data.formats.label_images.classes import FILE, read_classes, write_classes
from mrcnn.data.formats.label_images.pairs import LABELS, is_pair, pairs
from mrcnn.image.reading import image_size

DEEPEST_PNG = 2**16 - 1  # objects; label images of more are TIFF


class LabelImageDataset(AnnotatedDataset):
    """Pictures with label images: 0 is the background, every other number an object.

    Example:

    >>> dataset = LabelImageDataset()
    >>> dataset.load("dsb2018", subset="train", class_name="nucleus")
    >>> dataset.prepare()
    """

    source = "labels"
    names_pictures = False

    @classmethod
    def find(cls, path):
        """Folders of pictures and of label images: `images` beside one of `LABELS`, or one folder
        that holds both."""
        if not path.is_dir():
            return {}
        found = beside_images(path, LABELS, is_pair)
        if found:
            return found
        if is_pair(path, path):
            return {"": (path, [path])}
        return named_subsets(
            {x.name: (x, [x]) if is_pair(x, x) else None for x in folders_in(path)}
        )

    def read(self, found, notes, class_name=NAMELESS, components=None, labels=None):
        """Reads all label images.

        Args:
            found: `pathlib.Path` of the folder of the pictures, and a list of those of the labels.
            notes: `Notes`.
            class_name: str, the class of what `classes.json` beside the label images does not
                name, see `mrcnn.data.formats.label_images.classes`.
            components: bool. True: each group of pixels of one number that touch by side or corner
                is an object. False: all pixels of a number are. None: False, but label images of
                one number alone, with several groups, are refused: they are often masks of all
                objects, which would train as one.
            labels: str, the name of the folder of the label images, where several fit.
        """
        images, folders = found
        folder = _chosen(folders, labels)
        classes = read_classes(folder)
        read = []
        for path, file in pairs(images, folder, notes):
            with notes.entry():
                named = classes.pop(file.stem, None)
                read.append(_read_one(path, file, named, class_name, components, notes))
        for stem in classes:
            notes.leave_out(f"entries of {FILE} without a label image are left out", stem)
        doubtful = [x for x in read if x.pieces > 1]
        if components is None and not any(x.certain for x in read):
            for each in doubtful:
                with notes.entry():
                    raise ValueError(_doubt(each, len(doubtful), len(read)))
            read = [x for x in read if x.pieces <= 1]
        return None, [x.picture for x in read]


@dataclasses.dataclass(frozen=True)
class _Read:
    """A picture that was read, its label image, and whether that is one.

    Args:
        certain: bool, whether it has several numbers, or their classes are named.
        pieces: int, of the number that is the only one; else 0.
    """

    picture: Picture
    file: object
    certain: bool
    pieces: int


def _chosen(folders, labels):
    fitting = [x for x in folders if labels in (None, x.name, x.parent.name)]
    if len(fitting) == 1:
        return fitting[0]
    names = " and ".join(map(str, folders))
    raise ValueError(
        f"{names}: expected one folder of label images, received labels={labels!r}; say which, "
        "for example labels='masks'"
    )


def _read_one(path, file, named, class_name, components, notes):
    size = image_size(path)
    check_size(file, size, path)
    labels = read_labels(file)
    values = np.unique(labels)
    values = values[values > 0].tolist()
    for value in (named or {}).keys() - values:
        notes.leave_out(f"numbers of {FILE} that no pixel has are left out", f"{file}, {value}")
    parts = [(f"number {x}", x, MaskFile(str(file), x)) for x in values]
    if components:
        parts = _pieces(labels, values)
    instances = []
    for name, value, part in parts:
        category = class_name if named is None else _class_of(value, named, file)
        instances.append(Instance(category, [part], name=name))
    alone = components is None and named is None and len(values) == 1
    pieces = label(labels > 0, connectivity=2).max() if alone else 0
    certain = len(values) > 1 or named is not None
    return _Read(Picture(path.name, str(path), *size, instances), file, certain, pieces)


def _class_of(value, named, file):
    if value not in named:
        raise ValueError(
            f"{file.parent / FILE}, {file.stem}: expected the class of number {value}, received "
            f"those of {list(named)[:10]}; add it, or remove the entry"
        )
    return named[value]


def _pieces(labels, values):
    """Name, number and run-length code of each group of pixels of one number that touch."""
    ranks = np.where(labels > 0, np.searchsorted(values, labels) + 1, 0)
    pieces = label(ranks, connectivity=2)
    numbers, firsts = np.unique(pieces, return_index=True)
    owners = ranks.ravel()[firsts[numbers > 0]] - 1
    codes = zip(owners, _codes(pieces), strict=True)
    return [(f"piece {i + 1}", values[owner], code) for i, (owner, code) in enumerate(codes)]


def _codes(pieces):
    """A compressed run-length code of each number from 1 on of an int array [H, W]."""
    flat = pieces.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    ends = np.append(starts[1:], flat.size)
    order = np.argsort(flat[starts], kind="stable")  # runs by their numbers
    bounds = np.searchsorted(flat[starts[order]], np.arange(1, pieces.max(initial=0) + 2))
    codes = []
    for first, last in itertools.pairwise(bounds):
        own = order[first:last]
        edges = np.stack([starts[own], ends[own]], axis=1).ravel()
        runs = np.diff(edges, prepend=0, append=flat.size).tolist()
        code = {"size": list(pieces.shape), "counts": runs}
        codes.append(mask_utils.frPyObjects(code, *pieces.shape))
    return codes


def _doubt(read, count, total):
    return (
        f"{read.file}: expected a number of its own for each object, received one number in "
        f"{read.pieces} separate pieces, and so in {count} of {total} label images, none of which "
        "has a second number: is it a mask of all objects? components=True takes each piece for "
        "an object, components=False all of it for one"
    )


def write_labels(items, folder, class_names, notes):
    """Writes `<subset>/images/<name>` and `<subset>/masks/<stem>.png` of 16 bits, or `.tif` of 32
    where there are more objects; and `<subset>/masks/classes.json`.

    A pixel belongs to one object only: to the smallest that covers it, so that few vanish.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background.
        notes: `Notes`, told of what the format cannot hold.
    """
    classes = {}
    for item in items:
        picture = item.picture
        save_picture(item, folder / item.subset / "images" / picture.name)
        stem = picture.name.rpartition(".")[0]
        path = folder / item.subset / "masks" / stem
        labels, names = _draw(picture, path, notes)
        _save(labels, path)
        classes.setdefault(path.parent, {})[stem] = names
    for place, entries in classes.items():
        write_classes(place, entries)


def _draw(picture, path, notes):
    """The label image of a picture, and the class of each number."""
    crowds = [x for x in picture.instances if x.crowd]
    instances = [x for x in picture.instances if not x.crowd]
    codes = [code_of(each, picture) for each in instances]
    areas = [int(mask_utils.area(code)) for code in codes]
    labels = np.zeros((picture.height, picture.width), np.uint32)
    for i in sorted(range(len(codes)), key=lambda i: (areas[i], i), reverse=True):
        labels[mask_utils.decode(codes[i]).view(bool)] = i + 1
    seen = np.bincount(labels.ravel(), minlength=len(codes) + 1)
    seen[0] = 0
    for each in crowds:
        what = "crowds, which label images cannot hold, are left out"
        notes.leave_out(what, f"{path}, {each.name}")
    for each, area, left in zip(instances, areas, seen[1:].tolist(), strict=True):
        _tell(notes, f"{path}, {each.name}", area, left, bool(each.parts))
    numbers = (np.cumsum(seen > 0) * (seen > 0)).astype(np.uint32)
    kept = [each.category for each, left in zip(instances, seen[1:], strict=True) if left]
    return numbers[labels], {i + 1: name for i, name in enumerate(kept)}


def _tell(notes, place, area, left, has_outline):
    """Tells what a label image does not hold of an object."""
    if not area:
        notes.leave_out("objects without a pixel are left out", place)
    elif not left:
        notes.leave_out("objects that smaller ones cover wholly are left out", place)
    elif left < area:
        what = "objects lose pixels to smaller ones, as each pixel has one number"
        notes.leave_out(what, f"{place} ({area - left} of {area})")
    if not has_outline:
        notes.leave_out("objects without an outline have their box for a mask", place)


def _save(labels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if labels.max(initial=0) <= DEEPEST_PNG:
        Image.fromarray(labels.astype(np.uint16)).save(f"{path}.png")
    else:
        tifffile.imwrite(f"{path}.tif", labels, compression="zlib")
