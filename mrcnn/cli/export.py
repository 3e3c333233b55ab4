"""`mrcnn export`: a trained model as a file of another runtime."""

import re
from argparse import ArgumentTypeError
from pathlib import Path

from mrcnn.cli.config_arguments import positive
from mrcnn.cli.data_arguments import add_reading_arguments
from mrcnn.cli.exported_weights import SUFFIXES, refuse_exported
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
    parser.add_argument("--format", dest="runtime", required=True, choices=SUFFIXES)
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
        "--int8",
        dest="data",
        metavar="DATA",
        help="openvino in 8 bits, for the values of these pictures: a data set, on which it is "
        "scored beside float32, or a folder of pictures",
    )
    parser.add_argument(
        "--no-verify", dest="verify", action="store_false", help="do not compare what it finds"
    )
    add_reading_arguments(parser)
    parser.set_defaults(run=_export, format=None, subset=None)  # of DATA


def _size(text):
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ArgumentTypeError(f"expected HEIGHTxWIDTH, as 480x640, received {text}")
    return int(found[1]), int(found[2])


def _export(arguments):
    refuse_exported(arguments.weights)
    trained = TrainedModel(arguments)
    path = arguments.out or _default_path(trained, arguments)

    from mrcnn.export import check_export, export

    options = {"sizes": arguments.sizes, "batch": arguments.batch}
    masks, int8 = arguments.masks, arguments.data is not None
    check_export(trained.config, path, arguments.runtime, **options, masks=masks, int8=int8)
    options |= {"format": arguments.runtime, "verify": arguments.verify}
    if int8:
        _export_int8(arguments, trained, path, options)
    else:
        export(trained.build(), path, masks=masks, **options)
    print(path)


def _export_int8(arguments, trained, path, options):
    from mrcnn.cli.calibration_data import load_calibration_data
    from mrcnn.evaluate import format_table
    from mrcnn.export import export_int8

    pictures, dataset = load_calibration_data(arguments, trained)
    scores = export_int8(trained.build(), path, pictures, dataset=dataset, **options)
    least = trained.config.DETECTION_MIN_CONFIDENCE
    for name, found in scores.items():
        print(f"{name}, of {dataset.num_images} pictures with DETECTION_MIN_CONFIDENCE={least}")
        print(format_table(found))


def _default_path(trained, arguments):
    """Beside a weight file with its name; in the working folder for public weights."""
    suffix = SUFFIXES[arguments.runtime]
    if arguments.data is not None:
        suffix = f"_int8{suffix}"
    weights = Path(trained.weights)
    stem = str(weights.with_suffix("")) if weights.is_file() else weights.name.replace("/", "_")
    return stem + (suffix or "_saved_model")
