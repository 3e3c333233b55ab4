"""`CvatDataset`: CVAT's XML 1.1, for images and for video."""

import dataclasses
import itertools
import os
import re
from pathlib import Path

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import (
    annotated_size,
    files_in,
    has_picture,
    picture_at,
    pictures_in,
)
from mrcnn.data.annotations.groups import join
from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.json_files import FEW
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.subsets import subset_folders
from mrcnn.data.annotations.xml_files import read_xml
from mrcnn.data.formats.cvat.files import subsets_in
from mrcnn.data.formats.cvat.shapes import DRAWN, parts_and_box

CROWDS = ("iscrowd", "is_crowd")  # attributes: "1" or "true" for a crowd
_SIDES = ("height", "width")


class CvatDataset(AnnotatedDataset):
    """Pictures with CVAT's shapes: polygons, ellipses, turned boxes, masks, polylines of a width;
    and upright boxes, which have no outline. Of a video, the frames that are listed.

    Shapes of one label and `group_id` are the parts of one instance.

    Example:

    >>> dataset = CvatDataset()
    >>> dataset.load("task_1", subset="train")
    >>> dataset.prepare()
    """

    source = "cvat"
    declares_classes = True

    @classmethod
    def find(cls, path):
        """XML files by subset: that of a picture in the file, or the folder of the file."""
        if path.is_file():
            return {name: [(path, name)] for name in _subsets(path)}
        found = {}
        for folder_name, folder in {"": path, **subset_folders(path)}.items():
            files = files_in(folder, [".xml"])
            if len(files) > FEW and not _subsets(files[0]):
                continue  # one for each picture: another format
            for file in files:
                for name in _subsets(file):
                    found.setdefault(folder_name or name, []).append((file, name))
        return found

    def read(self, found, notes, images=None, line_width=0):
        """Reads XML files.

        Args:
            found: list of (`pathlib.Path`, subset).
            notes: `Notes`.
            images: folder of the pictures; by default `images/<subset>`, `images/`, `<subset>/`
                beside the file, or its own folder.
            line_width: float, pixels; polylines are as wide. 0: they are left out.
        """
        classes, pictures = [], []
        for path, subset in found:
            root = read_xml(path)
            classes += [name for name in _classes(root) if name not in classes]
            folders = [Path(images)] if images else _folders(path, subset)
            reader = _Reader(path, subset, folders, line_width, notes)
            pictures += reader.images(root) + reader.frames(root)
        return classes, pictures


def _subsets(path):
    return subsets_in(path) if path.suffix.lower() == ".xml" else []


def _folders(path, subset):
    folders = [path.parent / "images" / subset, path.parent / "images", path.parent / subset]
    return [*folders, path.parent]


