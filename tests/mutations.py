"""Damage to annotation files."""

import json


def mutate(value, rng):
    """Changes one place of nested lists and dicts."""
    garbage = [None, "text", -1, 1e9, 10**400, float("nan"), [], {}, [[]], True, "x" * 5000]
    while isinstance(value, (list, dict)) and value:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        inner = value[key]
        if not isinstance(inner, (list, dict)) or not inner or rng.random() < 0.2:
            if rng.random() < 0.2:
                del value[key]
            else:
                value[key] = rng.choice(garbage)
            return
        value = inner


def mutated(text, rng):
    """The text of a JSON file with one to four places changed, or cut, or in other bytes."""
    way = rng.random()
    if way < 0.05:
        return text[: rng.randrange(len(text))].encode()
    if way < 0.1:
        return text.encode(rng.choice(["utf-8-sig", "utf-16", "utf-32"]))
    content = json.loads(text)
    for _ in range(rng.choice([1, 1, 2, 4])):
        mutate(content, rng)
    return json.dumps(content).encode()
