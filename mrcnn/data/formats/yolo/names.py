"""The names of the classes of YOLO's data sets."""

from mrcnn.data.annotations.text_files import read_text, read_yaml, shown
from mrcnn.data.formats.yolo.layout import (
    NAMES_FILES,
    content_of,
    is_description,
    labels_folder,
)


def class_names(place):
    """The names of the classes in the order of their numbers, or None where no file has them.

    Raises:
        ValueError: names the file.
    """
    if place.description is not None:
        return _names_of(place.description, content_of(place))
    folders = [x for x in place.entries if x.is_dir()] or [place.root]
    labels = map(labels_folder, folders)
    for folder in (*folders, *labels, place.root, place.root / "labels", place.root.parent):
        for path in (*(folder / x for x in NAMES_FILES), *sorted(folder.glob("*.names"))):
            if path.is_file():
                lines = [line.strip() for line in read_text(path).splitlines()]
                return _texts(path, [line for line in lines if line])
    above = place.root.parent / "data.yaml"
    return _names_of(above, read_yaml(above)) if is_description(above) else None


def _names_of(path, content):
    names, count = content.get("names"), content.get("nc")
    if names is None:
        return None
    if isinstance(names, dict):
        keys = {str(key): value for key, value in names.items()}
        names = [keys.get(str(i)) for i in range(len(keys))]
    if not isinstance(names, list) or not names:
        raise ValueError(
            f"{path}: expected 'names' as a list, or by numbers from 0 on, received "
            f"{shown(content['names'])}"
        )
    if count is not None and count != len(names):
        raise ValueError(
            f"{path}: expected as many names as nc says, received {len(names)} and nc "
            f"{shown(count)}"
        )
    return _texts(path, names)


def _texts(path, names):
    for i, name in enumerate(names):
        is_text = isinstance(name, (str, int, float)) and not isinstance(name, bool)
        if not is_text or not str(name).strip():
            raise ValueError(
                f"{path}: expected a name for class {i}, received {shown(name)}; write it "
                "as a text in quotes"
            )
    return [str(name).strip() for name in names]
