"""Which label image belongs to which picture: by their names."""

from mrcnn.data.annotations.files import pictures_in
from mrcnn.data.annotations.picture_folders import label_files_in

LABELS = ("masks", "labels", "label", "annotations", "instances")  # folders beside `images`
# What the names of label images end in, where they are not those of the pictures: Cellpose's too.
ENDINGS = ("_cp_masks", "_masks", "_labels", "_label")
UNREADABLE = "_seg.npy"  # Cellpose's own file: where it is alone, `read_labels` says what to do
_PICTURE = "_img"


def is_pair(images, folder):
    """Whether a folder has a label image of a picture of another folder, or of the same."""
    pictures, labels = _by_key(images, folder)
    return bool(pictures.keys() & labels.keys())


def pairs(images, folder, notes):
    """Pairs of pictures and label images, sorted by pictures; what is alone is told.

    Args:
        images: `pathlib.Path` of the folder of the pictures.
        folder: `pathlib.Path` of that of the label images; may be the same.
        notes: `Notes`.
    """
    pictures, labels = _by_key(images, folder)
    found = []
    for key in pictures.keys() | labels.keys():
        ours, theirs = pictures.get(key, []), labels.get(key, [])
        with notes.entry():
            if not theirs:
                for path in ours:
                    notes.leave_out("pictures without a label image are left out", path)
            elif not ours:
                for path in theirs:
                    notes.leave_out("label images without a picture are left out", path)
            elif len(ours) > 1 or len(theirs) > 1:
                raise ValueError(
                    f"{theirs[0]}: expected one picture and one label image of this name, found "
                    f"{', '.join(map(str, ours + theirs))}; rename or move the others"
                )
            else:
                found.append((ours[0], theirs[0]))
    return sorted(found)


def _by_key(images, folder):
    """Pictures and label images, by what their names have in common: lists."""
    together = images == folder
    labels, pictures = {}, {}
    paths = pictures_in(images)
    stems = {x.stem for x in paths}
    for path in label_files_in(folder):
        ending = next((x for x in ENDINGS if path.stem.endswith(x)), "")
        own = path.stem.removesuffix(ending)
        if together and not ending:
            continue
        own = path.stem if path.stem in stems and not together else own
        labels.setdefault(own, []).append(path)
    for path in label_files_in(folder) if together else []:
        if path.name.endswith(UNREADABLE):
            labels.setdefault(path.name.removesuffix(UNREADABLE), [path])
    taken = {x for group in labels.values() for x in group}
    for path in paths:
        if path not in taken:
            own = path.stem
            base = own.removesuffix(_PICTURE)
            own = base if base in labels and own not in labels else own
            pictures.setdefault(own, []).append(path)
    return pictures, labels
