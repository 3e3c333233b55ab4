"""Files with something wrong in them: changes at random places."""

import copy

GARBAGE = [None, "text", "", -1, 0, 1e9, 1e300, float("nan"), [], {}, [[]], [None], True, "7"]


def mutate(content, rng, count=1):
    """Changes `count` places of nested lists and dicts, in place.

    Args:
        content: what `json.loads` returned.
        rng: `random.Random`.
        count: int.
    """
    for _ in range(count):
        value = content
        while isinstance(value, (list, dict)) and value:
            key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
            inner = value[key]
            if not isinstance(inner, (list, dict)) or not inner or rng.random() < 0.2:
                if rng.random() < 0.2:
                    del value[key]
                else:
                    value[key] = copy.deepcopy(rng.choice(GARBAGE))
                break
            value = inner
