"""Names of classes by their ids."""


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
