"""Files with something wrong in them: changes at random places."""

import copy
import json

GARBAGE = [None, "text", "", -1, 0, 1e9, 1e300, 10**400, float("nan"), [], {}, [[]], [None], True]
GARBAGE += ["7", "x" * 5000]


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


def mutated(text, rng):
    """The text of a JSON file with one to four places changed, or cut, or in other bytes."""
    way = rng.random()
    if way < 0.05:
        return text[: rng.randrange(len(text))].encode()
    if way < 0.1:
        return text.encode(rng.choice(["utf-8-sig", "utf-16", "utf-32"]))
    content = json.loads(text)
    mutate(content, rng, rng.choice([1, 1, 2, 4]))
    return json.dumps(content).encode()
