"""`mrcnn detect --engine`: pictures by the million, by several processes, into Parquet."""

import argparse
import functools
import os
import re
import sys

from mrcnn.cli.config_arguments import positive
from mrcnn.cli.model_arguments import model_of

_OF_FOLDERS = ("save", "first", "proposals")  # options of detection into a folder of pictures


def add_arguments(parser):
    """Adds --engine and what goes with it."""
    group = parser.add_argument_group(
        "many pictures",
        "With --engine, DIR gets Parquet with a row for each picture; see docs/many_images.md. "
        "INPUT and DIR may be remote, such as s3://bucket/pictures.",
    )
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        help="local: processes of this machine; ray: those of a cluster, which RAY_ADDRESS names",
    )
    group.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="models side by side; default 1, with ray one for each GPU, else for each machine",
    )
    group.add_argument(
        "--column", default="path", help="of the paths in a .parquet or .csv; default path"
    )


def run(arguments, about_of):
    """Runs the command.

    Args:
        arguments: of `mrcnn detect`, with an engine.
        about_of: function of a trained model to what results depend on.
    """
    from mrcnn.distribute.dataset import check_dataset, detect_dataset

    given = [f"--{name}" for name in _OF_FOLDERS if getattr(arguments, name)]
    if given:
        raise ValueError(
            f"{given[0]} does not go with --engine, which writes Parquet: leave it out"
        )
    trained = _model(arguments)
    _check_model(trained.config)
    options = {"about": about_of(trained), "resume": arguments.resume}
    check_dataset(arguments.out, arguments.engine, **options)
    summary = detect_dataset(
        functools.partial(build, _portable(arguments)),
        arguments.inputs,
        arguments.out,
        arguments.engine,
        arguments.workers,
        column=arguments.column,
        **options,
    )
    earlier = f", {summary.earlier} were done before" if summary.earlier else ""
    rate = f", {summary.done / summary.seconds:.1f} a second" if summary.done else ""
    print(
        f"{summary.instances} objects in {summary.done - summary.failed} pictures{earlier}{rate}: "
        f"{arguments.out}"
    )
    if summary.failed:
        print(
            f"pictures that could not be read: {summary.failed}, see the column error",
            file=sys.stderr,
        )
    return 1 if summary.failed else 0


def _model(arguments):
    score = arguments.score
    return model_of(arguments, **({} if score is None else {"DETECTION_MIN_CONFIDENCE": score}))


def _check_model(config):
    from mrcnn.inference.proposals import check_wanted
    from mrcnn.model import architecture_of
    from mrcnn.settings import Settings

    check_wanted(Settings.from_config(config), None)
    if not architecture_of(config).finds_instances:
        raise ValueError(
            f"ARCHITECTURE is {config.ARCHITECTURE!r}, which finds no instances, and --engine "
            "writes instances: leave it out"
        )


def _portable(arguments):
    """The arguments of the model, for a process that may run elsewhere."""
    names = "weights", "config", "preset", "runs", "score", "assignments"
    kept = {name: getattr(arguments, name) for name in names}
    for name in ("weights", "config", "runs"):
        if kept[name] and os.path.exists(re.sub(r"(?<=\.py):\w+$", "", kept[name])):
            kept[name] = os.path.abspath(kept[name])
    return argparse.Namespace(**kept)


def build(arguments):
    """The model of a worker."""
    return _model(arguments).build()
