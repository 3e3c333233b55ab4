"""What the settings of an earlier run and of this one differ in."""


def differences(earlier, now, name=""):
    """Yields what differs between two values of JSON, of dicts by their keys."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in {**earlier, **now}:
            yield from differences(earlier.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    elif earlier != now:
        yield f"{name} {earlier!r}, now {now!r}"
