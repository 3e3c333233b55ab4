"""The order in which pictures are trained: passes over the data set, rare classes more often.

Shape legend: I pictures; K classes, background included.
"""

import dataclasses
import functools

import numpy as np


def repeat_factors(class_ids, threshold):
    """How often each picture is seen in a pass (Gupta et al. 2019, arXiv:1908.03195, section 5).

    A class that a share f of the pictures has gets the factor max(1, sqrt(threshold / f)), a
    picture the largest of its classes.

    Args:
        class_ids: list of I int arrays, the ids in each picture; crowds, which are negative, do not
            count.
        threshold: float, the share of pictures below which a class is rare.

    Returns:
        float `[I]`, 1 or more.

    Example:

    >>> repeat_factors([[1], [1], [1], [1, 2]], threshold=1.0).tolist()
    [1.0, 1.0, 1.0, 2.0]
    """
    class_ids = [np.unique(np.asarray(ids, int)) for ids in class_ids]
    present = [ids[ids > 0] for ids in class_ids]
    counts = np.bincount(np.concatenate([*present, []]).astype(int), minlength=1)
    of_class = np.sqrt(threshold * len(present) / np.maximum(counts, 1)).clip(1)
    return np.array([of_class[ids].max(initial=1) for ids in present])


@dataclasses.dataclass(frozen=True, eq=False)
class Passes:
    """Passes over pictures, each a new permutation that depends on the seed and its number alone.

    Attributes:
        ids: int `[I]`, of the pictures.
        seed: int.
        shuffled: bool, False for natural order in each pass.
        factors: float `[I]`, how often each picture is in a pass on average; each is there at
            least the whole number of times, and the rest is drawn for each pass. None: once.
    """

    ids: np.ndarray
    seed: int
    shuffled: bool = True
    factors: np.ndarray = None

    def __len__(self):
        """Pictures of a pass: the same for each, so that any place of any pass is known."""
        return len(self.ids) if self.factors is None else round(float(np.sum(self.factors)))

    def order(self, number):
        """int `[len]`, the ids of pass `number` in their order."""
        return _order(self, number)


@functools.lru_cache(maxsize=8)
def _order(passes, number):
    if not passes.shuffled:
        return passes.ids
    rng = np.random.default_rng([passes.seed, number])
    order = rng.permutation(len(passes.ids))
    if passes.factors is None:
        return passes.ids[order]
    whole = np.floor(passes.factors[order])
    rest = np.cumsum(passes.factors[order] - whole)
    # One more where the sum of the rests passes a whole number: as probable as the rest is large,
    # and the same number of pictures in each pass.
    target = len(passes) - whole.sum()
    steps = np.floor(rest * (target / max(rest[-1], 1e-9)) + rng.random())
    steps[-1] = target
    counts = whole + np.diff(steps, prepend=0)
    return passes.ids[rng.permutation(np.repeat(order, counts.astype(int)))]
