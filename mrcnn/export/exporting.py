"""`export`: a model into a file of another runtime, which finds what the model finds."""

import contextlib
import os
import shutil
import tempfile
import textwrap
import warnings
from pathlib import Path

import keras
import numpy as np

from mrcnn.architecture_checks import WITHOUT_ROIS
from mrcnn.config_ranges import is_count
from mrcnn.export.formats import FORMATS, check_packages, format_of
from mrcnn.export.metadata import metadata_of
from mrcnn.export.verifying import ExportError, verify


def export(model, path, format="saved_model", sizes=None, batch=None, masks="boxes", verify=True):
    """Writes a model as a file, or folder, that takes uint8 images and returns detections.

    Molding and detection are inside; `mrcnn.export.serving.Serving.detect` says what goes in and
    comes out. The file is loaded in its own runtime and has to find what `model.detect` finds, in
    photos, a black picture and an odd size, before it gets its name.

    Args:
        model: a `DetectionModel` with its weights.
        path: of the file or folder; an earlier export that is there is replaced.
        format: key of `mrcnn.export.formats.FORMATS`.
        sizes: list of (height, width) of the images that the file takes; None: any, where the
            format can.
        batch: int, images at once; None: any number, where the format can, else 1.
        masks: "boxes": of the network's size, over each box; "image": pasted into the image.
        verify: bool; False leaves the comparison out, with a warning.

    Returns:
        The path.

    Raises:
        ValueError: the format cannot hold this model, and why.
        ImportError: a package that the format needs is missing.
        mrcnn.export.ExportError: the file differs, or a converter fails; nothing is left of it.

    Example:

    >>> export(model, "balloon", "saved_model")  # doctest: +SKIP
    'balloon'
    """
    check_export(model.config, path, format, sizes, batch, masks)
    full_masks = masks == "image"
    batch = batch if FORMATS[format].any_size else batch or 1
    metadata = metadata_of(model, format, sizes, batch, full_masks)
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = FORMATS[format].load()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        unfinished = Path(folder) / target.name
        with conversion(format):
            writer.write(model, unfinished, metadata)
        if verify:
            _verify(model, unfinished, writer, metadata)
        else:
            warnings.warn(
                f"{path} was not compared with the model: what it finds may differ", stacklevel=2
            )
        move_into_place(folder, target)
    return os.fspath(path)


def move_into_place(folder, target):
    """Moves a finished export, alone in a folder, to the place of an earlier one."""
    if target.is_dir():
        shutil.rmtree(target)
    for part in Path(folder).iterdir():  # a format may have two files
        os.replace(part, target.parent / part.name)


@contextlib.contextmanager
def conversion(format, what="this model", passed=(OSError,)):
    """Inside it, what a converter cannot do, whatever it raises, is said in short.

    Args:
        format: str, of the file.
        what: str, that it cannot hold.
        passed: types of errors that are raised as they are.
    """
    try:
        yield
    except passed:
        raise
    except Exception as error:
        reason = textwrap.shorten(str(error), 400)
        raise ExportError(
            f"format {format} cannot hold {what}: {type(error).__name__}: {reason}", "conversion"
        ) from error


def _verify(model, path, writer, metadata):
    """`mrcnn.export.verifying.verify`, with the file of stages that it may ask for."""

    def write_stages():
        stages = path.parent / f"stages{path.suffix}"
        writer.write(model, stages, metadata, stages=True)
        return stages

    return verify(model, path, write_stages)


def check_export(config, path, format, sizes=None, batch=None, masks="boxes", int8=False):
    """Raises what `export`, or `export_int8`, would before there is a model."""
    if format not in FORMATS:
        raise ValueError(f"no format {format!r}; expected one of {', '.join(FORMATS)}")
    if int8 and not FORMATS[format].int8:
        known = ", ".join(name for name, each in FORMATS.items() if each.int8)
        raise ValueError(f"format {format} has no int8; expected {known}")
    problems = list(_problems(config, path, format, sizes, batch, masks))
    if problems:
        raise ValueError(f"format {format}: {'; '.join(problems)}")
    check_packages(format, int8=int8)


