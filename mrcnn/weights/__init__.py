"""What weight files mean: the public ones, their names in every library, strict loading.

Listing and fetching need no Keras; what loads arrays into a model does.
"""

import importlib

from mrcnn.weights.fetching import default_cache_dir, download_trained_weights, fetch
from mrcnn.weights.registry import (
    COCO_MODEL_URL,
    REGISTRY,
    find,
    for_config,
    public_file,
    released_epsilon,
    resolve,
)
from mrcnn.weights.weight_file import FAMILIES, WeightFile

_LAZY = {
    "class_names_of": "file_config",
    "config_of": "file_config",
    "load_state_dict": "loading",
    "summarize": "loading",
    "CLASS_HEADS": "names",
    "count_classes": "sources",
    "guess_preset": "sources",
    "guess_source": "sources",
}

__all__ = [
    "COCO_MODEL_URL",
    "FAMILIES",
    "REGISTRY",
    "WeightFile",
    "default_cache_dir",
    "download_trained_weights",
    "fetch",
    "find",
    "for_config",
    "public_file",
    "released_epsilon",
    "resolve",
    *_LAZY,
]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"mrcnn.weights.{_LAZY[name]}"), name)
