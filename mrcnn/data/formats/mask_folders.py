"""`MaskFolderDataset`: one picture file for the mask of each object, as the 2018 Data Science Bowl
has them.

    stage1_train/<id>/images/<id>.png   or   images/<stem>.jpg
    stage1_train/<id>/masks/*.png            masks/<stem>/*.png
"""

import numpy as np
from PIL import Image

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import pictures_in
from mrcnn.data.annotations.instances import Instance, MaskFile, Picture
from mrcnn.data.annotations.label_files import check_size
from mrcnn.data.annotations.picture_folders import beside_images, label_files_in
from mrcnn.data.annotations.subsets import folders_in, named_subsets
from mrcnn.data.annotations.writing import mask_of, safe_name, save_picture
from mrcnn.data.class_names import NAMELESS
from mrcnn.image.reading import image_size


class MaskFolderDataset(AnnotatedDataset):
    """Pictures with a file for the mask of each object: what is not 0 belongs to it.

    Folders inside a folder of masks name classes: `masks/<class>/*.png`.

    Example:

    >>> dataset = MaskFolderDataset()
    >>> dataset.load("data-science-bowl-2018", subset="stage1_train", class_name="nucleus")
    >>> dataset.prepare()
    """

    source = "masks"
    names_pictures = False

    @classmethod
    def find(cls, path):
        """Folders of pictures that have a folder each, by their names, or `images` and `masks`.

        Of several folders of the first kind those without masks are found too, and told when they
        are read.
        """
        if not path.is_dir():
            return {}
        if any(map(_is_entry, folders_in(path))):
            return {"": path}
        subsets = {x.name: folders_in(x) for x in folders_in(path)}
        if any(any(map(_is_entry, folders)) for folders in subsets.values()):
            return named_subsets(
                {x: any(map(_only_picture, y)) and path / x for x, y in subsets.items()}
            )
        return beside_images(path, ["masks"], _fits)

    def read(self, found, notes, class_name=NAMELESS):
        """Reads the names of mask files, and the sizes of all.

        Args:
            found: `pathlib.Path` of the folder of the pictures' folders; or those of the pictures
                and of their masks.
            notes: `Notes`.
            class_name: str, the class of masks that lie in no folder of a class.
        """
        entries = _beside(*found, notes) if isinstance(found, tuple) else _by_folder(found, notes)
        pictures = []
        for name, path, masks in entries:
            with notes.entry():
                size = image_size(path)
                instances = _instances(path, size, masks, class_name, notes)
                pictures.append(Picture(name, str(path), *size, instances))
        return None, pictures


def _only_picture(folder):
    """The picture in `images` of a folder; None where there is none, or several."""
    pictures = pictures_in(folder / "images") if (folder / "images").is_dir() else []
    return pictures[0] if len(pictures) == 1 else None


def _is_entry(folder):
    """Whether a folder is that of one picture with masks; what is drawn on one of a subset's
    pictures has the picture's name."""
    masks = folder / "masks"
    picture = masks.is_dir() and _only_picture(folder)
    return bool(picture) and picture.stem not in (x.stem for x in masks.iterdir())


def _by_folder(path, notes):
    """(name, picture, folder of masks) of each folder of a picture."""
    entries = []
    for folder in folders_in(path):
        if not (folder / "images").is_dir():
            notes.leave_out("folders without 'images' in them are left out", folder)
        elif not (folder / "masks").is_dir():
            notes.leave_out("pictures without a folder 'masks' are left out", folder)
        else:
            with notes.entry():
                entries.append((folder.name, _picture_of(folder), folder / "masks"))
    return entries


def _picture_of(folder):
    picture = _only_picture(folder)
    if picture is None:
        names = [x.name for x in pictures_in(folder / "images")]
        raise ValueError(
            f"{folder / 'images'}: expected one picture, received {names[:5]}; give each "
            f"picture a folder, or remove {folder}"
        )
    return picture


def _fits(images, masks):
    return bool({x.stem for x in pictures_in(images)} & {x.name for x in folders_in(masks)})


def _beside(images, folders, notes):
    """(name, picture, folder of masks) of each picture whose masks have a folder of its name."""
    (masks,) = folders
    by_stem, entries = {}, []
    for path in pictures_in(images):
        by_stem.setdefault(path.stem, []).append(path)
    for folder in folders_in(masks):
        if folder.name not in by_stem:
            notes.leave_out("folders of masks without a picture are left out", folder)
    for stem, paths in by_stem.items():
        with notes.entry():
            if not (masks / stem).is_dir():
                notes.leave_out("pictures without a folder of masks are left out", paths[0])
            elif len(paths) > 1:
                raise ValueError(
                    f"{masks / stem}: expected the masks of one picture, found "
                    f"{' and '.join(x.name for x in paths)} in {images}; rename one"
                )
            else:
                entries.append((paths[0].name, paths[0], masks / stem))
    return entries


def _instances(picture, size, masks, class_name, notes):
    """An `Instance` for each mask file, by file names, whatever the class."""
    places = [(class_name, x) for x in label_files_in(masks)]
    for folder in folders_in(masks):
        places += [(folder.name.strip(), x) for x in label_files_in(folder)]
    instances = []
    for category, path in sorted(places, key=lambda place: (place[1].name, place[0])):
        with notes.entry():
            check_size(path, size, picture)
            name = path.relative_to(masks.parent).as_posix()
            instances.append(Instance(category, [MaskFile(str(path))], name=name))
    return instances


def write_masks(items, folder, class_names, notes):
    """Writes `<subset>/<stem>/images/<name>` and `<subset>/<stem>/masks/<class>/000.png`, ...

    Numbers are those of the objects of a picture. Data of the one class "object" has its masks in
    `masks` itself.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background.
        notes: `Notes`, told of what the format cannot hold.

    Raises:
        ValueError: two classes would have the same folder.
    """
    folders = _class_folders(class_names, notes)
    for item in items:
        picture = item.picture
        base = folder / item.subset / picture.name.rpartition(".")[0]
        save_picture(item, base / "images" / picture.name)
        (base / "masks").mkdir()
        digits = max(3, len(str(len(picture.instances))))
        for i, instance in enumerate(picture.instances):
            place = f"{base}, {instance.name}"
            if instance.crowd:
                notes.leave_out("crowds, which masks cannot hold, are left out", place)
                continue
            mask = mask_of(instance, picture)
            if not mask.any():
                notes.leave_out("objects without a pixel are left out", place)
                continue
            if not instance.parts:
                notes.leave_out("objects without an outline have their box for a mask", place)
            path = base / "masks" / folders[instance.category] / f"{i:0{digits}d}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def _class_folders(class_names, notes):
    """By class the name of its folder."""
    if list(class_names) == [NAMELESS]:
        return {NAMELESS: ""}
    folders = {}
    for name in class_names:
        safe = safe_name(name).rstrip(" .") or "_"
        if safe != name:
            notes.leave_out("classes that no folder can be called have another name", name)
        if safe.lower() in (x.lower() for x in folders.values()):
            raise ValueError(
                f"class {name!r}: expected a name of its own for its folder, but {safe!r} is that "
                "of another class; rename the class"
            )
        folders[name] = safe
    return folders
