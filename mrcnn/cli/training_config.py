"""What `mrcnn train` trains with: the config of its arguments, their recipe, and the data."""

import math
import os
import re
from pathlib import Path

from mrcnn.cli.config_arguments import make_config
from mrcnn.recipes import RECIPES


def recipe_of(arguments):
    """The recipe that the arguments name, or None; epochs, augmentation and weights that they
    leave open are those of the recipe, or the defaults."""
    if arguments.recipe is not None and arguments.recipe not in RECIPES:
        raise ValueError(f"no recipe {arguments.recipe!r}; expected one of {', '.join(RECIPES)}")
    recipe = RECIPES.get(arguments.recipe)
    arguments.epochs = arguments.epochs or (recipe.epochs if recipe else 30)
    arguments.augment = arguments.augment or (recipe.augment if recipe else "flip")
    if recipe and not arguments.resume:
        arguments.weights = arguments.weights or recipe.weights
    return recipe


def config_of_run(arguments, start, recipe=None):
    """The config of the arguments, flags included, or that of the file that training starts from.

    Of such a file, the experiment's name and the length of its epochs are left. A recipe comes
    before KEY=VALUE and the flags, and after all else.
    """
    from mrcnn.config_values import apply_assignments

    config = make_config(arguments, start or arguments.weights)
    if recipe is not None:
        config = apply_assignments(recipe.apply(config), arguments.assignments)
    if start and not arguments.config:
        given = {text.partition("=")[0] for text in arguments.assignments}
        for key in {"NAME", "STEPS_PER_EPOCH"} - given:
            vars(config).pop(key, None)
    if arguments.learning_rate is not None:
        config.LEARNING_RATE = arguments.learning_rate
    if arguments.steps is not None:
        config.STEPS_PER_EPOCH = arguments.steps
    return config


def images_of_each_device(batch, devices):
    """`IMAGES_PER_GPU` of a --batch-size.

    Raises:
        ValueError: the devices do not divide it.
    """
    if batch % devices:
        raise ValueError(f"--batch-size is {batch}; expected a multiple of GPU_COUNT={devices}")
    return batch // devices


def fit_to_data(config, arguments, train):
    """Sets what follows from the data, unless the user has said it."""
    from mrcnn.data.remote import local_data

    given = {text.partition("=")[0] for text in arguments.assignments}
    if "NUM_CLASSES" not in given:
        config.NUM_CLASSES = train.num_classes
    if "NUM_STUFF_CLASSES" not in given:
        config.NUM_STUFF_CLASSES = train.num_stuff_classes
    if train.keypoint_scheme is not None and not _chosen(config, "NUM_KEYPOINTS"):
        config.NUM_KEYPOINTS = len(train.keypoint_scheme)
    if not _chosen(config, "NAME"):
        path = Path(local_data(arguments.data)).resolve()
        folder = path if path.is_dir() else path.parent
        config.NAME = re.sub(r"[^\w.-]+", "_", folder.name).lower() or "data"
    if not _chosen(config, "STEPS_PER_EPOCH"):
        config.STEPS_PER_EPOCH = None
    if not _chosen(config, "CHECKPOINTS_KEPT"):
        config.CHECKPOINTS_KEPT = 3
    if isinstance(config.CLASS_WEIGHTS, dict):
        config.CLASS_WEIGHTS = _by_class_id(config.CLASS_WEIGHTS, train.class_names)


def _by_class_id(weights, class_names):
    """The weights of classes, of which some may have names, by their ids."""
    ids = {name: i for i, name in enumerate(class_names)}
    unknown = [name for name in weights if isinstance(name, str) and name not in ids]
    if unknown:
        raise ValueError(
            f"CLASS_WEIGHTS has {unknown}; expected classes of {', '.join(class_names)}"
        )
    return {ids.get(name, name): weight for name, weight in weights.items()}


def fit_recipe(config, recipe, arguments, train):
    """Shortens the warm-up of a recipe to a tenth of a short training, unless the user has set it,
    and prints what the recipe is."""
    if recipe is None:
        return
    if not any(text.startswith("WARMUP_STEPS=") for text in arguments.assignments):
        tenth = _updates(config, arguments, train) // 10
        config.WARMUP_STEPS = min(config.WARMUP_STEPS, tenth)
    keys = " ".join(f"{key}={getattr(config, key)}" for key in recipe.keys)
    print(f"{arguments.recipe}: {arguments.epochs} epochs, --augment {arguments.augment}, {keys}")


def _updates(config, arguments, train):
    """How often the weights are updated in a training, about."""
    batch = max(1, config.IMAGES_PER_GPU) * config.GPU_COUNT
    steps = config.STEPS_PER_EPOCH or math.ceil(train.num_images / batch)
    return arguments.epochs * steps // config.ACCUMULATION_STEPS


def fit_to_weights(config, weights):
    """Sets what follows from the weights that training starts from, unless the user has said it."""
    if weights == "none" and not _chosen(config, "TRAIN_BN"):
        config.TRAIN_BN = True


def layers_after(weights, start, config):
    """What trains after weights, where nobody says it: an adapted first convolution must."""
    adapted = start is None and config.IMAGE_CHANNEL_COUNT != 3  # the public weights take RGB
    return "all" if adapted or weights in ("imagenet", "none") else "heads"


def check_config(config, train, val, weights, layers):
    """Raises ValueError for what would fail later, when weights are fetched and a model built."""
    from mrcnn.data.fitting import (
        check_classes,
        check_keypoints,
        check_outlines,
        check_same_keypoints,
    )
    from mrcnn.settings import Settings
    from mrcnn.training.freezing import layer_regex_of
    from mrcnn.weights.registry import resolve

    config.validate()
    if not 0 < config.LEARNING_RATE < float("inf"):
        raise ValueError(f"LEARNING_RATE is {config.LEARNING_RATE}; expected a number above 0")
    settings = Settings.from_config(config)
    for dataset in (train, val):
        check_classes(dataset, settings)
        check_outlines(dataset, settings)
        check_keypoints(dataset, settings)
    check_same_keypoints(train, val, settings)
    if weights is not None and not os.path.exists(weights):
        resolve(weights, config)
    try:
        re.compile(layer_regex_of(layers))
    except re.error as error:
        raise ValueError(f"--layers {layers}: {error}; expected heads, 3+, 4+, 5+ or all") from None


def _chosen(config, key):
    from mrcnn.config_values import is_set

    return is_set(config, key)
