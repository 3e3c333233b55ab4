"""Detection in any number of pictures, in flat memory, into a folder.

Nothing is written outside of that folder. `detections.jsonl` in it holds a line for each picture
that is done, whose other files are whole then: this is what a run that was stopped goes on from.
"""

import dataclasses
import os
from pathlib import Path
from time import monotonic

from mrcnn.data.formats.coco_panoptic.segment_files import segment_info
from mrcnn.files.remote import local_path
from mrcnn.image.channels import Channels
from mrcnn.image.regions import ModelRegions
from mrcnn.inference.inputs import find_sources, iterate_sources
from mrcnn.inference.picture_detector import PictureDetector
from mrcnn.inference.proposals import check_wanted
from mrcnn.inference.records import (
    categories_of,
    coco_annotations,
    open_records,
    recorded_names,
    write_coco,
    write_coco_panoptic,
    write_table,
)
from mrcnn.inference.writers import WRITERS, remove_files
from mrcnn.progress import Progress

RECORDS = "detections.jsonl"
KINDS = ("overlay", "json", "panoptic", "masks", "labels", "crops", "csv")
_OF_MASKS = ("masks", "labels")
_OF_SEGMENTS = ("panoptic",)
_OF_PIXELS = ("overlay", "crops")
_IF_ASKED = ("masks",)  # of slides: thousands of pictures of their size


@dataclasses.dataclass
class Summary:
    """What `detect_to_folder` did.

    Attributes:
        done: int, pictures in which it detected.
        earlier: int, pictures that an earlier run had done.
        instances: int, what was found in the pictures of this run.
        skipped: list of (path, reason) of pictures that could not be used.
        seconds: float.
    """

    done: int = 0
    earlier: int = 0
    instances: int = 0
    skipped: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def detect_to_folder(
    model,
    inputs,
    out,
    save=None,
    resume=True,
    score=None,
    frames="all",
    about=None,
    console=None,
    proposals=None,
):
    """Detects in all pictures that the inputs name, and writes what it finds.

    Args:
        model: a `DetectionModel`; its `class_names` name the classes.
        inputs: path or list of paths, see `mrcnn.inference.inputs.find_sources`.
        out: folder to write into, made if there is none.
        save: any of `KINDS`, or None for all that the model can, with `TILE_SIZE` without "masks":
            "overlay" `overlays/NAME.jpg`,
            "json" `detections.json` in COCO's format, "masks" `masks/NAME/0001.png`, "labels"
            `labels/NAME.png`, "panoptic" `panoptic.json` and `panoptic/NAME.png` in COCO's panoptic
            format, "crops" `crops/CLASS/NAME_0001.png`, "csv" `detections.csv`.
        resume: bool, whether to go on where an earlier run into this folder stopped. A picture
            whose file has changed since is done again. False begins anew: what earlier runs wrote
            is removed.
        score: float, the least score of what is kept, or None for what the config says.
        frames: "all" pages and frames of a file, or the "first" of each.
        about: dict, ready for JSON, of what else the results depend on, such as the weights: a
            folder of other settings is not gone on with.
        console: `rich.console.Console` for the progress, or None for the standard error.
        proposals: `mrcnn.data.Proposals` of the pictures, for a model with `USE_RPN_ROIS = False`;
            one without an entry is skipped.

    Returns:
        `Summary`.

    Raises:
        ValueError: inputs that name nothing, unknown kinds, a folder of other settings, or one that
            is not of this machine: for that see `mrcnn.distribute.detect_dataset`.

    Example:

    >>> summary = detect_to_folder(model, "pictures", "found")  # doctest: +SKIP
    >>> summary.skipped
    [('pictures/a.jpg', 'expected an image file at ...')]
    """
    started, out = monotonic(), Path(local_path(out))
    check_wanted(model.settings, proposals)
    tile_size = model.settings.tiles.size
    has_masks = model.settings.mask_head.enabled and getattr(model, "finds_instances", True)
    kinds = _checked_kinds(save, has_masks, tile_size, getattr(model, "finds_segments", False))
    channels = Channels.of(model.settings.image)
    sources = find_sources(inputs, out, channels)
    pictures = iterate_sources(sources, frames, channels, tile_size)
    settings = _settings(kinds, score, frames, about, model.class_names)
    out.mkdir(parents=True, exist_ok=True)
    if not resume:
        _remove_results(out)
    with (
        open_records(out / RECORDS, settings) as records,
        Progress("detect", len(sources), console) as progress,
    ):
        run = _Run(model, out, kinds, score, records, progress, proposals)
        names = run.over(pictures)
        if "json" in kinds:
            scheme = getattr(model, "keypoint_scheme", None)
            num_classes = model.settings.image.num_classes
            categories = categories_of(num_classes, model.class_names, scheme)
            write_coco(out / "detections.json", records, names, categories)
        if "panoptic" in kinds:
            things = model.settings.semantic_head.thing_classes
            categories = categories_of(model.settings.image.num_classes, model.class_names)
            kinds_of = [{**x, "isthing": int(x["id"] < things)} for x in categories]
            write_coco_panoptic(out / "panoptic.json", records, names, kinds_of)
        if "csv" in kinds:
            write_table(out / "detections.csv", records, names, model.class_names)
    run.summary.seconds = monotonic() - started
    return run.summary


