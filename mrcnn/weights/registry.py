"""Which public weights are meant: by name, for a config, by a file's bytes.

Nothing here is heavy: listing needs no backend.
"""

import dataclasses
import os

from mrcnn.files import download
from mrcnn.weights.public_files import REGISTRY, keras_backbone


def find(name):
    """The entry of the registry with this name, or with this model's or file's name alone.

    Args:
        name: str, as "torchvision/maskrcnn_resnet50_fpn", "mask_rcnn_coco" or "mask_rcnn_coco.h5".

    Raises:
        ValueError: there is none, or more than one; the message lists the names.
    """
    if entry := keras_backbone(name):
        return entry
    found = [entry for entry in REGISTRY if entry.name == name] or [
        entry for entry in REGISTRY if name in (entry.name.split("/")[1], entry.file_name)
    ]
    if len(found) != 1:
        names = ", ".join(entry.name for entry in (found or REGISTRY))
        what = "several" if found else "no"
        raise ValueError(f"{what} weights are called {name!r}; expected one of {names}")
    return found[0]


COCO_MODEL = "matterport/mask_rcnn_coco"
COCO_MODEL_URL = find(COCO_MODEL).url


def for_config(kind, config):
    """The weights to start a model from.

    Args:
        kind: "coco", a detector, or "imagenet", a backbone alone.
        config: `Config`: PRESET, ARCHITECTURE, BACKBONE, USE_MASK and USE_KEYPOINTS decide; all but
            the first may have been changed since the preset.

    Returns:
        WeightFile. Semantic FPN's is Panoptic FPN's, with the classes of its semantic head.

    Raises:
        ValueError: there are none; the message lists those of this kind.
    """
    kinds = ("coco", "imagenet")
    if kind not in kinds:
        raise ValueError(f"weights are {kind!r}; expected one of {kinds}, or a path")
    preset, backbone = config.PRESET, getattr(config.BACKBONE, "__name__", config.BACKBONE)
    for entry in REGISTRY:
        if entry.dataset != kind or entry.backbone != backbone:
            continue
        if kind == "coco" and _is_network_of(entry, config):
            return _of_semantic_head(entry) if config.ARCHITECTURE == "semantic_fpn" else entry
        # A backbone has the numerics of its family, whatever the heads are.
        if kind == "imagenet" and _publisher(entry.preset) in (None, _publisher(preset)):
            return entry
    if kind == "imagenet" and (entry := keras_backbone(backbone)):
        return entry
    there_are = "; ".join(
        f"{entry.name} (PRESET {entry.preset or 'any'}, BACKBONE {entry.backbone}"
        + (f", {_network(entry)})" if kind == "coco" else ")")
        for entry in REGISTRY
        if entry.dataset == kind and entry.proposals
    )
    if kind == "imagenet":
        there_are += "; and those of keras.applications, BACKBONE keras/NAME"
    heads = _heads(config.USE_MASK, config.USE_KEYPOINTS)
    raise ValueError(
        f"no {kind!r} weights for PRESET {preset!r}, BACKBONE {backbone!r}, ARCHITECTURE "
        f"{config.ARCHITECTURE!r}, {heads}; there are: {there_are}"
    )


def _architecture(entry):
    from mrcnn.presets import PRESETS  # which needs NumPy

    return PRESETS[entry.preset].ARCHITECTURE


def _is_network_of(entry, config):
    """Whether a detector is the network of a config, but for its backbone and classes."""
    if entry.preset != config.PRESET or not entry.proposals:
        return False
    if config.ARCHITECTURE == "semantic_fpn":
        return _architecture(entry) == "panoptic_fpn"
    heads = bool(config.USE_MASK), bool(config.USE_KEYPOINTS)
    own_heads = entry.masks, entry.keypoints
    return _architecture(entry) == config.ARCHITECTURE and own_heads == heads


def _of_semantic_head(entry):
    """A panoptic entry as its semantic head has classes: all things are one, then comes stuff."""
    from mrcnn.presets import PRESETS

    stuff = entry.classes[-PRESETS[entry.preset].NUM_STUFF_CLASSES :]
    return dataclasses.replace(entry, classes=("things", *stuff))


def _network(entry):
    return f"ARCHITECTURE {_architecture(entry)}, {_heads(entry.masks, entry.keypoints)}"


def _heads(masks, keypoints):
    return f"USE_MASK {bool(masks)}" + (", USE_KEYPOINTS True" if keypoints else "")


def resolve(text, config):
    """The entry of "coco", "imagenet" or a full name of the registry; None for any other text."""
    if text.lower() in ("coco", "imagenet"):
        return for_config(text.lower(), config)
    return next((entry for entry in REGISTRY if entry.name == text), None)


def public_file(path):
    """The entry of a public weight file, None for any other file.

    The bytes decide, whatever the file is called; it is hashed if its size is that of an entry.
    Where the publisher states no hash, the size with the name, and the name where no size.
    """
    size, name = os.path.getsize(path), os.path.basename(path)
    for entry in REGISTRY:
        hashed = bool(entry.sha256 or entry.md5)
        certain = hashed and entry.size is not None
        if entry.size not in (None, size) or not (certain or entry.file_name == name):
            continue
        if not hashed or entry.expected.fault(download.known(path)) is None:
            return entry
    return None


def released_epsilon(path):
    """BatchNorm's epsilon that a public file was trained with, where it is not the preset's.

    Returns:
        float, or None: not the file of an entry with `batch_norm_epsilon`.
    """
    entry = public_file(path)
    return None if entry is None else entry.batch_norm_epsilon


def _publisher(preset):
    return None if preset is None else preset.split("/")[0]
