"""`mrcnn train`: from annotated pictures to a trained model and a folder of pictures."""

import copy
import shlex
import sys
import time
from pathlib import Path

from mrcnn.cli.config_arguments import add_config_arguments, positive
from mrcnn.cli.data_arguments import add_data_arguments, add_proposals_argument
from mrcnn.cli.evaluate import LEAST_SCORE
from mrcnn.cli.hosts_arguments import (
    add_hosts_arguments,
    fit_to_devices,
    join_hosts,
    without_hosts,
)
from mrcnn.cli.training_config import (
    check_config,
    config_of_run,
    fit_recipe,
    fit_to_data,
    fit_to_weights,
    layers_after,
    recipe_of,
)
from mrcnn.cli.training_data import load_training_data
from mrcnn.cli.weights_argument import best_start, file_of
from mrcnn.files.folders import open_folder
from mrcnn.files.remote import inside, is_remote, without_file_scheme
from mrcnn.recipes import RECIPES


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser("train", help="train on annotated pictures")
    add_data_arguments(parser)
    add_proposals_argument(parser)
    group = parser.add_argument_group("validation", "by default the subset val of DATA")
    group.add_argument("--val", metavar="DATA", help="other data to validate on")
    group.add_argument("--split", type=float, metavar="SHARE", help="0.2: a fifth of the pictures")
    group.add_argument("--seed", type=int, default=0, help="of the split; default 0")
    add_config_arguments(parser)
    group = parser.add_argument_group("training")
    group.add_argument(
        "--recipe",
        metavar="NAME",
        help="keys, epochs, layers, augmentation and weights where you give none, see "
        "docs/training.md. "
        + "; ".join(f"{name}: {recipe.about}" for name, recipe in RECIPES.items()),
    )
    group.add_argument(
        "--weights",
        help="to start from: coco, imagenet, none, last, a file, the folder of a run, or a name "
        "of `mrcnn weights list`; default that of the recipe, or coco where the preset has them",
    )
    group.add_argument("--epochs", type=positive, help="total; default 30")
    group.add_argument("--layers", help="heads, 3+, 4+, 5+, all; default heads after coco or a run")
    group.add_argument("--learning-rate", type=float, help="LEARNING_RATE")
    group.add_argument(
        "--batch-size", type=positive, help="IMAGES_PER_GPU; of several devices, of all together"
    )
    group.add_argument("--steps", type=positive, help="of an epoch; default: each picture once")
    group.add_argument(
        "--augment",
        metavar="NAME",
        nargs="?",
        const="flip",
        help="flip (default, also without NAME), none, photo, lsj, copypaste, microscopy, cells "
        "or histology: see docs/augmentation.md",
    )
    group.add_argument(
        "--no-augment", dest="augment", action="store_const", const="none", help="--augment none"
    )
    group.add_argument(
        "--evaluate",
        type=positive,
        default=1,
        metavar="N",
        help="score the validation every N epochs, and after the last; default 1",
    )
    group.add_argument(
        "--log",
        nargs="+",
        choices=("mlflow", "wandb"),
        default=[],
        help="also to MLflow, to Weights & Biases; TensorBoard and results.csv are always written",
    )
    group = parser.add_argument_group("results", "in DIR/NAME, or NAME2 and so on if it is taken")
    group.add_argument("--out", default="runs", metavar="DIR", help="folder of runs; default runs")
    group.add_argument("--name", default="train", help="default train")
    group.add_argument("--exist-ok", action="store_true", help="write to NAME though it is there")
    group.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a run that was interrupted, by default the newest in DIR; needs no DATA",
    )
    add_hosts_arguments(parser)
    parser.set_defaults(run=_train, remote_out=True)


def _train(arguments):
    arguments.out = without_file_scheme(arguments.out)
    hosts = join_hosts(arguments)
    try:
        _train_on(hosts, arguments)
    except BaseException as error:
        hosts.fail(error)
        raise


def _train_on(hosts, arguments):
    from mrcnn.augment import named

    recipe = recipe_of(arguments)
    augmentation = named(arguments.augment)
    resumed = _resumed(arguments)
    if resumed:
        arguments.batch_size = resumed.get("batch", arguments.batch_size)
    start = None
    if not resumed and arguments.weights is not None:
        start = file_of(arguments.weights, arguments.out)
    if hosts.is_first:
        _check_folder(arguments)
    if resumed and not _is_python(arguments):
        recipe = None  # its keys are in the config of the run
    config = config_of_run(arguments, start, recipe)
    fit_to_devices(config, arguments, hosts)
    train, val = load_training_data(arguments, config)
    fit_to_data(config, arguments, train)
    weights = resumed["weights"] if resumed else start or arguments.weights or best_start(config)
    fit_to_weights(config, weights)
    fit_recipe(config, recipe, arguments, train)
    earlier = resumed["layers"] if resumed else None
    layers = arguments.layers or earlier or (recipe.layers if recipe else None)
    layers = layers or layers_after(weights, start, config)
    check_config(config, train, val, None if resumed else weights, layers)
    _check_trackers(arguments)

    from mrcnn.evaluate import format_table
    from mrcnn.reports.evaluation_page import write_evaluation_page
    from mrcnn.reports.run_folder import draw_batches, draw_labels, draw_validation
    from mrcnn.training.runs import numbered_folder

    # Weights that cannot be had or do not fit are told before pictures are drawn.
    model = _build(arguments, config, "none" if resumed else weights)
    runs, place = model.runs, arguments.resume  # what the user calls the folder
    if resumed:
        print(f"{place}: it goes on", flush=True)
    elif hosts.is_first:
        options = {"exist_ok": arguments.exist_ok, "make": runs.make}
        folder = numbered_folder(runs.path, arguments.name, **options)
        runs.open(folder)
        _write_facts(arguments, folder, config, train, weights=weights, layers=layers)
        place = runs.there(str(folder))
        print(f"{place}: {train.num_classes - 1} classes, {layers} from {weights}", flush=True)
        draw_labels(train, folder)
        draw_batches(train, config, augmentation, folder, model.generator_type)
    place = hosts.first("folder", place)
    folder = Path(runs.here(place))
    _place(model, folder)
    evaluation = _fit(arguments, model, folder, (train, val), layers, augmentation, hosts)
    if not hosts.is_first:
        return
    if evaluation is not None:
        evaluation.save(folder)
        print(format_table(evaluation.scores))
        write_evaluation_page(evaluation, val, folder)
    draw_validation(model, val, folder, config.DETECTION_MIN_CONFIDENCE or 0)
    runs.finish(folder)
    print(f"{place}: the checkpoints, evaluation.html, and pictures of the run")


