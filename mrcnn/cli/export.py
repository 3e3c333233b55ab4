"""`mrcnn export`: a trained model as a file of another runtime."""

import re
from argparse import ArgumentTypeError
from pathlib import Path

from mrcnn.cli.config_arguments import positive
from mrcnn.cli.exported_weights import SUFFIXES, is_exported
from mrcnn.cli.model_arguments import TrainedModel, add_model_arguments


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "export",
        help="write a model for another runtime, and compare what it finds",
        description="The file takes uint8 images and returns detections. It gets its name when it "
        "has found what the model finds, in photos, a black picture and one of an odd size.",
    )
    add_model_arguments(parser)
    parser.add_argument("--format", required=True, choices=SUFFIXES)
    parser.add_argument("--out", metavar="PATH", help="default beside WEIGHTS, or here")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_size,
        metavar="HxW",
        help="of the images that it takes, as 480x640; default any, where the format can",
    )
    parser.add_argument("--batch", type=positive, metavar="N", help="images at once; default any")
    parser.add_argument(
        "--masks",
        choices=("boxes", "image"),
        default="boxes",
        help="boxes: of the network's size, over each box, the default; image: pasted into it",
    )
    parser.add_argument(
        "--no-verify", dest="verify", action="store_false", help="do not compare what it finds"
    )
    parser.set_defaults(run=_export)


def _size(text):
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ArgumentTypeError(f"expected HEIGHTxWIDTH, as 480x640, received {text}")
    return int(found[1]), int(found[2])


def _export(arguments):
    if is_exported(arguments.weights):
        raise ValueError(
            f"{arguments.weights} is exported already; expected the weights that it was made of"
        )
    trained = TrainedModel(arguments)
    path = arguments.out or _default_path(trained, arguments)

    from mrcnn.export import check_export, export

    options = {"sizes": arguments.sizes, "batch": arguments.batch, "masks": arguments.masks}
    check_export(trained.config, path, arguments.format, **options)
    print(export(trained.build(), path, arguments.format, verify=arguments.verify, **options))


def _default_path(trained, arguments):
    """Beside a weight file with its name; in the working folder for public weights."""
    suffix = SUFFIXES[arguments.format]
    weights = Path(trained.weights)
    if not weights.is_file():
        return weights.name.replace("/", "_") + (suffix or "_saved_model")
    return str(weights.with_suffix(suffix)) if suffix else f"{weights.with_suffix('')}_saved_model"
