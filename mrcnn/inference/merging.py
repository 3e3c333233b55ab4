"""What the tiles of an image found, as the instances of the image.

Shape legend: n instances; h, w of a mask inside its box. Boxes and regions are `y1, x1, y2, x2` in
pixels, half-open: of the tile in what a tile found, else of the image.

What a tile cut goes where another tile shows it with fewer cuts, whatever that one found there. Of
the rest, two instances of one class and of different tiles are compared in the region that both
tiles see:

| who reaches beyond the other's tile | what it means | what becomes of them |
| --- | --- | --- |
| both | parts of an object larger than the overlap | united, if their masks agree there |
| one | the other is a part that its tile cut | the other goes, if mostly covered |
| none | found twice | the lower score goes, if one is mostly covered |
"""

import dataclasses
import itertools

import numpy as np

from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.tiles import shared_region

SAME = 0.5  # IoU of two parts, or share of a mask that another covers: one object
BEYOND = 0.05  # share of a mask that must lie outside of a tile to reach beyond it
TOUCH, TOUCH_SHARE = 2.0, 0.05  # pixels, share of its side: so near to an edge an object is cut


class Merger:
    """Collects what tiles find, one after another, and makes one result of it.

    Args:
        regions: list of the tiles' regions.
        height, width: of the image.

    Attributes:
        united: int, how many objects `result` made of parts.

    Example:

    >>> merger = Merger(tile_regions(6000, 6000, 1024, 128), 6000, 6000)  # doctest: +SKIP
    >>> merger.add(0, found)  # doctest: +SKIP
    >>> merger.result()["rois"]  # doctest: +SKIP
    """

    def __init__(self, regions, height, width):
        self._regions, self._size = regions, (height, width)
        self._found = [[] for _ in regions]
        self._has_masks = True
        self.united = 0

    def add(self, index, found):
        """Takes what a tile found.

        Args:
            index: int, which of the regions.
            found: dict as `unmold_detections` returns it, `masks` as `CroppedMasks` or missing.
        """
        self._has_masks = "masks" in found
        top, left = self._regions[index][:2]
        for i, box in enumerate(np.asarray(found["boxes"], np.float64)):
            if self._has_masks:
                mask, corner = found["masks"].patches[i], found["masks"].boxes[i, :2]
            else:  # its box is all that is known
                y1, x1, y2, x2 = found["rois"][i].tolist()
                mask, corner = np.ones((y2 - y1, x2 - x1), bool), (y1, x1)
            instance = _Instance(
                tile=index,
                box=box + np.array([top, left, top, left]),
                class_id=int(found["class_ids"][i]),
                score=float(found["scores"][i]),
                corner=(int(corner[0]) + top, int(corner[1]) + left),
                mask=mask,
            )
            if instance.area and not self._is_seen_better(instance):
                self._found[index].append(instance)

    def _is_seen_better(self, instance):
        """Whether its tile cuts what another tile shows with fewer cuts."""
        extent, regions = np.array(instance.extent), np.array(self._regions)
        cuts = self._cuts(extent, regions[instance.tile])
        if not cuts:
            return False
        shown = (extent[:2] >= regions[:, :2]).all(axis=1) & (extent[2:] <= regions[:, 2:]).all(
            axis=1
        )
        return any(self._cuts(extent, other) < cuts for other in regions[shown])

    def _cuts(self, extent, region):
        """The sides at which a tile may cut an extent: a set of 0 to 3, for y1 x1 y2 x2."""
        near = np.tile(np.maximum(TOUCH, TOUCH_SHARE * (extent[2:] - extent[:2])), 2)
        distances = np.abs(extent - region)
        inner = [region[0] > 0, region[1] > 0, *np.less(region[2:], self._size)]
        return set(np.flatnonzero(inner & (distances <= near)).tolist())

    def result(self):
        """The instances of the image, best first.

        Returns:
            dict as `unmold_detections` returns it, `masks` as `CroppedMasks`.
        """
        parts, agreeing, doubles = self._compare()
        whole = [x for tile in self._found for x in tile if x not in parts]
        groups = _groups(whole, agreeing)
        self.united = sum(len(group) > 1 for group in groups)
        kept = _without_doubles(groups, doubles)
        instances = [_united(group) for group in kept]
        instances.sort(key=lambda instance: -instance.score)
        boxes = np.array([x.box for x in instances]).reshape(-1, 4)
        found = {
            "rois": np.around(boxes).astype(np.int32),
            "boxes": boxes.astype(np.float32),
            "class_ids": np.array([x.class_id for x in instances], np.int32),
            "scores": np.array([x.score for x in instances], np.float32),
        }
        if self._has_masks:
            extents, masks = [x.extent for x in instances], [x.mask for x in instances]
            found["masks"] = CroppedMasks(*self._size, extents, masks)
        return found

    def _compare(self):
        """Parts that go, a set; pairs of parts that agree; and pairs that are found twice."""
        parts, agreeing, doubles = set(), [], []
        for pair, shared in self._meetings():
            first, second = pair
            meeting = shared_region(first.extent, second.extent)
            both = np.count_nonzero(first.part(meeting) & second.part(meeting))
            areas = [np.count_nonzero(each.part(shared)) for each in pair]
            beyond = [x.area - area > BEYOND * x.area for x, area in zip(pair, areas, strict=True)]
            if all(beyond):
                if both >= SAME * (sum(areas) - both):
                    agreeing.append(pair)
            elif any(beyond):
                part, area = (second, areas[1]) if beyond[0] else (first, areas[0])
                if both >= SAME * area:
                    parts.add(part)
            elif both >= SAME * min(areas):
                doubles.append(pair)
        return parts, agreeing, doubles

    def _meetings(self):
        """Yields (instance, instance), region: of one class, and boxes meet where two tiles do."""
        tables = [
            np.array([(*x.extent, x.class_id) for x in found]).reshape(-1, 5)
            for found in self._found
        ]
        for i, j in itertools.combinations(range(len(self._regions)), 2):
            shared = shared_region(self._regions[i], self._regions[j])
            if shared is None:
                continue
            one, other = tables[i][:, None], tables[j][None]
            low = np.maximum(one[..., :2], other[..., :2])
            high = np.minimum(one[..., 2:4], other[..., 2:4])
            meet = (low < high).all(axis=-1) & (one[..., 4] == other[..., 4])
            for a, b in np.argwhere(meet):
                yield (self._found[i][a], self._found[j][b]), shared


