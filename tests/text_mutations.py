"""Text files that went wrong on the way: what a reader must name, or read. JSON: `mutations`."""

import random
import re

VALUES = ("", "null", "text", "[]", "{}", "NaN", "-Infinity", "1e9", "-7", "2.5", "9" * 400, "\0")
VALUES += ("../" * 9, "a" * 300, "é\u2028", "[[[[[[", "{" * 2000, "&", "<", "'", "\t:", "true")


def mutations(data, count, seed=0):
    """Yields `count` versions of the bytes of a text, each with one thing gone wrong."""
    rng = random.Random(seed)
    text = data.decode()
    pieces = [match.span() for match in re.finditer(r"[\w.+-]+|[^\w\s]", text)]
    for _ in range(count):
        kind = rng.choice(("value", "value", "value", "value", "line", "cut", "bytes", "encoding"))
        if kind == "value":
            start, end = rng.choice(pieces)
            yield (text[:start] + rng.choice(VALUES) + text[end:]).encode()
        elif kind == "line":
            lines = text.splitlines(keepends=True)
            place = rng.randrange(len(lines))
            yield "".join(
                lines[:place] + rng.choice(([], lines[place:] * 2)) + lines[place + 1 :]
            ).encode()
        elif kind == "cut":
            yield data[: rng.randrange(len(data))]
        elif kind == "bytes":
            place = rng.randrange(len(data))
            yield data[:place] + rng.randbytes(3) + data[place + 3 :]
        else:
            yield text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32", "cp037")))
