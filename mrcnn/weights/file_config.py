"""What a weight file says of the model that it is of: its config and its class names."""

import json
import os

from mrcnn.config import Config
from mrcnn.config_files import config_from, read_config, read_run
from mrcnn.config_values import plain_values
from mrcnn.data.keypoints import COCO_PERSON, KeypointScheme
from mrcnn.files.hdf5 import read_attribute
from mrcnn.presets import PRESETS
from mrcnn.weights.registry import public_file

CONFIG_FILE = "config.yaml"  # of a run's folder, beside its checkpoints


class UnknownConfigError(ValueError):
    """A weight file does not tell the config of its model."""


def attributes_of(config, class_names, keypoint_scheme=None):
    """What `save_weights` writes beside the arrays: a dict of str, as JSON, and the preset."""
    attributes = {"preset": config.PRESET, "config": json.dumps(plain_values(config))}
    if class_names is not None:
        attributes["class_names"] = json.dumps(list(class_names))
    if keypoint_scheme is not None:
        attributes["keypoints"] = json.dumps(keypoint_scheme.to_json())
    return attributes


def config_of(path):
    """The config of the model that a weight file is of.

    It is in files that `save_weights` wrote, in the `config.yaml` beside the checkpoints of a run,
    and known for the public files, by their bytes.

    Args:
        path: of a weight file.

    Returns:
        A `Config`.

    Raises:
        FileNotFoundError: nothing is there.
        UnknownConfigError: the file does not tell.
        ValueError: its config has a function, which only Python holds.

    Example:

    >>> config_of("runs/train/mask_rcnn_balloon_0030.h5").NUM_CLASSES  # doctest: +SKIP
    2
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no weight file at {os.path.abspath(path)}")
    values = _read_json(path, "config")
    if values is not None:
        return config_from(values, lambda key: f"{path}, attribute config")
    entry = public_file(path)
    if entry is not None and entry.classes:
        return config_of_public(entry)
    if beside := _file_beside(path):
        return read_config(beside)
    raise UnknownConfigError(
        f"{path} does not tell the config of its model, as it was written before this was kept, or "
        "elsewhere: give one with --config FILE, or --preset NAME and KEY=VALUE"
    )


def config_of_public(entry):
    """The config of the model that public weights are of; of a backbone, one that has it.

    Args:
        entry: `mrcnn.weights.WeightFile`.
    """
    config = PRESETS[entry.preset or Config.PRESET]()
    config.BACKBONE = entry.backbone
    if entry.classes:
        config.NUM_CLASSES, config.USE_MASK = len(entry.classes), entry.masks
        config.USE_KEYPOINTS, config.USE_RPN_ROIS = entry.keypoints, entry.proposals
    return config


def class_names_of(path):
    """The class names of the model that a weight file is of, from the same places as `config_of`.

    Returns:
        list of str, "BG" first; None where they are not known.
    """
    path = os.fspath(path)
    names = _read_json(path, "class_names")
    if names is None:
        names = run_beside(path).get("class_names")
    if names is None:
        entry = public_file(path)
        names = list(entry.classes) if entry is not None and entry.classes else None
    return names


def num_stuff_classes_of(path):
    """How many classes of the model that a weight file is of are stuff, as `save_weights` wrote it,
    or of the public files; None where it is not known."""
    path = os.fspath(path)
    values = _read_json(path, "config")
    if values is not None:
        return values.get("NUM_STUFF_CLASSES", 0)
    entry = public_file(path)
    return PRESETS[entry.preset].NUM_STUFF_CLASSES if entry is not None and entry.classes else None


def keypoint_scheme_of(path):
    """What the keypoints of the model that a weight file is of are called, as `save_weights` wrote
    it, or as of COCO's persons for the public files.

    Returns:
        `mrcnn.data.KeypointScheme`; None where it is not known.
    """
    path = os.fspath(path)
    values = _read_json(path, "keypoints")
    if values is not None:
        return KeypointScheme(**values)
    entry = public_file(path)
    return COCO_PERSON if entry is not None and entry.keypoints else None


def run_beside(path):
    """What the `config.yaml` beside a checkpoint says of its training: a dict, empty if none is."""
    beside = _file_beside(os.fspath(path))
    if beside is None:
        return {}
    try:
        return read_run(beside)
    except ValueError:  # a file of another tool may have this name
        return {}


def _read_json(path, attribute):
    text = read_attribute(path, attribute)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        raise ValueError(f"{path}: expected JSON in the attribute {attribute}") from None


def _file_beside(path):
    beside = os.path.join(os.path.dirname(os.path.abspath(path)), CONFIG_FILE)
    return beside if os.path.isfile(beside) else None
