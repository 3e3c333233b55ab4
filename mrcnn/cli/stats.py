"""`mrcnn stats`: MEAN_PIXEL and STD_PIXEL of one's own pictures."""

import contextlib
import json
import sys

from mrcnn.cli.config_arguments import add_config_arguments, make_config
from mrcnn.cli.data_arguments import add_data_arguments
from mrcnn.cli.progress_bar import shown_on
from mrcnn.cli.training_data import load_train, subsets_of


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "stats",
        help="mean and standard deviation of the pictures, for MEAN_PIXEL and STD_PIXEL",
        description="Reads the pictures of the subset train, or all where there is none, in the "
        "channels that IMAGE_CHANNEL_COUNT=C asks for. The last line is ready for `mrcnn train`: "
        "with it the network meets the range that the weights of the preset were trained on.",
    )
    add_data_arguments(parser)
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_stats)


def _stats(arguments):
    from mrcnn.data.pixel_values import pixel_statistics
    from mrcnn.weights.families import input_spread

    config = make_config(arguments)
    with contextlib.redirect_stdout(sys.stderr):  # what was found is no part of the answer
        dataset = load_train(arguments, subsets_of(arguments, arguments.data), config)
    with contextlib.ExitStack() as stack:
        found = pixel_statistics(dataset, config, shown_on("stats", stack))
    keys = found.normalising(input_spread(config))
    print(json.dumps(_facts(found, keys), indent=1) if arguments.json else _text(found, keys))
    if found.constant:
        print(
            f"Warning: channels of one value alone, which tell nothing: {found.constant} (counted "
            "from 0). Is the file what it should be?",
            file=sys.stderr,
        )
    return 0


def _facts(found, keys):
    numbers = {name: getattr(found, name).tolist() for name in ("mean", "std", "low", "high")}
    facts = {"pictures": found.pictures, "pixels": found.pixels, "dtypes": list(found.dtypes)}
    return {**facts, **numbers, "constant": found.constant, **keys}


def _text(found, keys):
    lines = [
        f"{found.pictures} pictures, {found.pixels} pixels, {' and '.join(found.dtypes)} as the "
        "network takes them",
        f"{'channel':>7} {'mean':>11} {'std':>11} {'least':>11} {'largest':>11}",
    ]
    rows = zip(found.mean, found.std, found.low, found.high, strict=True)
    lines += [f"{i:>7} " + " ".join(f"{x:>11.5g}" for x in row) for i, row in enumerate(rows)]
    assignments = [f"{key}={','.join(f'{x:g}' for x in values)}" for key, values in keys.items()]
    count = f"IMAGE_CHANNEL_COUNT={len(found.mean)}"
    spread = "Keys that bring the pictures to the range that the config's public weights expect:"
    return "\n".join([*lines, "", spread, " ".join([count, *assignments])])
