"""Text files of one entry a line, as of names and keys."""

from pathlib import Path


def read_lines(path, what):
    """The lines of a file without spaces around them; blank ones, and those that begin with #, are
    left out.

    Args:
        path: of the file.
        what: str, what the lines are, for the message.

    Raises:
        ValueError: it is not in UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected {what} in UTF-8, received another encoding ({error.reason} at byte "
            f"{error.start}); save it as UTF-8"
        ) from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
