"""Keypoints of instances: what a data set's points are called, and their checked arrays.

A point is y, x in pixels, 0 at the upper or left edge of the first pixel and 0.5 at its centre. Its
visibility is COCO's: 0 there is no such point, 1 it is hidden, 2 it is seen.

Shapes: N instances of an image, K keypoints of each.
"""

import dataclasses

import numpy as np

UNIFORM_SIGMA = 0.05  # where nothing is known: stricter than the median of COCO's, 0.072
# COCO's files count the centre of the first pixel as 0.
CENTRE = 0.5


@dataclasses.dataclass(frozen=True)
class KeypointScheme:
    """What the keypoints of a data set are.

    Args:
        names: K texts, in the order of `Dataset.load_keypoints`.
        skeleton: pairs of indices of points that a line joins where instances are drawn.
        flip_pairs: pairs of indices of points that trade places in a mirror; by default those
            whose names differ by "left" and "right".
        sigmas: K floats, how exactly each can be placed, of an object's size: the standard
            deviation of people's points over the square root of its area. They scale OKS. By
            default COCO's for COCO's 17 names, else `UNIFORM_SIGMA` for all.

    Raises:
        ValueError: no names, what is no pair of their indices, or another number of sigmas.

    Example:

    >>> KeypointScheme(["nose", "left_eye", "right_eye"]).flip_pairs
    ((1, 2),)
    """

    names: tuple
    skeleton: tuple = ()
    flip_pairs: tuple = None
    sigmas: tuple = None

    def __post_init__(self):
        names = tuple(map(str, self.names))
        pairs = _mirrored_names(names) if self.flip_pairs is None else self.flip_pairs
        default = COCO_SIGMAS if names == COCO_NAMES else (UNIFORM_SIGMA,) * len(names)
        sigmas = default if self.sigmas is None else tuple(map(float, self.sigmas))
        if not names or len(sigmas) != len(names):
            raise ValueError(
                f"expected names of keypoints and a sigma for each, received {len(names)} names "
                f"and {len(sigmas)} sigmas"
            )
        values = {"names": names, "sigmas": sigmas}
        values["skeleton"] = _pairs(self.skeleton, "skeleton", len(names))
        values["flip_pairs"] = _pairs(pairs, "flip_pairs", len(names))
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def __len__(self):
        return len(self.names)

    @property
    def order(self):
        """int [K], the index of the point that comes to each place in a mirror."""
        return mirrored_order(self.flip_pairs, len(self.names))

    def to_json(self):
        """The arguments as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    def to_coco(self):
        """What a category in COCO's format says of them: a dict of `keypoints` and `skeleton`.

        What COCO has no key for, and the names do not tell, is under keys of its own:
        `keypoint_sigmas`, and `keypoint_flip_pairs`, which count from 1 as the skeleton.
        """
        facts = {"keypoints": list(self.names), "skeleton": _from_one(self.skeleton)}
        if (self.names, self.sigmas) != (COCO_NAMES, COCO_SIGMAS):
            facts["keypoint_sigmas"] = list(self.sigmas)
        if self.flip_pairs != tuple(_mirrored_names(self.names)):
            facts["keypoint_flip_pairs"] = _from_one(self.flip_pairs)
        return facts

    @classmethod
    def from_coco(cls, category):
        """The scheme of a category in COCO's format, a dict with `keypoints`; see `to_coco`.

        Raises:
            TypeError, ValueError: its other keys do not fit the names.
        """
        pairs = category.get("keypoint_flip_pairs")
        return cls(
            category["keypoints"],
            _from_zero(category.get("skeleton") or ()),
            None if pairs is None else _from_zero(pairs),
            category.get("keypoint_sigmas"),
        )


def skeleton_of(dataset):
    """Pairs of indices of the keypoints of a data set that a line joins; None without keypoints."""
    scheme = getattr(dataset, "keypoint_scheme", None)
    return None if scheme is None else scheme.skeleton


def mirrored_order(flip_pairs, count):
    """int [count]: places with those of each pair exchanged."""
    order = np.arange(count)
    for a, b in flip_pairs:
        order[[a, b]] = order[[b, a]]
    return order


def _pairs(pairs, field, count):
    """Pairs of indices as a tuple of tuples, checked; `field` is what a message calls them."""
    found = []
    for pair in pairs:
        indices = tuple(map(int, np.ravel(pair)))
        if np.shape(pair) != (2,) or not all(0 <= i < count for i in indices):
            raise ValueError(
                f"expected in {field} pairs of indices from 0 to {count - 1}, received {pair!r}; "
                "COCO's files count from 1"
            )
        found.append(indices)
    return tuple(found)


def _from_one(pairs):
    return [[a + 1, b + 1] for a, b in pairs]


def _from_zero(pairs):
    return [(a - 1, b - 1) for a, b in pairs]


def _mirrored_names(names):
    """Pairs of indices of names that differ by "left" and "right"."""
    places = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        if "left" in name and (other := name.replace("left", "right")) in places:
            yield i, places[other]


COCO_NAMES = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
    *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
# As of pycocotools's Params.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
# As of COCO's person_keypoints files, which count from 1.
_COCO_LINES = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9)),
    *((8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)
COCO_PERSON = KeypointScheme(COCO_NAMES, [(a - 1, b - 1) for a, b in _COCO_LINES])


def load_checked(dataset, image_id, count):
    """The keypoints of an image as float32 [N, K, 3].

    Args:
        dataset: a prepared `Dataset` with a scheme.
        image_id: int.
        count: int N, instances that the image has.

    Raises:
        ValueError: says what was expected, what came, and the fix.
    """
    shape = (count, len(dataset.keypoint_scheme), 3)
    keypoints = dataset.load_keypoints(image_id)
    if keypoints is None or (count == 0 and not np.size(keypoints)):
        return np.zeros(shape, np.float32)
    keypoints = np.asarray(keypoints, np.float32)
    if keypoints.shape != shape:
        raise ValueError(
            f"expected keypoints {list(shape)}, y x visibility of each point of each instance in "
            f"the order of load_mask(), received {list(keypoints.shape)}."
        )
    visible = keypoints[..., 2] > 0
    if not np.isin(keypoints[..., 2], (0, 1, 2)).all() or not np.isfinite(keypoints[visible]).all():
        raise ValueError(
            "expected visibilities of 0 (no such point), 1 (hidden) or 2 (seen) and numbers for y "
            f"and x, received visibilities {np.unique(keypoints[..., 2])[:5].tolist()}."
        )
    return keypoints


def to_points(keypoints):
    """float [N, K, 3] -> points as of `Sample`, float [N, K, 2], NaN where there is none."""
    return np.where(keypoints[..., 2:] > 0, keypoints[..., :2].astype(float), np.nan)


def from_points(points, window):
    """Points as of `Sample` -> float32 [N, K, 3], visibility 2 within the window and 0 elsewhere,
    with y and x 0.

    Args:
        points: float [N, K, 2], NaN where there is none.
        window: y1 x1 y2 x2 of the picture; a point on its edge is within.
    """
    y1, x1, y2, x2 = window
    within = ((points >= (y1, x1)) & (points <= (y2, x2))).all(axis=-1, keepdims=True)
    return np.where(within, np.concatenate([points, 2 * within], -1), 0).astype(np.float32)


def to_coco(keypoints):
    """Points of one instance, float [K, 3] -> COCO's list x y v, 3 K numbers."""
    y, x, v = np.asarray(keypoints, float).T
    return np.stack([x - CENTRE, y - CENTRE, v], axis=1).reshape(-1).tolist()


def coco_facts(keypoints):
    """What COCO says of the keypoints of an object, float [K, 3]: a dict of `keypoints`, 0 0 0
    where there is no point, and `num_keypoints`."""
    seen = keypoints[:, 2] > 0
    numbers = np.where(seen[:, None], np.reshape(to_coco(keypoints), (-1, 3)), 0)
    return {"keypoints": numbers.reshape(-1).tolist(), "num_keypoints": int(seen.sum())}


def from_coco(numbers):
    """COCO's list x y v -> float32 [K, 3]."""
    x, y, v = np.asarray(numbers, np.float32).reshape(-1, 3).T
    return np.stack([y + CENTRE, x + CENTRE, v], axis=1)
