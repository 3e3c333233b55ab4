"""What each key of a `Config` holds: from texts and plain values, as files have them, and back."""

import ast
import difflib
import inspect
import numbers
import re

import numpy as np
import yaml

from mrcnn.config import Config

_OWN = Config()
_DERIVED = ("BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE")
# In the order in which `Config` explains them.
KEYS = [key for key in vars(Config) if key in _OWN.to_dict()]

# What a key holds, where the value of `Config` does not tell.
_KINDS = {
    "NAME": str,
    "COMPUTE_BACKBONE_SHAPE": type(None),
    "RPN_INIT_STD": float,
    "RPN_SMOOTH_L1_BETA": float,
    "PRE_NMS_LIMIT_TRAINING": int,
    "IMAGE_MIN_SCALE": float,
    "IMAGE_CHANNEL_FILES": "texts",
    "IMAGE_BUCKETS": list,
    "OHEM_ROIS_PER_IMAGE": int,
    "REPEAT_FACTOR_THRESHOLD": float,
    "EMA_MOMENTUM": float,
    "EARLY_STOPPING": int,
    "CHECKPOINTS_KEPT": int,
    "CHECKPOINT_MINUTES": float,
    "CLASS_WEIGHTS": "class weights",
    "SPP_LEVELS": tuple,
    "MAX_DEEPLAB_BLOCKS": tuple,
    "TILE_SIZE": int,
    "TILE_OVERLAP": int,
    "TEST_SCALES": tuple,
    "TEST_OBJECT_SIZE": float,
    "SEED": int,
}
# Entries of LOSS_WEIGHTS that `Config` does not have: losses of one head or architecture.
_FURTHER_LOSSES = (
    *("mrcnn_keypoint_loss", "semantic_loss", "retinanet_class_loss", "retinanet_bbox_loss"),
    *("pq_class_loss", "pq_mask_loss", "mask_id_loss", "instance_loss"),
)
# Keys for which None has a meaning.
_OPTIONAL = {
    *("NAME", "STEPS_PER_EPOCH", "VALIDATION_STEPS", "COMPUTE_BACKBONE_SHAPE", "TRAIN_BN"),
    *(
        "RPN_INIT_STD",
        "RPN_SMOOTH_L1_BETA",
        "PRE_NMS_LIMIT_TRAINING",
        "IMAGE_MIN_DIM",
        "IMAGE_MIN_SCALE",
    ),
    *("IMAGE_BUCKETS", "DETECTION_MIN_CONFIDENCE", "GRADIENT_CLIP_NORM", "SEED", "TILE_SIZE"),
    *("TILE_OVERLAP", "REPEAT_FACTOR_THRESHOLD", "CLASS_WEIGHTS", "EMA_MOMENTUM"),
    *("EARLY_STOPPING", "CHECKPOINTS_KEPT", "CHECKPOINT_MINUTES", "SPP_LEVELS", "TEST_SCALES"),
    *("OHEM_ROIS_PER_IMAGE", "MAX_DEEPLAB_BLOCKS", "TEST_OBJECT_SIZE"),
}
_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    "texts": "texts, such as _depth,_nir",
    dict: "a number for each name, such as {rpn_class_loss: 1.0}",
    "class weights": "a number for each class, such as {2: 4.0}",
    type(None): "none, as a file holds no functions",
}
_IN_PYTHON = re.compile(r"<(.+)>")


def check_key(key):
    """Raises ValueError unless `Config` has the key; the message names one that is near."""
    if key not in KEYS:
        raise ValueError(f"{key} is no key of Config{_near(key, KEYS)}")


def _near(name, known):
    by_case = {each.upper(): each for each in known}
    near = difflib.get_close_matches(str(name).upper(), by_case, n=1)
    return f"; did you mean {by_case[near[0]]}?" if near else ""


def convert(key, value):
    """A plain value as the key holds it: a list for `MEAN_PIXEL`, say, becomes an array.

    Args:
        key: str, of `Config`.
        value: None, bool, number, text, or lists and dicts of them. A text is read as Python's
            literal where the key holds something else: "1e-3", "(8, 16)".

    Raises:
        ValueError: an unknown key, or a value of another type; it says what is expected.
    """
    check_key(key)
    kind = _KINDS.get(key, type(getattr(_OWN, key)))
    if isinstance(value, str) and (function := _IN_PYTHON.fullmatch(value)):
        raise ValueError(
            f"{key} was {function[1]}, which only Python has: give the Python file of the config, "
            "--config FILE.py"
        )
    given = value
    if isinstance(value, str) and kind is not str:
        value = _literal(value)
    if value is None and key in _OPTIONAL:
        return None
    if kind is float and key == "STD_PIXEL" and isinstance(value, (list, tuple)):
        kind = np.ndarray
    try:
        return _CONVERT.get(kind, _to_sequence)(value, kind)
    except TypeError:
        expected = _EXPECTED.get(kind, "numbers, such as 8,16,32")
        more = " or none" if key in _OPTIONAL and kind is not type(None) else ""
        raise ValueError(f"{key}: expected {expected}{more}, received {given!r}") from None


