"""Names of classes by their ids, and names that people write in several ways."""

import collections
import difflib
import re

NAMELESS = "object"  # the class of the objects of a file that names none


def class_name(class_id, class_names):
    """Returns the name of a class, or "class 7" for an id that has none.

    Args:
        class_id: int, negative for a crowd.
        class_names: list or dict by class id, or None.
    """
    class_id = abs(int(class_id))
    if class_names is None:
        return f"class {class_id}"
    try:
        return str(class_names[class_id])
    except (IndexError, KeyError):
        return f"class {class_id}"


def plain_name(name):
    """A class name without what people write in several ways: case, blanks, dashes."""
    return re.sub(r"[\s_\-]+", " ", name.strip().lower())


def names_alike(names):
    """Lists of those names that are the same but for case, blanks or dashes."""
    alike = collections.defaultdict(list)
    for name in names:
        alike[plain_name(name)].append(name)
    return [group for group in alike.values() if len(group) > 1]


def is_slip(name, other):
    """Whether a name is another one with a letter or two wrong: "yaest" and "yeast"."""
    first, second = plain_name(name), plain_name(other)
    if first == second or min(len(first), len(second)) < 4:
        return False
    return difflib.SequenceMatcher(None, first, second).ratio() >= 0.8
