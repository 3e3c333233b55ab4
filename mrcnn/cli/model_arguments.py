"""What commands that run a trained model have in common: the model of their WEIGHTS."""

from mrcnn.cli.config_arguments import add_config_arguments, make_config
from mrcnn.cli.exported_weights import ExportedWeights, is_exported, refuse_remote_exported
from mrcnn.cli.weights_argument import file_of
from mrcnn.files.remote import without_file_scheme


def add_model_arguments(parser):
    """Adds WEIGHTS, and what says how they are run."""
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="a file, the folder of a run (its best weights), last, coco, a name of "
        "`mrcnn weights list`, or what `mrcnn export` wrote",
    )
    add_config_arguments(parser)
    parser.add_argument("--runs", default="runs", metavar="DIR", help="folder of runs, for last")


def model_of(arguments, **keys):
    """The `TrainedModel` of WEIGHTS, or where they are an exported file, its `ExportedWeights`.

    Raises:
        ValueError: no such weights, or an exported file that lies beyond this machine.
    """
    arguments.weights = without_file_scheme(arguments.weights)
    refuse_remote_exported(arguments.weights)
    if is_exported(arguments.weights):
        return ExportedWeights(arguments, **keys)
    return TrainedModel(arguments, **keys)


class TrainedModel:
    """A model that the arguments name, which `build` makes when all else is known to be right.

    Args:
        arguments: with those of `add_model_arguments`.
        **keys: of the config, unless the user set them by KEY=VALUE.

    Attributes:
        weights: path of the file, or name of public weights.
        config: `Config`.
        class_names: list of str, "BG" first; None where the file does not tell.

    Raises:
        ValueError: no such weights, or weights that detect nothing.
    """

    def __init__(self, arguments, **keys):
        from mrcnn.parallel import available
        from mrcnn.weights.file_config import class_names_of, num_stuff_classes_of
        from mrcnn.weights.registry import resolve

        path = file_of(arguments.weights, arguments.runs, best=True)
        self.weights, self.runs = path or arguments.weights, arguments.runs
        self.config = make_config(arguments, self.weights)
        given = {text.partition("=")[0] for text in arguments.assignments}
        for key, value in keys.items():
            if key not in given:
                setattr(self.config, key, value)
        if "GPU_COUNT" not in given:  # of the machine that it was trained on
            self.config.GPU_COUNT = available(self.config.GPU_COUNT)
        if path:
            self.class_names = class_names_of(path)
            stuff = num_stuff_classes_of(path)
            if stuff is not None and "NUM_STUFF_CLASSES" not in given:
                self.config.NUM_STUFF_CLASSES = stuff
        else:
            entry = resolve(arguments.weights, self.config)
            if entry is None or not entry.classes:
                raise ValueError(
                    f"weights {arguments.weights!r} detect nothing; expected a trained model"
                )
            self.class_names = list(entry.classes)
        if self.class_names is not None and "NUM_CLASSES" not in given:
            self.config.NUM_CLASSES = len(self.class_names)

    def build(self):
        """Builds the model and loads its weights."""
        from mrcnn.model import create

        self.config.validate()
        model = create("inference", self.config, self.runs)
        model.load_weights(self.weights)
        model.class_names = self.class_names
        return model
