"""What commands that take a data set have in common: where it is, and how it is read."""

import argparse

import yaml

_OPTIONS = ("images", "label", "class_name", "line_width")
# Of `mrcnn.data.load`, whatever the format: they have arguments of their own, or none.
_OF_ALL = ("path", "subset", "format", "classes", "box_masks", "notes", "verbose", "config")


def add_data_arguments(parser, nargs=None):
    """Adds DATA, which may be left out with "?" for `nargs`, and the options of the formats."""
    parser.add_argument(
        "data", metavar="DATA", nargs=nargs, help="annotation file, or folder of a data set"
    )
    group = add_reading_arguments(parser)
    group.add_argument("--format", help="of the annotations: coco, via, ...")


def add_reading_arguments(parser):
    """Adds the options of the formats but --format; returns their group."""
    group = parser.add_argument_group("data", "recognised by the files unless said")
    group.add_argument("--images", metavar="DIR", help="folder of the pictures")
    group.add_argument("--label", help="the attribute that names the class (VIA)")
    group.add_argument("--class-name", help="one class for all objects, with this name")
    group.add_argument("--line-width", type=float, help="of polylines, in pixels")
    group.add_argument(
        "--read",
        metavar="KEY=VALUE",
        action="append",
        type=_assignment,
        default=[],
        help="another option of the format, as docs/data.md has them",
    )
    group.add_argument(
        "--box-masks", action="store_true", help="objects without an outline have boxes for masks"
    )
    return group


def add_proposals_argument(parser):
    """Adds the file of proposals, for models that are given theirs."""
    parser.add_argument(
        "--proposals",
        metavar="FILE",
        help="boxes to classify, where USE_RPN_ROIS is False: .npz, or detectron2's pickle",
    )


def _assignment(text):
    key, found, value = text.partition("=")
    if not found or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    if key in _OF_ALL:
        raise argparse.ArgumentTypeError(f"expected an option of one format, got {key!r}")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"expected a value of YAML, got {text!r}") from None


def data_options(arguments):
    """What `mrcnn.data.load` takes beside a path, as the arguments say."""
    given = {key: getattr(arguments, key) for key in _OPTIONS}
    options = {key: value for key, value in given.items() if value is not None}
    options |= dict(arguments.read)
    return {"format": arguments.format, "box_masks": arguments.box_masks} | options


def load_data(arguments, path, subset=None, config=None):
    """The data set at a path, read as the arguments and the channels of the config say."""
    from mrcnn.data.loading import load

    dataset = load(path, subset, config=config, **data_options(arguments))
    if getattr(arguments, "proposals", None):
        if config is not None and config.USE_RPN_ROIS:
            raise ValueError(
                f"--proposals {arguments.proposals}: USE_RPN_ROIS is True, the network makes its "
                "own; leave it out, or add USE_RPN_ROIS=false"
            )
        from mrcnn.data.proposals import read_proposals

        dataset.proposals = read_proposals(arguments.proposals)
    return dataset