def check_folder(
    out,
    has_masks,
    class_names,
    has_segments=False,
    save=None,
    resume=True,
    score=None,
    frames="all",
    about=None,
    tile_size=None,
):
    """Raises ValueError where `detect_to_folder` would, before there is a model.

    Args:
        out, save, resume, score, frames, about: as of `detect_to_folder`.
        has_masks, has_segments: bool, whether the model finds masks, and a panoptic map.
        class_names: list by class id, or None.
        tile_size: int, the model's `TILE_SIZE`, or None.
    """
    kinds = _checked_kinds(save, has_masks, tile_size, has_segments)
    settings = _settings(kinds, score, frames, about, class_names)
    path = Path(out, RECORDS)
    if Path(out).is_file():
        raise ValueError(f"{out}: expected a folder to write into, received a file")
    if path.exists() and resume:
        with open_records(path, settings):
            pass
    elif path.exists():
        recorded_names(path)


def _remove_results(out):
    """Removes what earlier runs wrote, and nothing else; the records last, which tell what."""
    for name in recorded_names(out / RECORDS):
        remove_files(out, name)
    for name in ("detections.json", "detections.csv", "panoptic.json", RECORDS):
        (out / name).unlink(missing_ok=True)


def _settings(kinds, score, frames, about, class_names):
    """What the results in a folder depend on."""
    settings = {"save": kinds, "score": score, "frames": frames, "about": about}
    return settings | {"class_names": class_names}


def _checked_kinds(save, has_masks, tile_size, has_segments):
    cannot = (() if has_masks else _OF_MASKS) + (() if has_segments else _OF_SEGMENTS)
    if save is None:
        left_out = cannot + (() if tile_size is None else _IF_ASKED)
        return [kind for kind in KINDS if kind not in left_out]
    kinds = [save] if isinstance(save, str) else list(save)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"save has {unknown}; expected any of {KINDS}")
    if set(kinds) & set(cannot):
        what = "boxes only (USE_MASK = False), or no instances"
        if set(kinds) & set(_OF_SEGMENTS) and not has_segments:
            what = "no panoptic map"
        raise ValueError(f"save is {kinds}, but the model finds {what}: leave out {cannot}")
    return [kind for kind in KINDS if kind in kinds]


class _Run:
    """One call of `detect_to_folder`."""

    def __init__(self, model, out, kinds, score, records, progress, proposals=None):
        self.out, self.kinds, self.score = out, kinds, score
        self.records, self.progress, self.summary = records, progress, Summary()
        self.detector = PictureDetector(model, proposals, progress.within)

    def over(self, pictures):
        """Detects in pictures, and returns the names of all that were there, in order."""
        names = []
        for picture, found in self.detector.over(self._to_do(pictures, names)):
            if isinstance(found, ValueError):
                self._skip(picture, found)
            else:
                self._keep(picture, found)
        return names

    def _to_do(self, pictures, names):
        """Yields those that are not done, and appends the names of all."""
        for picture in pictures:
            names.append(picture.name)
            if picture.page in (None, 1) and picture.count:
                self.progress.grow(picture.count - 1)
            if self.records.is_done(picture.name, _stamp(picture)):
                self.summary.earlier += 1
                self.progress.advance(passed_over=True)
            else:
                yield picture

    def _skip(self, picture, error):
        self.summary.skipped.append((picture.source.path, str(error)))
        self.progress.say(f"skipped {picture.source.path}: {error}")
        self.progress.advance(passed_over=True)

    def _keep(self, picture, found):
        """Writes what was found in a picture; its record comes last, for it says that all is."""
        if self.score is not None:
            found = found.filter(found["scores"] >= self.score)
        height, width = found.image.shape[:2]
        record = {"file_name": picture.source.file_name, "width": width, "height": height}
        if picture.page is not None:
            record["page"] = picture.page
        record["annotations"] = coco_annotations(found)
        if "panoptic" in self.kinds:
            record["segments_info"] = [
                {**segment_info(found["segmentation"], x["id"], x["class_id"]), "score": x["score"]}
                for x in found["segments"]
            ]
        if picture.name in self.records:
            remove_files(self.out, picture.name)
        if set(self.kinds) & set(_OF_PIXELS) and not isinstance(found.image, ModelRegions):
            from mrcnn.visualize import to_uint8_rgb

            found.image = to_uint8_rgb(found.image)
        for kind in self.kinds:
            if kind in WRITERS:
                WRITERS[kind](self.out, picture.name, found)
        self.records.append(picture.name, _stamp(picture), record)
        self.summary.done += 1
        self.summary.instances += found.count
        self.progress.advance()


def _stamp(picture):
    """What tells that the file of a picture is the same as before; None: there is none."""
    path = os.path.abspath(picture.source.path)
    try:
        state = os.stat(path)
    except OSError:
        return None
    return [path, state.st_size, state.st_mtime_ns]
