"""`mrcnn page`: what a model finds and why, in the browser."""

import argparse
import importlib.util
import ipaddress
import os
import warnings

from mrcnn.cli.config_arguments import port_number, positive
from mrcnn.cli.model_arguments import add_model_arguments, model_of
from mrcnn.files.lines import read_lines

LEAST = 0.05  # what the page may show scores this at least


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "page",
        help="look at a model in the browser: results, stages, corrections",
        description="Opens a page on which a picture or a video is dropped: what the model finds, "
        "what every stage says of it, what another model finds, and corrections, written as COCO "
        "or VIA for a further training. Ctrl-C ends it.",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--compare",
        metavar="WEIGHTS",
        help="of another model, to be seen beside the first; --config, --preset and KEY=VALUE are "
        "for both",
    )
    parser.add_argument(
        "--score", type=float, default=LEAST, help=f"below it nothing is kept; default {LEAST}"
    )
    place = parser.add_argument_group("place")
    place.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    place.add_argument("--port", type=port_number, default=7860, help="default 7860; 0 takes any")
    place.add_argument(
        "--auth", metavar="FILE", help="lines of NAME:PASSWORD; the page asks for one of them"
    )
    place.add_argument(
        "--share", action="store_true", help="a public address, by a server of gradio's makers"
    )
    limits = parser.add_argument_group("limits of a visitor")
    limits.add_argument(
        "--max-megabytes", type=positive, default=200, metavar="N", help="of a file; default 200"
    )
    limits.add_argument(
        "--max-pixels", type=positive, default=2**25, metavar="N", help=f"default {2**25}"
    )
    limits.add_argument(
        "--max-frames",
        type=positive,
        default=300,
        metavar="N",
        help="of a video that are looked at, over its whole length; default 300",
    )
    parser.set_defaults(run=_page)


def _page(arguments):
    check_installed()
    from mrcnn.page import server
    from mrcnn.page.session import Limits

    auth = read_auth(arguments.auth) if arguments.auth else None
    port = server.free_port(arguments.host, arguments.port)  # said before the model is built
    if auth is None and (arguments.share or not _is_loopback(arguments.host)):
        warnings.warn("the page is open to others: --auth FILE", stacklevel=2)
    with server.quiet_gradio():
        models = load_models(arguments)
        limits = Limits(pixels=arguments.max_pixels, frames=arguments.max_frames)
        options = {"host": arguments.host, "port": port, "share": arguments.share}
        options |= {"auth": auth, "megabytes": arguments.max_megabytes}
        print(f"{models[0].name}: starting the page ...", flush=True)
        server.run(models, limits, options, lambda told: print(f"Open {told}", flush=True))


def check_installed():
    """Raises ImportError where gradio is missing, and says how it is had."""
    if importlib.util.find_spec("gradio") is None:
        raise ImportError(
            "`mrcnn page` needs gradio, not installed: pip install 'mrcnn[page]', or pip install "
            "'.[page]' in a clone"
        )


def read_auth(path):
    """The pairs of name and password of a file, one a line; lines that begin with # are left out.

    Raises:
        ValueError: it holds none, or a line without a colon, or is not in UTF-8.
    """
    pairs = [line.partition(":")[::2] for line in read_lines(path, "lines")]
    if not pairs or not all(name and password for name, password in pairs):
        raise ValueError(
            f"{path}: expected lines of NAME:PASSWORD, received {len(pairs)} lines, not all "
            "of them such; write one at least"
        )
    return pairs


def load_models(arguments):
    """The `PageModel`s that the arguments name, the one to compare last."""
    from mrcnn.page.models import PageModel

    weights = [arguments.weights, *([arguments.compare] if arguments.compare else [])]
    names = _names(weights)
    models = []
    for path, name in zip(weights, names, strict=True):
        trained = _trained(arguments, path)
        least = trained.config.DETECTION_MIN_CONFIDENCE
        trained.config.DETECTION_MIN_CONFIDENCE = _least_kept(trained, arguments)
        models.append(PageModel(trained.build(), name, least))
        models[-1].warm_up()
    return models


def _trained(arguments, path):
    from mrcnn.inference.proposals import check_wanted
    from mrcnn.settings import Settings

    trained = model_of(argparse.Namespace(**{**vars(arguments), "weights": path}))
    check_wanted(Settings.from_config(trained.config), None)
    return trained


def _least_kept(trained, arguments):
    """The least score of what the network returns: of an exported file no less than it has."""
    from mrcnn.cli.exported_weights import ExportedWeights

    own = trained.config.DETECTION_MIN_CONFIDENCE or 0.0
    if isinstance(trained, ExportedWeights):
        return max(own, arguments.score)
    return arguments.score


def _names(weights):
    """What models are called: the last part of their paths, or where these are equal all of it."""
    names = [os.path.basename(os.path.normpath(path)) for path in weights]
    return names if len(set(names)) == len(names) else list(weights)


def _is_loopback(host):
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
