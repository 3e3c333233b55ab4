"""`ShardsDataset`: pictures and annotations in shards, each picture read by one range of bytes."""

import threading
from pathlib import Path

import numpy as np

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.instances import Instance
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.subsets import choose
from mrcnn.data.formats.coco.keypoints import keypoints_of
from mrcnn.data.formats.shards.records import (
    INDEX,
    PLACE,
    decode,
    read_facts,
    read_index,
    read_range,
)
from mrcnn.data.formats.shards.rows import Places, Rows
from mrcnn.data.image_loading import image_name
from mrcnn.data.keypoints import KeypointScheme
from mrcnn.files.parquet import import_pyarrow
from mrcnn.image.channels import Channels


class ShardsDataset(AnnotatedDataset):
    """Pictures of shards; see `mrcnn.data.formats.shards`. It has no others: `image_info` is
    `Rows`, which nothing is added to.

    Example:

    >>> dataset = ShardsDataset()
    >>> dataset.load("pets_shards", subset="train")
    >>> dataset.prepare()
    """

    source = "shards"
    declares_classes = True

    def __init__(self, class_map=None):
        super().__init__(class_map)
        self._last = _Last()

    @classmethod
    def find(cls, path):
        """The folder of an index, by its subsets."""
        facts = read_facts(path / INDEX) if (path / INDEX).is_file() else None
        return {} if facts is None else dict.fromkeys(facts["subsets"], path)

    def load(self, path, subset=None, classes=None, notes=None, **options):
        """Adds the classes and pictures of the index in a folder; see `AnnotatedDataset.load`.

        Raises:
            ValueError: as there, any options, or there are pictures in this data set already.
        """
        if options:
            raise ValueError(
                f"{path}: expected no options of shards, received {', '.join(options)}"
            )
        if len(self.image_info):
            raise ValueError(f"{path}: expected an empty data set to load shards into, load() one")
        warns, notes, folder = notes is None, notes or Notes(), Path(path)
        found = self.find(folder)
        if not found:
            raise ValueError(f"{path}: expected {INDEX} of shards, found none")
        facts, table = read_facts(folder / INDEX), read_index(folder / INDEX)
        chosen = choose(found, subset, path)
        if chosen != set(found):
            arrow = import_pyarrow("shards")
            numbers = [i for i, name in enumerate(facts["subsets"]) if name in chosen]
            numbers = arrow.array(numbers, arrow.int16())
            table = table.filter(arrow.compute.is_in(table["subset"], numbers))
        self._add_classes(list(enumerate(facts["classes"], start=1)), classes, path, notes)
        place = folder / PLACE
        shards = place.read_text(encoding="utf-8").strip() if place.is_file() else str(folder)
        self.image_info = Rows(table, self.source, shards, facts["subsets"])
        self._known = {info["id"] for info in self.class_info if info["source"] == self.source}
        if facts["keypoints"] is not None:
            self.keypoint_scheme = KeypointScheme(**facts["keypoints"])
        others = set(map(abs, np.unique(self.image_info.class_ids()).tolist())) - self._known
        if others:
            names = ", ".join(facts["classes"][i - 1] for i in sorted(others))
            what = "objects of classes that were not asked for are left out"
            notes.leave_out(what, f"{path} ({names})")
        if warns:
            notes.warn(path)

    def _map_images(self):
        return Places(self.image_info)

    def load_image(self, image_id):
        """Returns the pixels of a picture, as `Dataset.load_image`."""
        name, channels = image_name(self, image_id), Channels.of(self.channels)
        if channels.files:
            raise ValueError(f"{name}: IMAGE_CHANNEL_FILES: a record has one file of a picture")
        file, _ = self._record(image_id)
        return channels.read(file, name, owner=self)

    def instances(self, image_id):
        """Returns the `Instance`s of a picture of classes that were asked for, none drawn."""
        _, content = self._record(image_id)
        annotations = content["annotations"]
        return [_instance(x) for x in annotations if x["category_id"] in self._known]

    def image_class_ids(self, image_id):
        """Returns the class ids of a picture's objects, negative for crowds, from the index."""
        ids = self.image_info.class_ids(image_id).tolist()
        return np.array([self._number(x) for x in ids if abs(x) in self._known], int)

    def _number(self, signed):
        number = self.map_source_class_id(f"{self.source}.{abs(signed)}")
        return number if signed > 0 else -number

    def load_keypoints(self, image_id):
        """Returns the keypoints of an image, float32 [N, K, 3] y x visibility: see `Dataset`."""
        if self.keypoint_scheme is None:
            return None
        count = len(self.keypoint_scheme)
        found = [keypoints_of(instance.extra, count) for instance, _ in self.drawn(image_id)]
        return np.array(found, np.float32).reshape(-1, count, 3)

    @property
    def without_outline(self):
        """What a message calls the first picture with an object that has a box alone, or None."""
        alone = np.flatnonzero(self.image_info.table.column("alone").to_numpy())
        return self.image_info[alone[0]]["path"] if alone.size and not self.box_masks else None

    def summary(self):
        """As of `AnnotatedDataset`, from the index, without a look at any record."""
        rows = self.image_info
        ids, table = rows.class_ids(), rows.table
        known = np.isin(np.abs(ids), list(self._known))
        lengths = import_pyarrow("shards").compute.list_value_length(table.column("class_ids"))
        ends, total = np.cumsum(lengths.to_numpy()), np.append(0, np.cumsum(known))
        ids = ids[known]
        counts = np.zeros(self.num_classes, int)
        for number, count in zip(*np.unique(np.abs(ids), return_counts=True), strict=True):
            counts[self._number(int(number))] += count
        subsets = np.bincount(table.column("subset").to_numpy(), minlength=len(rows.subsets))
        return {
            "subsets": {name: int(n) for name, n in zip(rows.subsets, subsets, strict=True) if n},
            "counts": counts,
            "crowds": int((ids < 0).sum()),
            "boxes": int(table.column("alone").to_numpy().sum()),
            "empty": int((np.diff(total[ends], prepend=0) == 0).sum()),
        }

    def _record(self, image_id):
        """The picture's file and the annotations of a record: read once for both."""
        info, name = self.image_info[image_id], image_name(self, image_id)
        place = info["shard"], info["offset"], info["size"]
        if self._last.place != place:
            try:
                self._last.record = read_range(*place, name)
            except OSError as error:
                raise ValueError(f"{name}: {error}") from error
            self._last.place = place
        return decode(self._last.record, info["path"], name)


class _Last(threading.local):
    """The last record of each thread; a copy of a data set begins without one."""

    place = record = None

    def __reduce__(self):
        return _Last, ()


def _instance(annotation):
    box = annotation["box"]
    return Instance(
        annotation["category_id"],
        annotation["parts"],
        None if box is None else tuple(box),
        bool(annotation["iscrowd"]),
        annotation["name"],
        annotation,
    )
