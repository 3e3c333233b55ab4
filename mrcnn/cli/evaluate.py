"""`mrcnn evaluate`: COCO's numbers of a model on a data set, and what follows from them."""

import math
from pathlib import Path

from mrcnn.cli.data_arguments import add_data_arguments
from mrcnn.cli.model_arguments import TrainedModel, add_model_arguments
from mrcnn.cli.training_data import load_validation_data

LEAST_SCORE = 0.05  # of detections that count, where the config asks for more
CLASSES_SHOWN = 30


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "evaluate",
        help="score a model on annotated pictures",
        description="WEIGHTS may also be detections: a JSON file of COCO results, with DATA its "
        "annotation file, or a folder that --out wrote. Then nothing is detected.",
    )
    add_model_arguments(parser)
    add_data_arguments(parser)
    parser.add_argument("--subset", help="default val where there is one, else all")
    parser.add_argument(
        "--out", metavar="DIR", help="write scores, detections, curves and evaluation.html there"
    )
    parser.add_argument("--boundary", action="store_true", help="score boundary IoU too")
    parser.add_argument("--intervals", action="store_true", help="95 % intervals by bootstrap")
    parser.add_argument("--compare", metavar="DIR", help="with what another --out wrote")
    parser.add_argument("--backend", default="pycocotools", help="pycocotools or faster")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments):
    from mrcnn.evaluate import Evaluation

    other = Evaluation.load(arguments.compare) if arguments.compare else None
    if Path(arguments.weights).suffix == ".json":
        dataset, evaluation = None, _of_files(arguments)
    elif (Path(arguments.weights) / "detections.json").is_file():
        dataset = load_validation_data(arguments)
        evaluation = Evaluation.load(arguments.weights, dataset, arguments.backend)
    else:
        dataset, evaluation = _of_model(arguments)
    _print(evaluation, arguments)
    if other is not None:
        _print_comparison(evaluation.compare(other))
    if arguments.out:
        evaluation.save(arguments.out)
        if dataset is not None:
            from mrcnn.reports.evaluation_page import write_evaluation_page

            print(write_evaluation_page(evaluation, dataset, arguments.out))


def _of_files(arguments):
    """The evaluation of a COCO result file beside its annotation file."""
    from mrcnn.evaluate import Evaluation
    from mrcnn.evaluate.result_files import read_results, read_truth

    truth, found = read_truth(arguments.data), read_results(arguments.weights)
    return Evaluation(truth, found, backend=arguments.backend)


def _of_model(arguments):
    from mrcnn.data.splitting import number_classes
    from mrcnn.evaluate import Evaluation

    trained = TrainedModel(arguments)
    given = {text.partition("=")[0] for text in arguments.assignments}
    if "DETECTION_MIN_CONFIDENCE" not in given:
        least = min(trained.config.DETECTION_MIN_CONFIDENCE or 0, LEAST_SCORE)
        trained.config.DETECTION_MIN_CONFIDENCE = least
    dataset = load_validation_data(arguments)
    if trained.class_names is not None:
        number_classes(dataset, trained.class_names)
    elif "NUM_CLASSES" not in given:
        trained.config.NUM_CLASSES = dataset.num_classes
    model = trained.build()
    return dataset, Evaluation.of(model, dataset, verbose=1, backend=arguments.backend)


def _print(evaluation, arguments):
    from mrcnn.evaluate import format_class_table, format_table

    print(format_table(evaluation.scores))
    if arguments.boundary:
        print(format_table({"boundary": evaluation.boundary_scores()}))
    rows = evaluation.per_class()
    shown = sorted(rows, key=lambda row: -row["objects"])[:CLASSES_SHOWN]
    print("\n" + format_class_table(shown))
    if len(shown) < len(rows):
        print(f"... and {len(rows) - len(shown)} classes with fewer objects")
    best = evaluation.best_scores()
    if math.isnan(best["score"]):
        return
    counts, contest = evaluation.count_errors(), evaluation.contest(best["score"])
    print(
        f"\nbest F1 {best['f1']:.3f} (precision {best['precision']:.3f}, recall "
        f"{best['recall']:.3f}) with {best['key']}={best['score']:.3f}\n"
        f"there: {counts['mean_error']:+.2f} objects a picture, MAE {counts['mae']:.2f}; 2018 Data "
        f"Science Bowl's score {contest['score']:.3f}"
    )
    if arguments.intervals:
        for kind, found in evaluation.intervals().items():
            texts = (f"{name} {100 * a:.1f} to {100 * b:.1f}" for name, (a, b) in found.items())
            print(f"95 % of {kind}: {', '.join(texts)}")


def _print_comparison(compared):
    for kind, found in compared.items():
        for name, value in found.items():
            low, high = 100 * value["low"], 100 * value["high"]
            print(
                f"{kind} {name}: {100 * value['difference']:+.1f} ({low:+.1f} to {high:+.1f}), "
                f"p {value['p']:.3f}"
            )
