"""The `mrcnn` command. Heavy imports wait until a command needs them."""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import warnings

from mrcnn import __version__
from mrcnn.cli import (
    anchors,
    benchmark,
    check,
    convert,
    detect,
    evaluate,
    export,
    info,
    page,
    serve,
    stats,
    train,
)
from mrcnn.cli import weights as weights_cli
from mrcnn.cli.config_arguments import positive, split_assignments
from mrcnn.cli.resuming import expand_resume
from mrcnn.files.remote import local_path
from mrcnn.startup import quiet

# The names of `mrcnn.demo_family.MEMBERS`, whose import takes seconds.
DEMO_MEMBERS = (
    *("mask_rcnn", "faster_rcnn", "cascade", "c4", "dc5", "fast_rcnn", "rcnn", "retinanet"),
    *("keypoints", "panoptic", "max_deeplab", "semantic"),
)


def main(argv=None):
    """Runs the command line; `argv` defaults to the process's arguments. Returns an exit code.

    A wrong file or name is said in one message, without a traceback.
    """
    parser = argparse.ArgumentParser(prog="mrcnn", description="Mask R-CNN on Keras 3.")
    parser.set_defaults(remote_out=False)
    parser.add_argument("--version", action="version", version=f"mrcnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    demo = commands.add_parser(
        "demo",
        help="train a small network on painted pictures, score it and draw what it finds",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--output", default="demo", help="folder of the picture and the weights")
    demo.add_argument(
        "--steps",
        type=positive,
        default=argparse.SUPPRESS,  # each member has its own
        help="training steps at most (default: 1600, of keypoints and max_deeplab 2400)",
    )
    demo.add_argument("--seed", type=int, default=0, help="of weights, pictures and sampling")
    demo.add_argument(
        "--member", choices=DEMO_MEMBERS, default="mask_rcnn", help="of the family of networks"
    )
    demo.set_defaults(run=_demo)

    on_data = check, stats, anchors, convert
    on_models = train, evaluate, detect, page, export, benchmark, serve
    for command in (*on_data, *on_models, weights_cli, info):
        command.add_parser(commands)

    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        argv = expand_resume(argv)
    except (OSError, ValueError) as error:
        print(f"mrcnn: {error}", file=sys.stderr)
        return 2
    options, assignments = split_assignments(argv)
    _refuse_small_letters(parser, options)
    arguments = parser.parse_args(options)
    if assignments and "assignments" not in arguments:
        parser.error(f"{arguments.command} takes no {assignments[0]}")
    arguments.assignments, arguments.command_line = assignments, shlex.join(["mrcnn", *argv])
    quiet.install()
    try:
        _strip_schemes(arguments)
        with _short_warnings():
            code = arguments.run(arguments)
    except BrokenPipeError:  # who reads the output wants no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, as a shell says it
    except (OSError, ValueError, ImportError, FloatingPointError, MemoryError) as error:
        if (getattr(error, "name", None) or "").startswith("mrcnn"):
            raise  # a fault of ours, no package that is missing
        print(f"mrcnn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT  # as a shell says it
    return code or 0


def _refuse_small_letters(parser, texts):
    """Ends with a hint where a key of `Config` is written as image_max_dim=512."""
    for text in texts:
        name, found, value = text.partition("=")
        if found and name.islower() and name.isidentifier():
            from mrcnn.config import Config

            if hasattr(Config, name.upper()):
                parser.error(f"{text}: did you mean {name.upper()}={value}?")


def _strip_schemes(arguments):
    """Has what a command writes lie on this machine, unless the command takes remote places too.

    Raises:
        ValueError: it does not, and the place is remote.
    """
    if arguments.remote_out:
        return
    for name in ("out", "output"):
        place = getattr(arguments, name, None)
        if place is not None:
            setattr(arguments, name, local_path(place))


@contextlib.contextmanager
def _short_warnings():
    """Warnings without the place in the code, which says nothing to who typed a command."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *place, **more: f"Warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _demo(arguments):
    given = vars(arguments)
    options = {name: given[name] for name in ("output", "steps", "seed") if name in given}
    if arguments.member == "mask_rcnn":
        from mrcnn.demo import run_demo

        run_demo(**options)
    else:
        from mrcnn.demo_family import run_member

        run_member(arguments.member, **options)