def _problems(config, path, name, sizes, batch, masks):
    """What a format cannot do with a config, and what to do, one text each."""
    kind, suffix = FORMATS[name], Path(path).suffix
    if keras.backend.backend() != "tensorflow":
        yield (
            f"KERAS_BACKEND is {keras.backend.backend()}, and TensorFlow writes it: export the "
            "same weights with KERAS_BACKEND=tensorflow"
        )
    if kind.suffix and suffix != kind.suffix:
        yield f"expected a path that ends in {kind.suffix}, received {path}"
    if _holds_others(Path(path), name):
        yield f"{path} is a folder of something else, which would be removed: give another path"
    if sizes is None and not kind.any_size:
        yield (
            "its files take images of known sizes alone: give them, as sizes=[(480, 640)] "
            "(--sizes 480x640)"
        )
    if kind.most_sizes == 0 and (sizes or batch):
        yield "it takes any size, and any number of images: leave sizes and batch out"
    elif sizes and len(sizes) > kind.most_sizes:
        yield f"a file takes one size, or any, received {len(sizes)}"
    if not _are_sizes(sizes or ()):
        yield f"sizes is {sizes}; expected heights and widths of 1 pixel or more, each pair once"
    if batch is not None and not is_count(batch):
        yield f"batch is {batch!r}; expected a whole number of 1 or more"
    if masks not in ("boxes", "image"):
        yield f'masks is {masks!r}; expected "boxes" or "image"'
    if config.TILE_SIZE is not None:
        yield "TILE_SIZE cuts images before the network: set it to None, and cut them yourself"
    others = config.TEST_SCALES is not None or config.TEST_OBJECT_SIZE is not None
    if config.TEST_FLIP or others:
        yield (
            "test-time augmentation runs the network more than once: set TEST_FLIP to False, "
            "TEST_SCALES and TEST_OBJECT_SIZE to None"
        )
    if not config.USE_RPN_ROIS:
        yield "USE_RPN_ROIS = False takes proposals, which an exported file is not given"
    if masks == "image" and not kind.full_masks:
        yield 'it cannot paste masks: leave masks="boxes" (--masks boxes)'
    if masks == "image" and (not config.USE_MASK or config.NUM_STUFF_CLASSES):
        yield 'masks="image" (--masks image) is for instances with masks'
    if config.DETECTION_NMS != "hard" and not kind.loops:
        yield f"it has no loops, as DETECTION_NMS = {config.DETECTION_NMS!r} takes: set it to hard"
    if config.PRECISION != "float32" and not kind.half_precision:
        yield f"it takes float32 alone, and PRECISION is {config.PRECISION}: set it to float32"
    if not kind.adaptive_pooling and _pools_adaptively(config):
        yield (
            "it cannot pool with as many samples as each box needs: set ROI_ALIGN_SAMPLING_RATIO "
            "to 2, which finds nearly the same"
        )


def _are_sizes(sizes):
    """Whether these are pairs of numbers of pixels, all different."""
    pairs = [tuple(np.ravel(size).tolist()) for size in sizes]
    return len({*pairs}) == len(pairs) and all(
        len(pair) == 2 and all(map(is_count, pair)) for pair in pairs
    )


def _pools_adaptively(config):
    has_rois = config.ARCHITECTURE not in WITHOUT_ROIS
    adaptive = config.ROI_ALIGN_MODE == "roi_align" and config.ROI_ALIGN_SAMPLING_RATIO == 0
    return has_rois and adaptive


def _holds_others(path, name):
    """Whether a path is a folder that an export must not replace."""
    if not path.is_dir():
        return False
    return format_of(path) != name and any(path.iterdir())
