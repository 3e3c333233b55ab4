"""`mrcnn evaluate`: COCO's numbers of a model on a data set, and what follows from them."""

import math
import os
import sys
from pathlib import Path

from mrcnn.cli.config_arguments import make_config
from mrcnn.cli.data_arguments import add_data_arguments, add_proposals_argument
from mrcnn.cli.model_arguments import add_model_arguments, model_of
from mrcnn.cli.training_data import load_validation_data
from mrcnn.files.folders import uploaded_folder
from mrcnn.files.remote import inside

LEAST_SCORE = 0.05  # of detections that count, where the config asks for more
CLASSES_SHOWN = 30
# How pictures are read, also beside detections that are there already.
_OF_PICTURES = ("IMAGE_CHANNEL_COUNT", "IMAGE_CHANNEL_FILES", "IMAGE_PAGES")


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "evaluate",
        help="score a model on annotated pictures",
        description="WEIGHTS may also be detections, with which nothing is detected: a folder that "
        "--out wrote, the Parquet of `mrcnn detect --engine`, or, with a COCO annotation file as "
        "DATA, a JSON file of COCO results or the detections.json of `mrcnn detect`. The exit code "
        "is 1 where pictures could not be read.",
    )
    add_model_arguments(parser)
    add_data_arguments(parser)
    add_proposals_argument(parser)
    parser.add_argument("--subset", help="default what the run held out, val, or all")
    parser.add_argument(
        "--out", metavar="DIR", help="write scores, detections, curves and evaluation.html there"
    )
    parser.add_argument("--boundary", action="store_true", help="score boundary IoU too")
    parser.add_argument("--intervals", action="store_true", help="95 %% intervals by bootstrap")
    parser.add_argument("--compare", metavar="DIR", help="with what another --out wrote")
    parser.add_argument(
        "--backend", choices=("pycocotools", "faster"), default="pycocotools", help="what scores"
    )
    parser.set_defaults(run=_evaluate, remote_out=True)


def _evaluate(arguments):
    if not arguments.out:
        return _evaluate_into(None, arguments)
    with uploaded_folder(arguments.out) as out:
        return _evaluate_into(out, arguments)


def _evaluate_into(out, arguments):
    """Evaluates, and writes into a folder of this machine, if any."""
    from mrcnn.distribute.results import is_results
    from mrcnn.evaluate import Evaluation
    from mrcnn.evaluate.coco import check_backend

    check_backend(arguments.backend)
    unread = 0
    other = Evaluation.load(arguments.compare) if arguments.compare else None
    if Path(arguments.weights).suffix == ".json":
        dataset, evaluation = None, _of_files(arguments)
    elif _is_saved(arguments.weights):
        dataset, evaluation = _of_saved(arguments)
    elif is_results(arguments.weights):
        dataset, evaluation, unread = _of_parquet(arguments)
    else:
        dataset, evaluation = _of_model(arguments, other)
    if out:  # before all that may still fail
        evaluation.save(out)
    _print(evaluation, arguments)
    if other is not None:
        _print_comparison(evaluation.compare(other))
    if out:
        from mrcnn.reports.evaluation_page import write_curves, write_evaluation_page

        if dataset is None:
            write_curves(evaluation, out)
        else:
            page = write_evaluation_page(evaluation, dataset, out)
            print(inside(arguments.out, os.path.basename(page)))
    left_out = unread
    if dataset is not None:
        left_out = dataset.num_images - len(evaluation.ground_truth["images"])
    if left_out:
        print(f"pictures without a score: {left_out}", file=sys.stderr)
    return 1 if left_out else 0


def _is_saved(weights):
    """Whether this is the folder of an evaluation alone: a run, which has one too, is a model."""
    from mrcnn.training.runs import checkpoints

    folder = Path(weights)
    return (folder / "scores.json").is_file() and not checkpoints(folder)


def _of_saved(arguments):
    """The evaluation of a folder, and its data set with the classes of the model that it is of."""
    from mrcnn.data.splitting import number_classes
    from mrcnn.evaluate import Evaluation

    _refuse_assignments(arguments)
    dataset = load_validation_data(arguments, config=make_config(arguments))
    number_classes(dataset, ["BG", *Evaluation.load(arguments.weights).class_names])
    return dataset, Evaluation.load(arguments.weights, dataset, arguments.backend)


def _refuse_assignments(arguments):
    given = [x for x in arguments.assignments if x.partition("=")[0] not in _OF_PICTURES]
    given = [text for text in [*given, arguments.config, arguments.preset] if text]
    if given:
        raise ValueError(
            f"{given[0]}: {arguments.weights} holds detections, of which a config changes nothing: "
            "give the weights to detect again"
        )


def _of_files(arguments):
    """The evaluation of a file of detections beside its annotation file."""
    from mrcnn.data.annotations.json_files import read_json
    from mrcnn.data.remote import local_data
    from mrcnn.evaluate import Evaluation
    from mrcnn.evaluate.annotations import complete, results_by_name

    _refuse_assignments(arguments)
    data = local_data(arguments.data)
    if not Path(data).is_file():
        raise ValueError(
            f"{arguments.data}: expected the COCO annotation file that {arguments.weights} is for; "
            "for other data, give the weights, or a folder that --out wrote"
        )
    truth, results = read_json(data), read_json(arguments.weights)
    try:
        if isinstance(results, dict) and results.keys() >= {"images", "annotations", "categories"}:
            results = results_by_name(results, complete(truth))
        return Evaluation(truth, results, backend=arguments.backend)
    except ValueError as error:
        raise ValueError(f"{arguments.weights} with {arguments.data}: {error}") from None


