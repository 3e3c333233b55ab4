"""`export_int8`: a model as a file that computes in 8 bits, and what that costs."""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np

from mrcnn.evaluate import Evaluation
from mrcnn.export.exported_model import ExportedModel
from mrcnn.export.exporting import check_export, conversion, export, move_into_place
from mrcnn.export.formats import FORMATS
from mrcnn.export.verifying import ExportError

PICTURES = 100  # of the calibration at most
LARGEST_LOSS = 0.02  # of an AP, or another score of a kind


def export_int8(
    model, path, pictures, format="openvino", sizes=None, batch=None, dataset=None, verify=True
):
    """Writes a file whose convolutions and dense layers compute in 8 bits.

    A float32 file is written and compared with the model first, as `mrcnn.export.export` does.
    Pictures that run through it say which range each 8 bits stand for. An int8 file finds other
    scores and boxes than its model, so that it cannot be compared as the others are: both files are
    scored on a data set instead.

    Args:
        model, path, format, sizes, batch: as of `export`.
        pictures: `Dataset`, or list of uint8 [H, W, C] and paths, like those that the file will be
            given; of more than `PICTURES` as many that lie evenly among them.
        dataset: prepared `Dataset` with the model's classes, others than `pictures`; None: it is
            not known what int8 costs.
        verify: bool; False leaves the comparison of the float32 file out, and accepts any loss.

    Returns:
        dict of `float32` and `int8`, the scores of `mrcnn.evaluate.evaluate` on the data set;
        empty without one.

    Raises:
        ValueError: the format has no int8, or cannot hold this model.
        ImportError: a package that the format needs is missing.
        mrcnn.export.ExportError: the float32 file differs, or a score falls by more than
            `LARGEST_LOSS`; nothing is left of the file.

    Example:

    >>> scores = export_int8(model, "balloon.xml", train, dataset=val)  # doctest: +SKIP
    >>> scores["float32"]["segm"]["AP"], scores["int8"]["segm"]["AP"]  # doctest: +SKIP
    (0.570, 0.562)
    """
    check_export(model.config, path, format, sizes, batch, int8=True)
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        exact = Path(folder) / "float32" / target.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names the file of float32, which is not kept
            export(model, exact, format, sizes, batch, verify=verify)
        unfinished = Path(folder) / "int8" / target.name
        unfinished.parent.mkdir()
        original = ExportedModel(exact, model.config)
        load = _calibration(original, pictures)
        metadata = json.dumps({**original.metadata, "precision": "int8"})
        count = min(len(_listed(pictures)), PICTURES)
        with conversion(format, "this model in int8", passed=(OSError, ValueError)):  # of pictures
            FORMATS[format].load_int8().quantize(exact, unfinished, metadata, count, load)
        scores = {}
        if dataset is not None:
            files = {"float32": original, "int8": ExportedModel(unfinished, model.config)}
            for name, each in files.items():
                scores[name] = Evaluation.of(each, dataset, verbose=1).scores
            if verify:
                _check_loss(scores)
        move_into_place(unfinished.parent, target)
    if not verify:
        warnings.warn(f"{path} was not compared with the model", stacklevel=2)
    return scores


def _listed(pictures):
    """What numbers of pictures mean: the ids of a data set, or the pictures themselves."""
    return pictures.image_ids if hasattr(pictures, "load_image") else pictures


def _calibration(exported, pictures):
    """A function of a number to a picture as the file takes it, a batch of it."""
    listed = _listed(pictures)
    if not len(listed):
        raise ValueError("expected pictures to calibrate with, received none")
    chosen = np.linspace(0, len(listed) - 1, min(len(listed), PICTURES)).round().astype(int)

    def load(i):
        picture = listed[chosen[i]]
        if hasattr(pictures, "load_image"):
            picture = pictures.load_image(picture)
        image = exported.to_input(picture)
        return np.stack([image] * (exported.metadata["batch"] or 1))

    return load


def _check_loss(scores):
    """Raises ExportError where the first number of a kind of scores falls too much."""
    for kind, values in scores["float32"].items():
        name = next(iter(values))
        before, after = values[name], scores["int8"].get(kind, {}).get(name, 0.0)
        if before - after > LARGEST_LOSS:
            raise ExportError(
                f"int8 costs {100 * (before - after):.1f} points of {kind} {name}, of "
                f"{100 * before:.1f}; expected at most {100 * LARGEST_LOSS:.0f}: calibrate with "
                "more pictures, like those that it will be given, export float32, or accept the "
                "loss with verify=False (--no-verify)",
                "accuracy",
            )