def _resumed(arguments):
    """What the run that is resumed was given, None where a new one begins.

    Its config is that of its folder: what it was made from may have changed since.
    """
    if not arguments.resume:
        return None
    from mrcnn.config_files import read_run
    from mrcnn.weights.remote import local_copy

    path = inside(arguments.resume, "config.yaml")
    path = local_copy(path) if is_remote(path) else path
    if not _is_python(arguments):
        arguments.config, arguments.preset, arguments.assignments = path, None, []
    return read_run(path)


def _is_python(arguments):
    """Whether the config is of a Python file, which no config.yaml stands for."""
    return str(arguments.config).endswith(".py")


def _check_folder(arguments):
    """Raises ValueError where two trainings would write into one folder: checkpoints of more epochs
    would be taken for the newest, and the state of one would replace that of the other."""
    from mrcnn.training.runs import checkpoints
    from mrcnn.training.state import FILE

    folder = inside(arguments.out, arguments.name)
    if not arguments.exist_ok or arguments.resume:
        return
    if checkpoints(folder) or open_folder(folder).has(FILE):
        raise ValueError(
            f"{folder} has checkpoints or the state of another training: go on with --resume "
            f"{folder}, or give another --name"
        )


def _check_trackers(arguments):
    from mrcnn.training.trackers import load_library

    for name in arguments.log:
        load_library(name)


def _write_facts(arguments, folder, config, train, **chosen):
    """Writes `config.yaml`, `command.txt` and the first line of `train.log`."""
    from mrcnn.config_files import write_config

    given = ("data", "val", "split", "seed", "epochs", "augment")
    write_config(
        config,
        folder / "config.yaml",
        class_names=train.class_names,
        batch=None if config.IMAGES_PER_GPU == -1 else config.BATCH_SIZE,
        **{name: getattr(arguments, name) for name in given},
        **chosen,
    )
    command = _repeatable(arguments, chosen["weights"])
    (folder / "command.txt").write_text(f"{command}\n", encoding="utf-8")
    with open(folder / "train.log", "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {arguments.command_line}\n")


def _repeatable(arguments, weights):
    """The command line of one host; "last" or the folder of a run, which may be another soon, as
    its file."""
    given, words = arguments.weights, without_hosts(shlex.split(arguments.command_line))
    if given is None or given == weights:
        return shlex.join(words)
    for i, word in enumerate(words):
        if word == f"--weights={given}" or (word == given and words[i - 1] == "--weights"):
            words[i] = word.removesuffix(given) + str(weights)
    return shlex.join(words)


def _build(arguments, config, weights):
    """The model with the weights that it starts from."""
    from mrcnn.model import create

    model = create("training", _for_scores(config), arguments.out)
    model.config = config  # which its checkpoints say
    if weights != "none":
        model.load_weights(weights)
    return model


def _place(model, folder):
    """Has the model train into a folder."""
    model.epoch, model.log_dir = 0, str(folder)
    name = model.config.NAME.lower()
    model.checkpoint_path = str(folder / f"mask_rcnn_{name}_{{epoch:04d}}.h5")


def _fit(arguments, model, folder, data, layers, augmentation, hosts):
    """Trains; returns the last `Evaluation`, None where all epochs were there."""
    from mrcnn.training.evaluation import EvaluateCallback
    from mrcnn.training.progress import Progress
    from mrcnn.training.state import FILE
    from mrcnn.training.trackers import TRACKERS

    evaluate = EvaluateCallback(model, data[1], arguments.evaluate)
    written = []  # by the first host alone
    if hosts.is_first:
        written = [TRACKERS[name](model, evaluate) for name in dict.fromkeys(arguments.log)]
        written.append(Progress(folder / "train.log"))
    print("The first step takes longest: it is compiled", flush=True)
    try:
        model.train(
            *data,
            model.config.LEARNING_RATE,
            arguments.epochs,
            layers,
            augmentation=augmentation,
            custom_callbacks=[evaluate, *written],
            resume=bool(arguments.resume),
        )
    except BaseException:
        if (folder / FILE).is_file():
            command = shlex.join(["mrcnn", "train", "--resume", model.runs.there(str(folder))])
            print(f"\nStopped in epoch {model.epoch + 1}; {command} goes on", file=sys.stderr)
        raise
    return evaluate.evaluation


def _for_scores(config):
    """The config with every detection that counts for AP, whatever is shown to people."""
    config = copy.copy(config)
    least = config.DETECTION_MIN_CONFIDENCE or 0
    config.DETECTION_MIN_CONFIDENCE = min(least, LEAST_SCORE)
    return config
