"""`mrcnn train --resume`: the command line of a run that was interrupted."""

import os
import shlex
from pathlib import Path

OPTION = "--resume"
# Beside it: the rest is what the run was begun with.
_ALLOWED = "--epochs", "--out", "--hosts", "--process-id"


def expand_resume(argv):
    """`train --resume RUN ...` as the line that the run was begun with, and what follows added.

    Args:
        argv: list of str, a command line without `mrcnn`; without the option it is returned.

    Returns:
        list of str, with `--resume RUN` at its end.

    Raises:
        ValueError: there is no such run, it was begun by no command, or the line would change it.
    """
    argv = [part for word in argv for part in _split(word)]
    if argv[:1] != ["train"] or OPTION not in argv:
        return argv
    place = argv.index(OPTION)
    rest = argv[1:place] + argv[place + 1 :]
    named = len(argv) > place + 1 and not argv[place + 1].startswith("-")
    if named:
        rest.remove(argv[place + 1])
    _refuse_changes(rest)
    folder = _run_at(Path(argv[place + 1])) if named else _newest(_out_of(rest))
    path = folder / "command.txt"
    if not path.is_file():
        raise ValueError(
            f"{folder}: expected the folder of a run of `mrcnn train`, found no command.txt in it"
        )
    return [*shlex.split(path.read_text(encoding="utf-8"))[1:], *rest, OPTION, str(folder)]


def _split(word):
    """`--resume=RUN` as two words."""
    return word.split("=", 1) if word.startswith(f"{OPTION}=") else [word]


def _refuse_changes(words):
    allowed = [i for i, word in enumerate(words) if word in _ALLOWED]
    allowed += [i + 1 for i in allowed]
    others = [word for i, word in enumerate(words) if i not in allowed]
    if others:
        raise ValueError(
            f"expected --resume with {', '.join(_ALLOWED)} alone, received {others[0]}: a "
            "training goes on with what it was begun with"
        )


def _out_of(words):
    return words[words.index("--out") + 1] if "--out" in words[:-1] else "runs"


def _run_at(folder):
    """The folder of a run, or the newest run below it, as `evaluate` and `detect` take it."""
    runs = not (folder / "command.txt").is_file() and _states(folder)
    return _newest(folder) if runs else folder


def _states(parent):
    from mrcnn.training.state import FILE

    return list(Path(parent).glob(f"*/{FILE}"))


def _newest(parent):
    """The run below a folder whose state was written last."""
    states = _states(parent)
    if not states:
        raise ValueError(f"there is no training to resume in {parent}: --resume RUN names its run")
    return max(states, key=os.path.getmtime).parent
