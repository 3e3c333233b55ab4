"""`AnnotatedDataset`: pictures and instances of any annotation format, as a `Dataset`."""

import collections
import functools
import inspect
import os
import warnings
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.encoded import EncodedMasks
from mrcnn.data.annotations.files import pictures_in
from mrcnn.data.annotations.instances import instance_code, values_of, with_keypoints
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.subsets import choose
from mrcnn.data.boxes import check_annotated_size, code_boxes
from mrcnn.data.dataset import Dataset, short_name
from mrcnn.data.image_loading import load_keypoints
from mrcnn.image.channels import Channels
from mrcnn.image.pixels import is_first


class AnnotatedDataset(Dataset):
    """A data set whose annotations lie in files; a subclass reads one format.

    Masks are drawn when they are asked for. A subclass sets `source`, and says where its files are
    (`find`) and what is in them (`read`).

    Attributes:
        source: str, the name of the format, and the source of its classes and images.
        gives_way_to: str, the format that files beside these are read in, unless one is asked for.
        declares_classes: bool, whether the files list their classes. If not, they are those of all
            subsets, sorted by name, so that the subsets of a data set agree.
        names_pictures: bool, whether the files name the pictures. If so, others beside these are
            told; if not, all pictures of the folders are looked at.
        box_masks: bool, whether an object without an outline has its box for a mask. By default
            such objects train only networks without masks.
    """

    source = None
    gives_way_to = None
    declares_classes = False
    names_pictures = True
    box_masks = False

    @classmethod
    def find(cls, path):
        """Where the annotations of each subset are.

        Args:
            path: `pathlib.Path` of a file or folder that exists.

        Returns:
            dict: by the name of a subset, "" where there are none, what `read` takes; empty
            where the path holds nothing of this format.
        """
        raise NotImplementedError

    def read(self, found, notes, **options):
        """Reads the annotations of a subset.

        Args:
            found: a value of what `find` returned.
            notes: `Notes`, told of what is left out.
            **options: what a user may choose of this format.

        Returns:
            classes: list of names, or of (id, name); None where the files do not list them.
            pictures: iterable of `Picture`.

        Raises:
            ValueError: names the file and the entry.
        """
        raise NotImplementedError

    def load(self, path, subset=None, classes=None, notes=None, **options):
        """Adds the classes and pictures of a data set.

        Args:
            path: of its file or folder.
            subset: str, "train" or "val" for example; None for all that there are.
            classes: list of class names: these, in this order, and no others. By default all.
            notes: `Notes`; by default one that raises errors, and warns of what is left out.
            **options: of the format, see `read` of the class.

        Raises:
            ValueError: names the file and the entry that cannot be used.
        """
        warns, notes = notes is None, notes or Notes()
        found = self.find(_existing(path))
        if not found:
            raise ValueError(f"{path}: expected annotations for {type(self).__name__}, found none")
        known = list(inspect.signature(self.read).parameters)[2:]
        if options.keys() - set(known):
            raise ValueError(
                f"{path}: expected for {self.source} options of {', '.join(known) or 'none'}, "
                f"received {', '.join(options)}"
            )
        chosen = choose(found, subset, path)
        names, pictures, by_subset = [], [], {}
        for name, place in found.items():
            if name in chosen or (classes is None and not self.declares_classes):
                declared, read = self.read(place, notes, **options)
                read = [x for x in read if not Channels.of(self.channels).is_further(x.path)]
                by_subset[name] = read = _once(read, notes)
                names += declared or sorted({i.category for p in read for i in p.instances})
                if name in chosen:
                    pictures += [(name, picture) for picture in read]
        complete = by_subset.keys() == found.keys() and not notes.errors  # else some name more
        if self.names_pictures and complete and Path(path).is_dir():
            _tell_unnamed(by_subset, chosen, notes, Channels.of(self.channels))
        if not self.declares_classes:
            names = sorted(set(names))
        self._add_classes(names, classes, path, notes)
        self._add_pictures(pictures, notes)
        if warns:
            notes.warn(path)

    def _add_classes(self, names, chosen, path, notes):
        pairs = [name if isinstance(name, tuple) else (name, name) for name in names]
        by_key = {}
        for key, name in pairs:
            if by_key.setdefault(key, name) != name:
                raise ValueError(
                    f"{path}: expected one class for an id in all subsets, but {key} is that of "
                    f"{by_key[key]!r} and of {name!r}; number them alike, or load each subset by "
                    "itself, the later with classes=... of the first"
                )
        if chosen is not None:
            by_name = {short_name(name): (key, name) for key, name in pairs}
            unknown = [name for name in chosen if name not in by_name]
            if unknown and self.declares_classes:
                raise ValueError(f"{path}: expected classes of {list(by_name)}, received {unknown}")
            pairs = [by_name.get(name, (name, name)) for name in chosen]
        shortened = {}
        for key, name in pairs:
            self.add_class(self.source, key, name)
            if shortened.setdefault(short_name(name), name) != name:
                what = "names of classes end at their comma, and several are then the same"
                notes.leave_out(what, f"{shortened[short_name(name)]!r} and {name!r}")

    def _add_pictures(self, pictures, notes):
        known = {info["id"] for info in self.class_info if info["source"] == self.source}
        names = {info["id"] for info in self.image_info if info["source"] == self.source}
        for subset, picture in pictures:
            name = picture.name if picture.name not in names else f"{subset}/{picture.name}"
            names.add(name)
            instances = [each for each in picture.instances if each.category in known]
            if len(instances) < len(picture.instances):
                others = {x.category for x in picture.instances if x.category not in known}
                notes.leave_out(
                    "pictures with objects of classes that were not asked for, which are left out",
                    f"{picture.path} ({', '.join(map(str, sorted(others)))})",
                )
            self.add_image(
                self.source,
                name,
                picture.path,
                width=picture.width,
                height=picture.height,
                subset=subset,
                instances=instances,
                **picture.extra,
            )

    def instances(self, image_id):
        """Returns the `Instance`s of a picture as its file has them, none drawn."""
        return self.image_info[image_id]["instances"]

    def instances_with_keypoints(self, image_id):
        """As `instances`; of a data set with keypoints those are in `extra`, as COCO's list."""
        instances = self.instances(image_id)
        if self.keypoint_scheme is None:
            return instances
        seen = np.array([mask_utils.area(code) > 0 for _, code in self._coded(image_id)], bool)
        keypoints = np.zeros((len(seen), len(self.keypoint_scheme), 3), np.float32)
        keypoints[seen] = load_keypoints(self, image_id, int(seen.sum()))
        return with_keypoints(instances, keypoints)

    def class_id_of(self, instance):
        """Returns the network's id of the class of an instance."""
        return self.map_source_class_id(f"{self.source}.{instance.category}")

    def image_class_ids(self, image_id):
        """Returns the class ids of a picture's instances, negative for crowds; none is drawn."""
        if self.image_info[image_id]["source"] != self.source:
            return super().image_class_ids(image_id)
        signs = {True: -1, False: 1}
        ids = [signs[x.crowd] * self.class_id_of(x) for x in self.instances(image_id)]
        return np.array(ids, int)

    def summary(self):
        """Counts what there is.

        Returns:
            dict: `subsets`, the pictures of each by its name; `counts` int [K], the objects of each
            class; `crowds`; `boxes`, objects without an outline; `empty`, pictures without objects.
        """
        counts, crowds, boxes, empty = np.zeros(self.num_classes, int), 0, 0, 0
        for image_id in range(self.num_images):
            instances = self.instances(image_id)
            empty += not instances
            for instance in instances:
                counts[self.class_id_of(instance)] += 1
                crowds += instance.crowd
                boxes += not instance.parts
        subsets = collections.Counter(info["subset"] for info in self.image_info)
        found = {"subsets": dict(subsets), "counts": counts}
        return {**found, "crowds": crowds, "boxes": boxes, "empty": empty}

    @property
    def without_outline(self):
        """What a message calls the first object that has a box alone, or None."""
        for image_id, info in enumerate(self.image_info):
            if info["source"] == self.source and not self.box_masks:
                for instance in self.instances(image_id):
                    if not instance.parts:
                        return f"{info['path']}, {instance.name}"
        return None

    def load_mask(self, image_id):
        """Returns masks bool [H, W, N] and class ids int32 [N], negative for a crowd.

        An object without an outline has its box for a mask. A crowd whose code has another size
        than the image covers all of it. An object without a pixel is left out; the first one of
        the data set warns.
        """
        info = self.image_info[image_id]
        if info["source"] != self.source:
            return super().load_mask(image_id)
        codes, class_ids = self.load_codes(image_id)
        size = info["height"], info["width"]
        masks = mask_utils.decode(codes) if codes else np.zeros((*size, 0), np.uint8)
        return masks.view(bool), class_ids

    def load_boxes(self, image_id, image_shape):
        """Returns the boxes of what `load_mask` returns, without drawing it: see `Dataset`."""
        info = self.image_info[image_id]
        if not self.has_codes(image_id):
            return super().load_boxes(image_id, image_shape)
        check_annotated_size((info["height"], info["width"]), image_shape)
        codes, class_ids = self.load_codes(image_id)
        return code_boxes(codes).astype(np.int32), class_ids

    def load_encoded(self, image_id, image_shape):
        """What `load_mask` returns, its masks as `EncodedMasks`; None if they must be arrays.

        They must where a subclass makes them itself, and where they do not fit the image.
        """
        info = self.image_info[image_id]
        fits = (info.get("height"), info.get("width")) == tuple(image_shape[:2])
        if not (self.has_codes(image_id) and fits):
            return None
        codes, class_ids = self.load_codes(image_id)
        return EncodedMasks(codes, image_shape[:2]), class_ids

    def has_codes(self, image_id):
        """Whether the masks of an image are those of its annotations, and no subclass's own."""
        own_masks = type(self).load_mask is not AnnotatedDataset.load_mask
        return self.image_info[image_id]["source"] == self.source and not own_masks

    def load_codes(self, image_id):
        """As `load_mask`, of a picture of this format: run-length codes, a list, and class ids,
        negative for a crowd, of the instances with pixels."""
        codes, class_ids = [], []
        for instance, code in self.drawn(image_id):
            class_id = self.class_id_of(instance)
            codes.append(code)
            class_ids.append(-class_id if instance.crowd else class_id)
        return codes, np.array(class_ids, np.int32)

    def drawn(self, image_id):
        """Yields each `Instance` of a picture that has pixels, with its run-length code."""
        for instance, code in self._coded(image_id):
            if mask_utils.area(code):
                yield instance, code
            elif is_first(self, "vanished"):
                warnings.warn(
                    f"image {self.image_info[image_id]['id']}, {instance.name}: the outline covers "
                    "no pixel, and is left out; others like it are left out without a word",
                    stacklevel=2,
                )

    def _coded(self, image_id):
        """Yields each `Instance` of a picture with its run-length code."""
        info = self.image_info[image_id]
        size = [info["height"], info["width"]]
        values = functools.cache(values_of)  # a file is read once for all that it holds
        for instance in self.instances(image_id):
            name = f"image {info['id']}, {instance.name}"
            yield instance, instance_code(instance, size, name, values)

    def image_reference(self, image_id):
        """Returns the path of the picture."""
        info = self.image_info[image_id]
        if info["source"] != self.source:
            return super().image_reference(image_id)
        return info["path"]


def _once(pictures, notes):
    """The pictures of a subset; one whose file another has is an error."""
    taken, kept = {}, []
    for picture in pictures:
        with notes.entry():
            place = os.path.normpath(picture.path)
            first = taken.setdefault(place, picture)
            if first is not picture:
                raise ValueError(
                    f"{picture.entry}: expected one entry for a picture, but {first.entry} "
                    f"is of {picture.path} too; join their objects in one, and remove the other"
                )
            kept.append(picture)
    return kept


def _tell_unnamed(by_subset, chosen, notes, channels):
    """Tells the pictures beside and below those of chosen subsets that no annotation names."""
    paths = {key: {os.path.normpath(x.path) for x in read} for key, read in by_subset.items()}
    named = set().union(*paths.values())
    folders = {Path(path).parent for key in chosen for path in paths[key]}
    for folder in sorted(x for x in folders if x.is_dir() and folders.isdisjoint(x.parents)):
        for path in pictures_in(folder, deep=True):
            if os.path.normpath(path) not in named and not channels.is_further(path):
                notes.leave_out("pictures that no annotation names are left out", path)


def _existing(path):
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: expected annotations or the folder of a data set, found nothing")
    return path
