"""`mrcnn convert`: a data set in another annotation format."""

import argparse

from mrcnn.cli.data_arguments import add_data_arguments, load_data


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser("convert", help="write a data set in another annotation format")
    add_data_arguments(parser)
    parser.add_argument(
        "output", metavar="OUT", help="new or empty folder to write to, here or remote"
    )
    parser.add_argument("--to", required=True, metavar="FORMAT", help="coco, via, ...")
    parser.add_argument(
        "--shard-mb", type=_positive, metavar="N", help="MB of a file of --to shards; default: 256"
    )
    parser.add_argument("--subset", help="this subset only, train or val for example")
    parser.set_defaults(run=_convert, remote_out=True)


def _convert(arguments):
    from mrcnn.data.converting import convert, new_folder

    if arguments.shard_mb is not None and arguments.to != "shards":
        raise ValueError("--shard-mb is of --to shards alone")
    options = {} if arguments.shard_mb is None else {"shard_mb": arguments.shard_mb}
    new_folder(arguments.output)  # said before the data are read
    dataset = load_data(arguments, arguments.data, arguments.subset)
    print(convert(dataset, arguments.output, arguments.to, **options))


def _positive(text):
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value