def _of_parquet(arguments):
    """The data set or None, the evaluation of what could be read, the number of the others."""
    from mrcnn.data.annotations.json_files import json_kind, read_json
    from mrcnn.data.remote import local_data
    from mrcnn.distribute.results import coco_results_of
    from mrcnn.evaluate import Evaluation, coco_ground_truth

    _refuse_assignments(arguments)
    dataset, content = None, {}
    if Path(arguments.data).suffix == ".json":
        content = read_json(local_data(arguments.data))
    if json_kind(content) == "coco":
        truth, names = content, {image["id"]: image["file_name"] for image in content["images"]}
    else:
        dataset, names = _data_beside(arguments)
        truth = coco_ground_truth(dataset, [])  # the classes alone
    results, errors = coco_results_of(arguments.weights, names, truth["categories"])
    read = [image_id for image_id in names if image_id not in errors]
    truth = _part_of(truth, read) if dataset is None else coco_ground_truth(dataset, read)
    return dataset, Evaluation(truth, results, backend=arguments.backend), len(errors)


def _data_beside(arguments):
    """The data set with the classes of Parquet, and the places of its pictures in its folder."""
    from mrcnn.data.remote import local_data
    from mrcnn.data.splitting import number_classes
    from mrcnn.distribute.results import class_names_of

    dataset = load_validation_data(arguments, config=make_config(arguments))
    class_names = class_names_of(arguments.weights)
    if class_names is not None:
        number_classes(dataset, class_names)
    folder = Path(local_data(arguments.data))
    folder = folder if folder.is_dir() else folder.parent
    paths = {int(i): dataset.image_info[i]["path"] for i in dataset.image_ids}
    names = {i: Path(os.path.relpath(path, folder)).as_posix() for i, path in paths.items()}
    return dataset, {i: name.replace("../", "") for i, name in names.items()}


def _part_of(truth, image_ids):
    """Some images of a ground truth."""
    kept = set(image_ids)
    annotations = [each for each in truth["annotations"] if each["image_id"] in kept]
    images = [image for image in truth["images"] if image["id"] in kept]
    return {**truth, "images": images, "annotations": annotations}


def _of_model(arguments, other):
    from mrcnn.data.splitting import number_classes
    from mrcnn.evaluate import Evaluation

    trained = model_of(arguments)
    if arguments.boundary and not trained.config.USE_MASK:
        raise ValueError("--boundary compares masks, and the model finds boxes only (USE_MASK)")
    given = {text.partition("=")[0] for text in arguments.assignments}
    if "DETECTION_MIN_CONFIDENCE" not in given:
        least = min(trained.config.DETECTION_MIN_CONFIDENCE or 0, LEAST_SCORE)
        trained.config.DETECTION_MIN_CONFIDENCE = least
    dataset = load_validation_data(arguments, trained.weights, trained.config)
    if trained.class_names is not None:
        number_classes(dataset, trained.class_names, trained.config.NUM_STUFF_CLASSES or None)
    elif "NUM_CLASSES" not in given:
        trained.config.NUM_CLASSES = dataset.num_classes
    if other is not None:
        _check_comparable(other, dataset, trained, arguments.compare)
    model = trained.build()
    options = {"verbose": 1, "backend": arguments.backend, "skip_broken": True}
    return dataset, Evaluation.of(model, dataset, **options)


def _check_comparable(other, dataset, trained, folder):
    """Raises ValueError now, not after the detection, for what `Evaluation.compare` refuses."""
    from mrcnn.evaluate import coco_ground_truth
    from mrcnn.evaluate.detecting import detection_limit
    from mrcnn.evaluate.saved import digest
    from mrcnn.model import architecture_of

    limit = detection_limit(trained)
    truth = coco_ground_truth(dataset)
    if not architecture_of(trained.config).finds_instances:
        truth["annotations"] = []
    if digest(truth) != digest(other.ground_truth):
        raise ValueError(
            f"--compare {folder}: expected an evaluation on the same pictures and annotations"
        )
    if limit != other.max_detections:
        raise ValueError(
            f"--compare {folder}: expected an evaluation with {limit} detections at most, received "
            f"one with {other.max_detections}: set DETECTION_MAX_INSTANCES alike"
        )


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
    if not math.isnan(best["score"]):
        _print_best(evaluation, best)
    if arguments.intervals:
        for kind, found in evaluation.intervals().items():
            texts = (f"{name} {100 * a:.1f} to {100 * b:.1f}" for name, (a, b) in found.items())
            print(f"95 % of {kind}: {', '.join(texts)}")


def _print_best(evaluation, best):
    counts, contest = evaluation.count_errors(), evaluation.contest(best["score"])
    print(
        f"\nbest F1 {best['f1']:.3f} (precision {best['precision']:.3f}, recall "
        f"{best['recall']:.3f}) with {best['key']}={best['score']:.3f}\n"
        f"at that score a picture has {abs(counts['mean_error']):.2f} objects too "
        f"{'few' if counts['mean_error'] < 0 else 'many'} on average (mean absolute error "
        f"{counts['mae']:.2f}); 2018 Data Science Bowl's score {contest['score']:.3f}"
    )


def _print_comparison(compared):
    for kind, found in compared.items():
        for name, value in found.items():
            if "p" not in value:
                print(f"{kind} {name}: {100 * value['difference']:+.1f}")
                continue
            low, high = 100 * value["low"], 100 * value["high"]
            print(
                f"{kind} {name}: {100 * value['difference']:+.1f} ({low:+.1f} to {high:+.1f}), "
                f"p {value['p']:.3f}"
            )