def _literal(text):
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _refuse_unless(fits):
    if not fits:
        raise TypeError


def _to_bool(value, kind):
    _refuse_unless(isinstance(value, bool) or (_is_number(value) and value in (0, 1)))
    return bool(value)


def _to_int(value, kind):
    _refuse_unless(_is_number(value) and value % 1 == 0)
    return int(value)


def _to_float(value, kind):
    _refuse_unless(_is_number(value))
    return value


def _to_text(value, kind):
    _refuse_unless(isinstance(value, str))
    return value


def _to_dict(value, kind):
    _refuse_unless(isinstance(value, dict) and all(map(_is_number, value.values())))
    return dict(value)


def _to_class_weights(value, kind):
    """Ids of classes become integers, which JSON writes as texts; names stay."""
    weights = _to_dict(value, kind)
    return {int(x) if isinstance(x, str) and x.isdecimal() else x: weights[x] for x in weights}


def _to_sequence(value, kind):
    _refuse_unless(kind is not type(None))
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    values = [tuple(x) if isinstance(x, list) else x for x in values]
    for each in values:
        _refuse_unless(all(map(_is_number, each if isinstance(each, tuple) else [each])))
    return np.array(values) if kind is np.ndarray else kind(values)


def _to_texts(value, kind):
    values = value.split(",") if isinstance(value, str) else value
    _refuse_unless(isinstance(values, (list, tuple)))
    _refuse_unless(all(isinstance(text, str) for text in values))
    return tuple(text.strip() for text in values if text.strip())


_CONVERT = {
    "texts": _to_texts,
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: _to_text,
    dict: _to_dict,
    "class weights": _to_class_weights,
}


def from_text(key, text):
    """As `convert`, of what a person types: YAML or Python's literal, "8,16,32" too."""
    check_key(key)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        value = text
    if value is not None and _KINDS.get(key, type(getattr(_OWN, key))) is str:
        value = None if text == "None" else text  # as it stands: NAME=007
    elif key in _OPTIONAL and text.strip().lower() == "none":
        value = None
    elif isinstance(value, list):  # of what YAML takes for texts: [(64, 64)]
        literal = _literal(text)
        value = value if isinstance(literal, str) else literal
    return convert(key, value)


def apply_assignments(config, assignments):
    """Sets keys of a config, in place.

    Args:
        config: `Config`.
        assignments: list of "KEY=VALUE", such as "IMAGE_MAX_DIM=512", "USE_MASK=false",
            "RPN_ANCHOR_SCALES=8,16,32,64,128" or "LOSS_WEIGHTS.mrcnn_mask_loss=2".

    Returns:
        The config.

    Raises:
        ValueError: another form, an unknown key, a value of another type; it quotes the assignment.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"{assignment!r}: expected KEY=VALUE, such as IMAGE_MAX_DIM=512")
        key, dot, entry = name.strip().partition(".")
        try:
            value = _entry_value(config, key, entry, text) if dot else from_text(key, text)
        except ValueError as error:
            raise ValueError(f"{assignment}: {error}") from None
        if key == "PRESET" and value != config.PRESET:
            raise ValueError(
                f"{assignment}: PRESET names a numerics family and sets none of its keys; choose "
                f"it with --preset {value}"
            )
        setattr(config, key, value)
    return config


def _entry_value(config, key, entry, text):
    """The dict of a key, with one entry changed."""
    check_key(key)
    known = getattr(_OWN, key)
    if not isinstance(known, dict):
        raise ValueError(f"{key} has no entries; expected {key}=VALUE")
    known = {**known, **getattr(config, key)}
    if key == "LOSS_WEIGHTS":
        known |= dict.fromkeys(_FURTHER_LOSSES)
    if entry not in known:
        raise ValueError(f"{key} has no entry {entry!r}{_near(entry, known)}")
    return convert(key, {**getattr(config, key), entry: _literal(text)})


def is_set(config, key):
    """Whether a key was set for this config, other than by `Config` or a preset."""
    owner = next(kind for kind in type(config).__mro__ if key in vars(kind))
    return key in vars(config) or owner.__module__ not in ("mrcnn.config", "mrcnn.presets")


def plain_values(config):
    """The keys of a config as plain values, which JSON and YAML hold.

    Functions are named, such as "<function demo.small_backbone>", and `convert` refuses them.
    Derived keys, BATCH_SIZE for example, are left out unless the user assigned one; so are
    attributes that are no keys of `Config`.

    Returns:
        dict, in the order of `Config`.
    """
    computed = [
        key
        for key in _DERIVED
        if inspect.getattr_static(config, key) is inspect.getattr_static(Config, key)
    ]
    return {key: _plain(getattr(config, key)) for key in KEYS if key not in computed}


def _plain(value):
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    name = getattr(value, "__qualname__", None)
    return f"<function {value.__module__}.{name}>" if name else f"<{type(value).__name__}>"
