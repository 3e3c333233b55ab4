"""An exported file where commands expect WEIGHTS."""

import warnings
from pathlib import Path

from mrcnn.files.remote import is_remote

# The names of `mrcnn.export.formats.FORMATS`, whose package takes seconds to import, and what the
# paths of their files end in.
SUFFIXES = {"saved_model": "", "onnx": ".onnx", "openvino": ".xml", "litert": ".tflite"}
# What may differ from the model in the file.
_FREE = ("DETECTION_MIN_CONFIDENCE", "IMAGES_PER_GPU", "IMAGE_CHANNEL_FILES", "IMAGE_PAGES")


def is_exported(weights):
    """Whether a path is a file or folder of a format of `mrcnn.export`."""
    path = Path(weights)
    if path.is_dir():
        return (path / "saved_model.pb").is_file()
    return path.is_file() and path.suffix in filter(None, SUFFIXES.values())


def refuse_exported(weights):
    """Raises ValueError for what only a model's own weights can be."""
    if is_exported(weights):
        raise ValueError(f"{weights} is exported already; expected the weights that it was made of")


def refuse_remote_exported(weights):
    """Raises ValueError for an exported file that lies beyond this machine."""
    if is_remote(weights) and Path(weights).suffix in filter(None, SUFFIXES.values()):
        raise ValueError(
            f"{weights}: expected weights in one file (.h5, .npz, ...); what `mrcnn export` wrote "
            "is run from this machine: copy it here"
        )


class ExportedWeights:
    """As `mrcnn.cli.model_arguments.TrainedModel`, of an exported file.

    Raises:
        ValueError: a key of the config that is decided inside the file.
    """

    def __init__(self, arguments, **keys):
        from mrcnn.config_values import apply_assignments
        from mrcnn.export import ExportedModel

        self.weights = arguments.weights
        given = {text.partition("=")[0] for text in arguments.assignments}
        inside = [*sorted(given - set(_FREE)), *filter(None, (arguments.config, arguments.preset))]
        if inside:
            raise ValueError(
                f"{inside[0]} is decided inside {self.weights}; only {', '.join(_FREE)} can be set "
                "now: export the weights again with it"
            )
        self._model = ExportedModel(self.weights)
        self.config, self.class_names = self._model.config, self._model.class_names
        self._least = self.config.DETECTION_MIN_CONFIDENCE or 0
        apply_assignments(self.config, arguments.assignments)
        for key, value in keys.items():
            if key not in given:
                setattr(self.config, key, value)

    def build(self):
        """The file, with the config.

        Raises:
            ValueError: a value of it that cannot be.
        """
        from mrcnn.config_checks import problems

        found = [text for text in problems(self.config) if text.startswith(_FREE)]
        if found:
            raise ValueError("; ".join(found))
        if (self.config.DETECTION_MIN_CONFIDENCE or 0) < self._least:
            warnings.warn(
                f"{self.weights} leaves out what scores less than {self._least}: it was exported "
                f"with DETECTION_MIN_CONFIDENCE={self._least}",
                stacklevel=2,
            )
        self._model.configure(self.config)
        return self._model
