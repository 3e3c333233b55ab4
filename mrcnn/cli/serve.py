"""`mrcnn serve`: a model behind HTTP."""

import argparse
import importlib.util
import ipaddress
import os
import re
import warnings

from mrcnn.cli.config_arguments import port_number, positive
from mrcnn.cli.model_arguments import add_model_arguments, model_of

PACKAGES = ("fastapi", "fastapi_offline", "uvicorn")


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "serve",
        help="answer requests over HTTP",
        description="Speaks the protocols of TensorFlow Serving (/v1) and KServe (/v2), takes "
        "files (/detect), and is a backend of Label Studio. /docs shows all paths, /metrics "
        "counts. SIGTERM and Ctrl-C end it when all that was accepted is answered.",
    )
    add_model_arguments(parser)
    parser.add_argument("--score", type=float, help="the least; default DETECTION_MIN_CONFIDENCE")
    parser.add_argument("--name", type=_name, default="mrcnn", help="of the model; default mrcnn")
    place = parser.add_argument_group("place")
    place.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    place.add_argument("--port", type=port_number, default=8000, help="default 8000; 0 takes any")
    place.add_argument("--keys", metavar="FILE", help="one a line; every request must bring one")
    studio = parser.add_argument_group("Label Studio", "Its key is in LABEL_STUDIO_API_KEY.")
    studio.add_argument(
        "--label-studio", type=_url, metavar="URL", help="be the backend of the one at this address"
    )
    studio.add_argument(
        "--picture-hosts",
        nargs="+",
        default=(),
        metavar="HOST",
        help="from which else its tasks may name pictures",
    )
    batches = parser.add_argument_group("batches")
    batches.add_argument(
        "--max-batch", type=positive, default=4, metavar="N", help="pictures of one; default 4"
    )
    batches.add_argument(
        "--max-delay",
        type=_not_negative,
        default=10.0,
        metavar="MS",
        help="that a picture waits for others while the model is idle; default 10",
    )
    batches.add_argument(
        "--queue",
        type=positive,
        default=64,
        metavar="N",
        help="pictures that may wait, and requests at a time; more are answered 429; default 64",
    )
    limits = parser.add_argument_group("limits of a request")
    limits.add_argument(
        "--max-megabytes", type=positive, default=32, metavar="N", help="default 32"
    )
    limits.add_argument(
        "--max-pixels", type=positive, default=2**25, metavar="N", help=f"default {2**25}"
    )
    limits.add_argument(
        "--max-images", type=positive, default=32, metavar="N", help="pictures; default 32"
    )
    limits.add_argument(
        "--grace",
        type=positive,
        default=120,
        metavar="S",
        help="after SIGTERM, for answers to be taken; default 120",
    )
    parser.set_defaults(run=_serve)


def _serve(arguments):
    check_installed()
    from mrcnn.serve.access import Keys
    from mrcnn.serve.server import open_socket

    keys = Keys.of_file(arguments.keys) if arguments.keys else None
    opened = open_socket(arguments.host, arguments.port)  # said before the model is built
    with opened:
        service = _service(arguments)

        from mrcnn.serve import logs, server
        from mrcnn.serve.app import create_app

        logs.install()
        host, port = opened.getsockname()[:2]
        if keys is None and not ipaddress.ip_address(host).is_loopback:
            warnings.warn(f"{host} is open to other machines: --keys FILE", stacklevel=2)
        host = f"[{host}]" if ":" in host else host
        told = f"{service.name} at http://{host}:{port}, its paths at /docs"
        app = create_app(service, keys, _task_pictures(arguments, service.limits))
        server.run(app, opened, arguments.grace, lambda: print(told, flush=True))


def _task_pictures(arguments, limits):
    """The `TaskPictures` of a Label Studio; None without one."""
    if arguments.label_studio is None:
        return None
    from mrcnn.serve.task_pictures import TaskPictures

    key = os.environ.get("LABEL_STUDIO_API_KEY")
    return TaskPictures(arguments.label_studio, key, arguments.picture_hosts, limits)


def check_installed():
    """Raises ImportError where a package of the extra is missing, and says how it is had."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"`mrcnn serve` needs {' and '.join(missing)}, not installed: pip install "
            "'mrcnn[serve]', or pip install '.[serve]' in a clone"
        )


def _service(arguments):
    """The `Service` that the arguments describe, its model built and warm."""
    from mrcnn.inference.proposals import check_wanted
    from mrcnn.model import architecture_of
    from mrcnn.serve.batching import BatchingOptions
    from mrcnn.serve.limits import Limits
    from mrcnn.serve.service import Service
    from mrcnn.settings import Settings

    keys = {} if arguments.score is None else {"DETECTION_MIN_CONFIDENCE": arguments.score}
    trained = model_of(arguments, IMAGES_PER_GPU=arguments.max_batch, **keys)
    config = trained.config
    if not architecture_of(config).finds_instances:
        raise ValueError(
            f"ARCHITECTURE is {config.ARCHITECTURE!r}, which finds no instances; expected a model "
            "that does"
        )
    check_wanted(Settings.from_config(config), None)
    limits = Limits(
        body_bytes=arguments.max_megabytes * 2**20,
        pixels=arguments.max_pixels,
        images=arguments.max_images,
    )
    batching = BatchingOptions(
        max_batch=arguments.max_batch,
        max_delay=arguments.max_delay / 1000,
        max_waiting=arguments.queue,
        max_waiting_pixels=2 * limits.request_pixels,
    )
    model = trained.build()
    _warm_up(model, arguments.max_batch)
    masks, points = bool(config.USE_MASK), bool(config.USE_KEYPOINTS)
    options = (config.NUM_CLASSES, masks, limits, batching, points)
    return Service(model, arguments.name, *options)


def _warm_up(model, max_batch):
    """Detects in empty pictures, so that no request waits for a graph: TensorFlow traces one for
    the first batch, and for the first of another size one that all others share."""
    import numpy as np

    image = np.zeros((64, 64, model.settings.image.channels), np.uint8)
    for count in sorted({1, max_batch}):
        model.detect([image] * count)


def _name(text):
    if not re.fullmatch(r"[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"expected letters, numbers, . _ and -, got {text!r}")
    return text


def _url(text):
    if not re.fullmatch(r"https?://[^/?#]+[^?#]*", text):
        raise argparse.ArgumentTypeError(f"expected http://HOST:PORT, got {text!r}")
    return text


def _not_negative(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text!r}")
    return value
