"""Named ways to train, as data: what `mrcnn train --recipe NAME` takes.

A recipe says how long, how fast and how carefully to train. What the network is and how it sees
its pictures is left to presets and keys. What each reached is in docs/training.md.
"""

import dataclasses

# The norms of a trained backbone keep their scales and shifts, as they keep their statistics.
ALL_BUT_NORMS = r"(?!bn|.*_bn$).*"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way to train.

    Attributes:
        about: what it is for, in a line.
        epochs: int; in each, every picture once unless `STEPS_PER_EPOCH` is set.
        layers: those that train, as `MaskRCNN.train` takes them.
        augment: name of an augmentation, see `mrcnn.augment.named`.
        keys: dict, keys of the config.
        weights: what `mrcnn train` starts from, as its `--weights` takes it; None: the best that
            there is for the network.

    Example:

    >>> recipe = RECIPES["finetune"]
    >>> config = recipe.apply(config)  # doctest: +SKIP
    >>> model.train(
    ...     *(train, val, config.LEARNING_RATE, recipe.epochs, recipe.layers),
    ...     augmentation=named(recipe.augment),
    ... )  # doctest: +SKIP
    """

    about: str
    epochs: int
    layers: str
    augment: str
    keys: dict
    weights: str | None = None

    def apply(self, config):
        """Sets the keys of a config, which is returned."""
        vars(config).update(self.keys)
        return config


RECIPES = {
    "finetune": Recipe(
        "from trained weights, for tens to hundreds of pictures",
        epochs=60,
        layers=ALL_BUT_NORMS,
        augment="photo",
        keys={
            "LEARNING_RATE": 0.01,
            "LEARNING_SCHEDULE": "cosine",
            "WARMUP_STEPS": 100,
            "EMA_MOMENTUM": 0.99,
        },
    ),
    "scratch": Recipe(
        "without trained weights",
        epochs=100,
        layers="all",
        augment="photo",
        keys={
            "TRAIN_BN": True,
            "OPTIMIZER": "adamw",
            "LEARNING_RATE": 0.001,
            "WEIGHT_DECAY": 0.05,
            "LEARNING_SCHEDULE": "one_cycle",
            "EMA_MOMENTUM": 0.99,
        },
        weights="none",
    ),
    "long": Recipe(
        "from trained weights, where there are hours",
        epochs=200,
        layers=ALL_BUT_NORMS,
        augment="copypaste",
        keys={
            "LEARNING_RATE": 0.01,
            "LEARNING_SCHEDULE": "cosine",
            "WARMUP_STEPS": 500,
            "EMA_MOMENTUM": 0.999,
            "EARLY_STOPPING": 50,
        },
    ),
}
