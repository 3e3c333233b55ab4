"""`mrcnn train --resume`: the command line of a run that was interrupted."""

import shlex

from mrcnn.files.folders import open_folder
from mrcnn.files.remote import inside, is_remote, without_file_scheme

OPTION = "--resume"
_COMMAND = "command.txt"  # in the folder of a run, the line that it was begun with
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
    given = without_file_scheme(argv[place + 1] if named else _out_of(rest))
    folder = _run_at(given) if named else _newest(given)
    run = open_folder(folder)
    if not run.has(_COMMAND):
        raise ValueError(
            f"{folder}: expected the folder of a run of `mrcnn train`, found no {_COMMAND} in it"
        )
    words = [*shlex.split(run.read(_COMMAND).decode())[1:], *rest]
    if is_remote(folder):
        words += ["--out", folder.rpartition("/")[0]]  # where it lies now
    return [*words, OPTION, folder]


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
    folder = folder.rstrip("/") or folder
    runs = not open_folder(folder).has(_COMMAND) and _states(folder)
    return _newest(folder) if runs else folder


def _states(parent):
    """When the states of the runs below a folder were written, by the names of the runs."""
    from mrcnn.training.state import FILE

    place = open_folder(parent)
    names = {run: f"{run}/{FILE}" for run in place.folders()}
    return {run: place.modified(name) for run, name in names.items() if place.has(name)}


def _newest(parent):
    """The run below a folder whose state was written last."""
    states = _states(parent)
    if not states:
        raise ValueError(f"there is no training to resume in {parent}: --resume RUN names its run")
    return inside(parent, max(states, key=states.get))