def _classes(root):
    """The labels that a file declares, points of skeletons left out, and those that it has beside
    them."""
    declared = [
        label.findtext("name")
        for label in root.iterfind("meta/*/labels/label")
        if label.find("parent") is None
    ]
    drawn = [x for x in root.iter() if x.tag in (*DRAWN, "track")]
    others = sorted({x.get("label") or "" for x in drawn})
    names = [(name or "").strip() for name in [*declared, *others]]
    return [name for name in dict.fromkeys(names) if name]


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads the pictures of one subset of a file."""

    path: Path
    subset: str
    folders: list
    line_width: float
    notes: Notes

    def images(self, root):
        """Pictures of a task of images."""
        pictures = []
        for i, image in enumerate(root.iterfind("image")):
            if image.get("subset", "") != self.subset:
                continue
            with self.notes.entry():
                name = image.get("name")
                where = f"{self.path}, image {name or i}"
                folder = next((x for x in self.folders if has_picture(x, name or "")), None)
                file, size = picture_at(folder or self.folders[-1], name, where)
                size = annotated_size(image.get("height"), image.get("width"), size)
                drawn = []
                for k, shape in enumerate(image):
                    drawn += self._drawn(shape, shape, size, f"{shape.tag} {k}", where)
                pictures.append(Picture(name, str(file), *size, join(drawn), entry=where))
        return pictures

    def frames(self, root):
        """Pictures of a video: the frames that its tracks list, each visible shape by itself."""
        frames, hidden = {}, set()  # by frame its (track, shape, name)
        tracks = [x for x in root.iterfind("track") if x.get("subset", "") == self.subset]
        with self.notes.entry():
            if len({track.get("task_id") for track in tracks}) > 1:
                tracks = []
                raise ValueError(
                    f"{self.path}: expected the video of one task, received tracks of several, "
                    "whose frames have the same numbers; export each task by itself"
                )
        for i, track in enumerate(tracks):
            for k, shape in enumerate(track):
                with self.notes.entry():
                    name = f"track {track.get('id', i)}, {shape.tag} {k}"
                    frame = _frame(shape, f"{self.path}, {name}")
                    if shape.get("outside") == "1":
                        hidden.add(frame)
                    else:
                        frames.setdefault(frame, []).append((track, shape, name))
        for frame in sorted(hidden - frames.keys()):
            self.notes.leave_out(
                "frames that objects only leave are left out", f"{self.path}, frame {frame}"
            )
        for first, last in _gaps(frames.keys() | hidden):
            self.notes.leave_out(
                "frames that are not listed are not annotated, and are left out",
                f"{self.path}, frames {first} to {last}",
            )
        return self._pictures_of(frames, root)

    def _pictures_of(self, frames, root):
        folder = next((x for x in self.folders if os.path.isdir(x)), self.folders[-1])
        files = _frame_files(folder) if frames else {}
        original = root.find("meta/*/original_size")
        sides = [original.findtext(x) if original is not None else None for x in _SIDES]
        pictures = []
        for frame, shapes in sorted(frames.items()):
            with self.notes.entry():
                where = f"{self.path}, frame {frame}"
                name = files.get(frame, f"frame_{frame:06d}.png")
                file, size = picture_at(folder, name, where)
                size = annotated_size(*sides, size)
                drawn = []
                for track, shape, name in shapes:
                    drawn += self._drawn(shape, track, size, name, where)
                pictures.append(Picture(file.name, str(file), *size, join(drawn), entry=where))
        return pictures

    def _drawn(self, shape, owner, size, name, where):
        """List of (group, `Instance`) of a shape: one, or none if it is left out.

        Args:
            owner: element that has the label and the group: the shape, or its track.
        """
        where = f"{where}, {name}"
        if shape.tag not in DRAWN:
            self.notes.leave_out(
                "points, skeletons, cuboids and tags have no outline and are left out", where
            )
            return []
        if shape.tag == "polyline" and not self.line_width:
            self.notes.leave_out("polylines are left out; line_width=... draws them as wide", where)
            return []
        with self.notes.entry():
            label = (owner.get("label") or "").strip()
            if not label:
                raise ValueError(f"{where}: expected a label, received none; set it in CVAT")
            try:
                parts, box = parts_and_box(shape, size, self.line_width)
            except ValueError as error:
                raise ValueError(f"{where}: {error}; draw it anew in CVAT") from None
            attributes = {x.get("name"): x.text for x in shape.iterfind("attribute")}
            crowd = any(str(attributes.get(x)).lower() in ("1", "true") for x in CROWDS)
            facts = {key: x for key, x in shape.items() if key not in ("points", "rle")}
            instance = Instance(label, parts, box, crowd, name, {**facts, "attributes": attributes})
            return [(_group(owner), instance)]
        return []


def _group(owner):
    """The group of a shape or track; 0 is none."""
    group = owner.get("group_id")
    return None if group in (None, "", "0") else group


def _frame(shape, where):
    try:
        return int(shape.get("frame"))
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}: expected the number of a frame, received {str(shape.get('frame'))[:40]!r}"
        ) from None


def _gaps(frames):
    """The first and the last of each row of frames that lack between others."""
    ordered = sorted(frames)
    pairs = itertools.pairwise(ordered)
    return [(before + 1, after - 1) for before, after in pairs if after - before > 1]


def _frame_files(folder):
    """By the number of a frame its file: `frame_000012.png`, or the pictures in their order."""
    files = [x.name for x in pictures_in(folder)] if os.path.isdir(folder) else []
    numbered = {int(x[6:].split(".")[0]): x for x in files if re.fullmatch(r"frame_\d+\.\w+", x)}
    in_order = sorted(files, key=_natural)
    return numbered or dict(enumerate(in_order))


def _natural(name):
    """A key that sorts numbers in texts as numbers: 2 before 10."""
    return [int(x) if i % 2 else x for i, x in enumerate(re.split(r"(\d+)", name))]
