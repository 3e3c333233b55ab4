"""The pictures that int8 takes its ranges from, and those on which it is scored."""

import warnings
from pathlib import Path

from mrcnn.cli.training_data import load_train, load_validation_data, subsets_of


def load_calibration_data(arguments, trained):
    """What `mrcnn.export.export_int8` takes as `pictures` and `dataset`.

    Args:
        arguments: with those of the data; `data` is a data set, or a folder of pictures.
        trained: `mrcnn.cli.model_arguments.TrainedModel`.

    Returns:
        pictures: the training part of a data set, all of it where it has none; or paths.
        dataset: the part to score on, see `load_validation_data`; None of a folder of pictures.
    """
    if not _has_annotations(arguments):
        return _pictures(arguments.data), None
    dataset = load_scored_data(arguments, trained)
    return load_train(arguments, subsets_of(arguments, arguments.data), trained.config), dataset


def load_scored_data(arguments, trained):
    """The data set that a model is scored on, with its classes."""
    from mrcnn.data.splitting import number_classes

    dataset = load_validation_data(arguments, trained.weights, trained.config)
    if trained.class_names is not None:
        number_classes(dataset, trained.class_names, trained.config.NUM_STUFF_CLASSES or None)
    return dataset


def _has_annotations(arguments):
    from mrcnn.data.formats import FORMATS
    from mrcnn.data.remote import local_data

    path = Path(local_data(arguments.data))
    return arguments.format or not path.is_dir() or any(x.find(path) for x in FORMATS.values())


def _pictures(folder):
    from mrcnn.data.remote import local_data
    from mrcnn.inference.inputs import find_sources

    paths = [source.path for source in find_sources(local_data(folder)) if not source.is_video]
    warnings.warn(
        f"{folder} has no annotations: what int8 costs is not known before `mrcnn evaluate`",
        stacklevel=2,
    )
    return paths
