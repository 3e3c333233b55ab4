"""The model that a tool's options name, as the commands of `mrcnn` find it."""

import argparse


def load_model(weights, config=None, preset=None, **keys):
    """Builds a model that detects, from what `mrcnn detect WEIGHTS` takes.

    Args:
        weights: path of a file, of the folder of a run or of an exported file, or a name of
            `mrcnn weights list`.
        config: path of a config in YAML or Python; None: that of the weights.
        preset: name of one of `mrcnn.presets.PRESETS`, or None.
        **keys: of the config: `DETECTION_MIN_CONFIDENCE=0.5`.

    Returns:
        `DetectionModel` with `class_names`, or `ExportedModel`.

    Raises:
        ValueError: no such weights, or weights that detect nothing.

    Example:

    >>> model = load_model("runs/train")  # doctest: +SKIP
    """
    from mrcnn.cli.model_arguments import model_of

    arguments = argparse.Namespace(
        weights=str(weights), config=config, preset=preset, runs="runs", assignments=[]
    )
    return model_of(arguments, **keys).build()