@dataclasses.dataclass(eq=False)
class _Instance:
    """What a tile found, in the image.

    Attributes:
        tile: int, which of the tiles.
        box: float [4].
        class_id: int.
        score: float.
        corner: (y, x) of the mask in the image.
        mask: bool [h, w].
    """

    tile: int
    box: np.ndarray
    class_id: int
    score: float
    corner: tuple
    mask: np.ndarray

    def __post_init__(self):
        (top, left), (height, width) = self.corner, self.mask.shape
        self.extent = top, left, top + height, left + width
        self.area = np.count_nonzero(self.mask)

    def part(self, region):
        """The mask where its box and a region meet, a view."""
        y1, x1, y2, x2 = shared_region(self.extent, region) or (*self.corner, *self.corner)
        top, left = self.corner
        return self.mask[y1 - top : y2 - top, x1 - left : x2 - left]


def _groups(instances, pairs):
    """Lists of instances that pairs join, directly or through others."""
    group_of = {instance: [instance] for instance in instances}
    for first, second in pairs:
        if first in group_of and second in group_of:
            small, large = sorted((group_of[first], group_of[second]), key=len)
            if small is not large:
                large += small
                group_of |= dict.fromkeys(small, large)
    return list({id(group): group for group in group_of.values()}.values())


def _without_doubles(groups, doubles):
    """The groups, best first, without those that are found twice with a better one."""
    rivals = {}
    for pair in doubles:
        for one, other in (pair, pair[::-1]):
            rivals.setdefault(one, []).append(other)
    kept, members = [], set()
    for group in sorted(groups, key=lambda group: -max(x.score for x in group)):
        if not any(rival in members for x in group for rival in rivals.get(x, ())):
            kept.append(group)
            members.update(group)
    return kept


def _united(group):
    """One instance of the parts of an object: all their pixels, the best part's score."""
    if len(group) == 1:
        return group[0]
    best = max(group, key=lambda instance: instance.score)
    boxes, extents = np.array([x.box for x in group]), np.array([x.extent for x in group])
    extent = (*extents[:, :2].min(axis=0).tolist(), *extents[:, 2:].max(axis=0).tolist())
    mask = np.zeros(np.subtract(extent[2:], extent[:2]), bool)
    for (y1, x1, y2, x2), instance in zip(extents - np.tile(extent[:2], 2), group, strict=True):
        mask[y1:y2, x1:x2] |= instance.mask
    return dataclasses.replace(
        best,
        box=np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]),
        corner=extent[:2],
        mask=mask,
    )
