"""The rows of `mrcnn benchmark`: what is written and measured, in a process of its own each."""

import contextlib
import dataclasses
import statistics
import time
from pathlib import Path

from mrcnn.cli.calibration_data import load_calibration_data, load_scored_data
from mrcnn.cli.exported_weights import SUFFIXES
from mrcnn.cli.model_arguments import TrainedModel
from mrcnn.startup import quiet

LEAST_SCORE = 0.05  # of detections that are scored, where the config asks for more


@dataclasses.dataclass(frozen=True)
class Row:
    """What is compared.

    Attributes:
        format: str, of `mrcnn.export`, or "weights": the model itself.
        precision: str, value of `PRECISION`, or "int8".
    """

    format: str
    precision: str


ROWS = {
    "detect": Row("weights", "float32"),
    "detect-bfloat16": Row("weights", "mixed_bfloat16"),
    "saved_model": Row("saved_model", "float32"),
    "saved_model-bfloat16": Row("saved_model", "mixed_bfloat16"),
    "onnx": Row("onnx", "float32"),
    "openvino": Row("openvino", "float32"),
    "openvino-int8": Row("openvino", "int8"),
    "litert": Row("litert", "float32"),
}


def write_row(arguments, name, folder):
    """Writes the file of a row, compared with the model. Returns its path, None of the model's.

    Args:
        arguments: of the command.
        name: key of `ROWS`.
        folder: path.
    """
    row = ROWS[name]
    if row.format == "weights":
        return None
    with _quietly():
        from mrcnn.export import check_export, export, export_int8

        trained = _trained(arguments, row)
        path = str(Path(folder) / f"{name}{SUFFIXES[row.format]}")
        sizes = None
        if row.format == "litert":
            sizes = [_pictures(arguments, trained)[0].shape[:2]]
        int8 = row.precision == "int8"
        check_export(trained.config, path, row.format, sizes, int8=int8)
        if int8:
            pictures, _ = load_calibration_data(arguments, trained)
            export_int8(trained.build(), path, pictures, row.format)
        else:
            export(trained.build(), path, row.format, sizes)
    return path


def measure_row(arguments, name, path):
    """Measures a row.

    Args:
        arguments, name: as of `write_row`.
        path: what that returned.

    Returns:
        dict: `status`, `megabytes`, `milliseconds` of a picture by itself, the median,
        `images_per_second` of all pictures in one call, `memory_megabytes` that opening the model
        and detecting added to the process at most, None where the system does not tell; and with
        DATA `scores`, of `mrcnn.evaluate.evaluate`.
    """
    with _quietly():
        from mrcnn.evaluate import Evaluation
        from mrcnn.export import ExportedModel
        from mrcnn.training.device_memory import added_memory

        row = ROWS[name]
        trained = _trained(arguments, row)
        pictures = _pictures(arguments, trained)
        memory = added_memory()
        model = trained.build() if path is None else ExportedModel(path, trained.config)
        found = {"status": _status(row), "megabytes": _size(path or trained.weights)}
        found |= _times(model, pictures)
        found["memory_megabytes"] = memory() and memory() / 1e6
        if arguments.data is not None:
            dataset = load_scored_data(arguments, trained)
            found["scores"] = Evaluation.of(model, dataset, verbose=1, skip_broken=True).scores
    return found


@contextlib.contextmanager
def _quietly():
    """What a row says of its data and weights, each row would say.

    The process that started this one has set TensorFlow's level, which leaves its first notes.
    """
    quiet.install()
    with quiet.filtered_stderr(), contextlib.redirect_stdout(None):
        yield


def _trained(arguments, row):
    """The `TrainedModel` of a row."""
    precision = "float32" if row.precision == "int8" else row.precision
    trained = TrainedModel(arguments)
    trained.config.PRECISION = precision
    given = {text.partition("=")[0] for text in arguments.assignments}
    if arguments.data is not None and "DETECTION_MIN_CONFIDENCE" not in given:
        least = min(trained.config.DETECTION_MIN_CONFIDENCE or 0, LEAST_SCORE)
        trained.config.DETECTION_MIN_CONFIDENCE = least
    return trained


def _pictures(arguments, trained):
    """The pictures to measure with: of DATA, else photos of scikit-image."""
    if arguments.data is None:
        from skimage import data

        photos = [data.astronaut(), data.coffee(), data.chelsea()]
        channels = [i % 3 for i in range(trained.config.IMAGE_CHANNEL_COUNT)]
        return [photos[i % 3][..., channels] for i in range(arguments.pictures)]
    dataset = load_scored_data(arguments, trained)
    return [dataset.load_image(i) for i in dataset.image_ids[: arguments.pictures]]


def _status(row):
    if row.format == "weights":
        return "ok"
    return "float32 verified" if row.precision == "int8" else "verified"


def _size(path):
    """Megabytes of a file and the one that belongs to it, or of a folder; None of a name."""
    path = Path(path)
    parts = path.rglob("*") if path.is_dir() else [path, path.with_suffix(".bin")]
    return sum(part.stat().st_size for part in parts if part.is_file()) / 1e6 or None


def _times(model, pictures):
    """Milliseconds of one picture, images per second of all in one call."""
    seconds = []
    for picture in (pictures[0], *pictures):
        start = time.perf_counter()
        model.detect([picture])
        seconds.append(time.perf_counter() - start)
    model.detect(pictures)
    start = time.perf_counter()
    model.detect(pictures)
    rate = len(pictures) / (time.perf_counter() - start)
    return {"milliseconds": 1000 * statistics.median(seconds[1:]), "images_per_second": rate}
