"""Shapes that annotators group: together they are one instance."""

import dataclasses


def join(shapes):
    """The instances of shapes; those of one group and class are the parts of one.

    A box beside outlines is a part with the box's border. Boxes alone are the box around them.

    Args:
        shapes: iterable of (group, `Instance` of one shape); the group is None of a shape that is
            an instance by itself.

    Returns:
        list of `Instance`, in the order of their first shapes.
    """
    members = {}
    for i, (group, instance) in enumerate(shapes):
        key = (i,) if group is None else (group, instance.category)
        members.setdefault(key, []).append(instance)
    return [_union(each) for each in members.values()]


def _union(instances):
    first = instances[0]
    if len(instances) == 1:
        return first
    parts, box = [], None
    if any(each.parts for each in instances):
        for each in instances:
            parts += each.parts or [[_border(each.box)]]
    else:
        lows, highs = zip(*((each.box[:2], each.box[2:]) for each in instances), strict=True)
        box = (*map(min, zip(*lows, strict=True)), *map(max, zip(*highs, strict=True)))
    return dataclasses.replace(
        first,
        parts=parts,
        box=box,
        crowd=any(each.crowd for each in instances),
        name=" with ".join(each.name for each in instances),
        extra=first.extra | {"group": [each.extra for each in instances]},
    )


def _border(box):
    y1, x1, y2, x2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]
