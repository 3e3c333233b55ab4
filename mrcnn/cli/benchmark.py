"""`mrcnn benchmark`: every export of a model beside the model: speed, memory, size and accuracy."""

import sys
import warnings
from pathlib import Path

from mrcnn.cli.benchmark_rows import ROWS, measure_row, write_row
from mrcnn.cli.config_arguments import positive
from mrcnn.cli.data_arguments import add_data_arguments
from mrcnn.cli.exported_weights import refuse_exported
from mrcnn.cli.model_arguments import TrainedModel, add_model_arguments
from mrcnn.cli.own_process import in_own_process


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "benchmark",
        help="compare a model's exports: speed, memory, size, accuracy",
        description="Writes each export, compares what it finds with the model, and measures it, "
        "in a process of its own. What fails says why in its row; where nothing could be "
        "measured the exit code is 1.",
    )
    add_model_arguments(parser)
    add_data_arguments(parser, nargs="?")
    parser.add_argument("--subset", help="to score on; default what the run held out, val, or all")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=ROWS,
        default=list(ROWS),
        metavar="ROW",
        help=f"of {', '.join(ROWS)}; default all",
    )
    parser.add_argument(
        "--pictures", type=positive, default=8, metavar="N", help="to measure with; default 8"
    )
    parser.add_argument(
        "--out", default="benchmark", metavar="DIR", help="of the files; default benchmark"
    )
    parser.set_defaults(run=_benchmark)


def _benchmark(arguments):
    refuse_exported(arguments.weights)
    _check_data(arguments)

    from mrcnn.reports.benchmark import format_benchmark, write_benchmark

    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in arguments.rows:
        rows.append(_row(arguments, name, folder))
        print(f"{name}: {rows[-1]['status']}", file=sys.stderr)
    print(format_benchmark(rows))
    for path in write_benchmark(rows, folder):
        print(path)
    return 0 if any("milliseconds" in row for row in rows) else 1


def _check_data(arguments):
    """Raises now what every row would."""
    from mrcnn.cli.calibration_data import load_scored_data

    trained = TrainedModel(arguments)
    if arguments.data is not None:
        load_scored_data(arguments, trained)
    elif any(ROWS[name].precision == "int8" for name in arguments.rows):
        warnings.warn("without DATA nothing is scored, and int8 is left out", stacklevel=2)


def _row(arguments, name, folder):
    """A row of the table: a dict, see `mrcnn.reports.benchmark`."""
    row = {"name": name, "format": ROWS[name].format, "precision": ROWS[name].precision}
    if row["precision"] == "int8" and arguments.data is None:
        return row | {"status": "left out: int8 takes its ranges from DATA"}
    try:
        path = in_own_process(write_row, arguments, name, folder)
        return row | in_own_process(measure_row, arguments, name, path)
    except RuntimeError as error:
        return row | {"status": f"failed: {error}"}
