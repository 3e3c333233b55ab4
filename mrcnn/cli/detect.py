"""`mrcnn detect`: what a model finds in any number of pictures."""

import argparse
import os
import sys

from mrcnn.cli import detect_dataset
from mrcnn.cli.data_arguments import add_proposals_argument
from mrcnn.cli.model_arguments import add_model_arguments, model_of
from mrcnn.files.remote import is_remote, local_path

KINDS = ("overlay", "json", "panoptic", "masks", "labels", "crops", "csv")
_OF_MACHINE = ("GPU_COUNT", "IMAGES_PER_GPU", "BATCH_SIZE")  # how much of it is used at a time


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "detect",
        help="find objects in pictures and videos",
        description="One batch of pictures is in memory at a time; of slides, with TILE_SIZE=1024, "
        "one batch of tiles. A run that was stopped goes on where it was. The exit code is 1 where "
        "pictures could not be read.",
    )
    add_model_arguments(parser)
    add_proposals_argument(parser)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="pictures, folders, patterns, lists (.txt; with --engine .parquet and .csv too), TIFF "
        "of many pages, GIF, videos (not with --engine)",
    )
    parser.add_argument("--out", default="detections", metavar="DIR", help="default detections")
    parser.add_argument(
        "--save",
        nargs="+",
        choices=KINDS,
        metavar="KIND",
        help=f"of {', '.join(KINDS)}; default all that the model can, with TILE_SIZE without masks",
    )
    parser.add_argument("--score", type=float, help="the least; default DETECTION_MIN_CONFIDENCE")
    parser.add_argument("--first", action="store_true", help="the first page or frame of each file")
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on where an earlier run into DIR stopped; --no-resume removes what it wrote",
    )
    detect_dataset.add_arguments(parser)
    parser.set_defaults(run=_detect, remote_out=True)


def _detect(arguments):
    if arguments.engine is not None:
        return detect_dataset.run(arguments, about_of)
    if is_remote(arguments.out):
        raise ValueError(
            f"--out {arguments.out}: expected a folder of this machine; with --engine local or ray "
            "it may be remote"
        )
    arguments.out = local_path(arguments.out)
    from mrcnn.inference.inputs import find_sources

    find_sources(arguments.inputs, avoid=arguments.out)  # said before the model is built
    keys = {} if arguments.score is None else {"DETECTION_MIN_CONFIDENCE": arguments.score}
    trained = model_of(arguments, **keys)

    from mrcnn.inference.proposals import check_wanted
    from mrcnn.inference.streams import check_folder, detect_to_folder
    from mrcnn.model import architecture_of
    from mrcnn.settings import Settings

    check_wanted(Settings.from_config(trained.config), arguments.proposals)

    options = {
        "save": arguments.save,
        "resume": arguments.resume,
        "score": arguments.score,
        "frames": "first" if arguments.first else "all",
        "about": about_of(trained, arguments.proposals),
    }
    config = trained.config
    kind = architecture_of(config)
    check_folder(
        arguments.out,
        bool(config.USE_MASK) and kind.finds_instances,
        trained.class_names,
        kind.finds_segments,
        **options,
        tile_size=config.TILE_SIZE,
    )
    options["proposals"] = _proposals(arguments)
    summary = detect_to_folder(trained.build(), arguments.inputs, arguments.out, **options)
    earlier = f", {summary.earlier} were done before" if summary.earlier else ""
    print(f"{summary.instances} objects in {summary.done} pictures{earlier}: {arguments.out}")
    if summary.skipped:  # each was told when its turn came
        print(f"pictures that could not be read: {len(summary.skipped)}", file=sys.stderr)
    return 1 if summary.skipped else 0


def _proposals(arguments):
    if arguments.proposals is None:
        return None
    from mrcnn.data.proposals import read_proposals

    return read_proposals(arguments.proposals)


def about_of(trained, proposals=None):
    """What the results depend on beside the settings of `detect_to_folder`, on any machine."""
    from mrcnn.config_values import plain_values
    from mrcnn.files.digest import digest

    config = {x: value for x, value in plain_values(trained.config).items() if x not in _OF_MACHINE}
    about = {"weights": str(trained.weights), "config": config}
    files = {"weights": trained.weights} | ({"proposals": proposals} if proposals else {})
    return about | {name: digest(path) for name, path in files.items() if os.path.exists(path)}
