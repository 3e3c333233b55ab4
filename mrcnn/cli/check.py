"""`mrcnn check`: what is wrong with a data set, before it is trained on."""

import contextlib
import json
import sys
from pathlib import Path

from mrcnn.cli.config_arguments import add_config_arguments, make_config
from mrcnn.cli.data_arguments import add_data_arguments, data_options
from mrcnn.cli.progress_bar import shown_on


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "check",
        help="look for what is wrong with a data set",
        description="Reads all pictures and annotations. The exit code is 1 where something would "
        "break a training.",
    )
    add_data_arguments(parser)
    add_config_arguments(parser)
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON too")
    parser.add_argument("--html", metavar="DIR", help="write check.html with pictures there")
    parser.add_argument("--fix", metavar="OUT", help="write a cleaned copy to a new folder")
    parser.add_argument("--to", metavar="FORMAT", help="of the cleaned copy; default: as it is")
    parser.set_defaults(run=_check)


def _check(arguments):
    from mrcnn.data.checking import check_path, fix
    from mrcnn.data.converting import new_folder
    from mrcnn.data.remote import local_data

    if not Path(local_data(arguments.data)).exists():
        raise ValueError(f"there is no {arguments.data}")
    if arguments.fix:
        new_folder(arguments.fix)  # said before the data are read
    config = make_config(arguments)
    with contextlib.ExitStack() as stack:
        options = data_options(arguments)
        dataset, report = check_path(arguments.data, config, shown_on("check", stack), **options)
    print(report)
    if arguments.json:
        path = Path(arguments.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    if arguments.html:
        from mrcnn.reports.check_page import write_check_page

        print(write_check_page(report, dataset, arguments.html))
    if arguments.fix and dataset is None:
        print(f"{arguments.fix} is not written: there is nothing to clean", file=sys.stderr)
    elif arguments.fix:
        for change in fix(dataset, report, arguments.fix, arguments.to):
            print(change)
        print(arguments.fix)
    return 0 if report.ok else 1
