"""What reading annotations met: what was left out, and what is wrong."""

import collections
import contextlib
import warnings

NAMED = 5  # entries that a warning names


class Notes:
    """Keeps what a reader leaves out, and raises what is wrong, or keeps that too.

    Args:
        strict: bool; False keeps errors instead of raising them, and the entry that has one is left
            out: `mrcnn check` reports all of a data set at once.

    Attributes:
        left_out: dict of lists: by what was left out, the entries.
        errors: list of str.
    """

    def __init__(self, strict=True):
        self.strict = strict
        self.left_out, self.errors = collections.defaultdict(list), []

    @contextlib.contextmanager
    def entry(self):
        """Around the reading of one entry: raises its ValueError, or keeps it and goes on."""
        try:
            yield
        except ValueError as error:
            if self.strict:
                raise
            self.errors.append(str(error))

    def leave_out(self, what, entry):
        """Keeps that an entry is left out; `what` is a sentence that ends before the entries."""
        self.left_out[what].append(entry)

    def rename(self, before, after):
        """Has the entries name a folder by another path, to which it was moved."""
        for what, entries in self.left_out.items():
            self.left_out[what] = [str(x).replace(str(before), str(after)) for x in entries]

    def messages(self):
        """One str for each kind of what was left out, with its first entries and their number."""
        for what, entries in self.left_out.items():
            more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
            yield f"{what}: {', '.join(map(str, entries[:NAMED]))}{more}"

    def warn(self, path):
        """Warns of what was left out."""
        for message in self.messages():
            warnings.warn(f"{path}: {message}", stacklevel=4)
