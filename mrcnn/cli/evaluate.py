"""`mrcnn evaluate`: COCO's numbers of a model on a data set."""

import json
import math
from pathlib import Path

from mrcnn.cli.config_arguments import add_config_arguments, make_config
from mrcnn.cli.data_arguments import add_data_arguments
from mrcnn.cli.training_data import load_validation_data
from mrcnn.cli.weights_argument import file_of


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser("evaluate", help="score a model on annotated pictures")
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="a file, the folder of a run, last, coco, or a name of `mrcnn weights list`",
    )
    add_data_arguments(parser)
    parser.add_argument("--subset", help="default val where there is one, else all")
    add_config_arguments(parser)
    parser.add_argument("--runs", default="runs", metavar="DIR", help="folder of runs, for last")
    parser.add_argument("--out", metavar="FILE", help="JSON of the scores to write")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments):
    from mrcnn.data.splitting import number_classes

    weights = file_of(arguments.weights, arguments.runs)
    config, class_names = _model_of(arguments, weights)
    dataset = load_validation_data(arguments)
    if class_names is not None:
        number_classes(dataset, class_names)
    config.NUM_CLASSES = dataset.num_classes
    config.validate()

    from mrcnn.evaluate import evaluate
    from mrcnn.model import create

    model = create("inference", config, arguments.runs)
    model.load_weights(weights or arguments.weights)
    limit = config.DETECTION_MAX_INSTANCES
    scores = evaluate(model, dataset, max_detections=limit, verbose=1)
    if arguments.out:
        Path(arguments.out).write_text(to_json(scores), encoding="utf-8")


def to_json(scores):
    """Scores as JSON, which has no nan: what nothing was there to score for is null."""
    plain = {
        kind: {name: None if math.isnan(value) else value for name, value in values.items()}
        for kind, values in scores.items()
    }
    return json.dumps(plain, indent=1)


def _model_of(arguments, path):
    """The config and the class names, or None, of a weight file or of public weights."""
    from mrcnn.weights.file_config import class_names_of
    from mrcnn.weights.registry import resolve

    config = make_config(arguments, path or arguments.weights)
    if path:
        return config, class_names_of(path)
    entry = resolve(arguments.weights, config)
    if entry is None or not entry.classes:
        raise ValueError(f"weights {arguments.weights!r} detect nothing; expected a trained model")
    return config, list(entry.classes)
