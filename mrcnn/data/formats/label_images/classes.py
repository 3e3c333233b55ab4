"""`classes.json` beside label images: the class of each number, by the name of the label image.

    {"plate_1": {"1": "cell", "2": "debris"}, "plate_2": {}}

A file that has an entry has one for each of its numbers.
"""

import json

from mrcnn.data.annotations.json_files import read_json

FILE = "classes.json"


def read_classes(folder):
    """The classes of the label images of a folder.

    Args:
        folder: `pathlib.Path`.

    Returns:
        dict: by stems of files {number: class}; empty where there is no `classes.json`.

    Raises:
        ValueError: names the file and the entry.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected classes by label images, {_found(content)}")
    return {stem: _numbers(entry, f"{path}, {stem}") for stem, entry in content.items()}


def _numbers(entry, where):
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected classes by numbers, {_found(entry)}")
    classes = {}
    for number, name in entry.items():
        if not (number.isascii() and number.isdigit() and len(number) < 20):
            raise ValueError(f"{where}: expected a number of the label image, {_found(number)}")
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}, {number}: expected the name of a class, {_found(name)}")
        classes[int(number)] = name.strip()
    return classes


def _found(value):
    return f'received {str(value)[:40]!r}; write {{"<file>": {{"1": "<class>"}}}}, or remove it'


def write_classes(folder, classes):
    """Writes `classes.json`, from {stem: {number: class}}."""
    text = json.dumps(classes, ensure_ascii=False, indent=1)
    (folder / FILE).write_text(text, encoding="utf-8")
