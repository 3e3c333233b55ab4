"""The `mrcnn` command. Heavy imports wait until a command needs them."""

import argparse
import os
import signal
import sys

from mrcnn import __version__
from mrcnn.cli import check, convert
from mrcnn.cli import weights as weights_cli
from mrcnn.startup import quiet


def main(argv=None):
    """Runs the command line; `argv` defaults to the process's arguments. Returns an exit code.

    A wrong file or name is said in one message, without a traceback.
    """
    parser = argparse.ArgumentParser(prog="mrcnn", description="Mask R-CNN on Keras 3.")
    parser.add_argument("--version", action="version", version=f"mrcnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    demo = commands.add_parser(
        "demo",
        help="train a small network on procedural shapes, score it and draw what it finds",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--output", default="demo", help="folder of the picture and the weights")
    demo.add_argument("--steps", type=_positive, default=1600, help="training steps at most")
    demo.add_argument("--seed", type=int, default=0, help="of weights, pictures and sampling")
    demo.set_defaults(run=_demo)

    check.add_parser(commands)
    convert.add_parser(commands)
    weights_cli.add_parser(commands)

    arguments = parser.parse_args(argv)
    quiet.install()
    try:
        code = arguments.run(arguments)
    except BrokenPipeError:  # who reads the output wants no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, as a shell says it
    except (OSError, ValueError) as error:
        print(f"mrcnn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT  # as a shell says it
    return code or 0


def _positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text}")
    return value


def _demo(arguments):
    from mrcnn.demo import run_demo

    run_demo(arguments.output, arguments.steps, arguments.seed)
