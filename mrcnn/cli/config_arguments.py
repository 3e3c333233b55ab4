"""What commands that build a model have in common: its config, from flags and KEY=VALUE."""

import argparse
import re

_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*(\.\w+)?=", re.ASCII)
_DEFAULT = "matterport/mask_rcnn_coco"


def add_config_arguments(parser):
    """Adds --config, --preset, and KEY=VALUE anywhere, which `split_assignments` takes out."""
    group = parser.add_argument_group("config", "KEY=VALUE sets any key of it: STEPS_PER_EPOCH=50")
    group.add_argument("--config", metavar="FILE", help="YAML of keys, or Python with a Config")
    group.add_argument("--preset", metavar="NAME", help=f"numerics; default {_DEFAULT}")
    parser.set_defaults(assignments=[])


def split_assignments(argv):
    """Takes KEY=VALUE, wherever they stand, out of arguments: the others, and these."""
    return (
        [text for text in argv if not _ASSIGNMENT.match(text)],
        [text for text in argv if _ASSIGNMENT.match(text)],
    )


def positive(text):
    """The type of an argument that counts."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text}")
    return value


def port_number(text):
    """The type of an argument that is a port, or 0 for any."""
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, got {text!r}")
    return int(text)


def make_config(arguments, weights=None):
    """The config that the arguments name, with its KEY=VALUE.

    Args:
        arguments: with those of `add_config_arguments`.
        weights: path of a weight file, or name of a public one: where the arguments name no
            config, that of its model is taken, and the default's where it does not tell.

    Raises:
        ValueError: a file that cannot be read, an unknown name or key, a value of another type.
    """
    from mrcnn.config_files import read_config
    from mrcnn.config_values import apply_assignments
    from mrcnn.presets import PRESETS

    if arguments.config and arguments.preset:
        raise ValueError("expected --config or --preset, received both; PRESET may be in the file")
    if arguments.preset and arguments.preset not in PRESETS:
        raise ValueError(f"no preset {arguments.preset!r}; expected one of {', '.join(PRESETS)}")
    if arguments.config:
        config = read_config(arguments.config)
    elif arguments.preset:
        config = PRESETS[arguments.preset]()
    else:
        config = _config_of_weights(weights)
    return apply_assignments(config, arguments.assignments)


def _config_of_weights(weights):
    from mrcnn.presets import PRESETS
    from mrcnn.weights.file_config import UnknownConfigError, config_of, config_of_public
    from mrcnn.weights.registry import REGISTRY

    public = next((entry for entry in REGISTRY if entry.name == weights), None)
    if public:
        return config_of_public(public)
    if weights in (None, "coco", "imagenet", "none"):
        return PRESETS[_DEFAULT]()
    try:
        return config_of(weights)
    except UnknownConfigError:
        return PRESETS[_DEFAULT]()
