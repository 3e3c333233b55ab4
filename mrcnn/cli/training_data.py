"""The data sets that `mrcnn train` trains and validates on."""

import argparse
import os
from pathlib import Path

from mrcnn.cli.data_arguments import load_data

SHARE = 0.2  # of the pictures validate, where nothing else is said


def load_training_data(arguments, config=None):
    """The data set to train on, and the one to validate on, with the classes of the first.

    `arguments.split` is then the share that was held out, also where nobody said one.

    Args:
        arguments: with those of the data, of the split and `val`.
        config: `Config` that says which channels the pictures have; by default three.

    Raises:
        ValueError: data that cannot be read, classes of the validation that training has not.
    """
    from mrcnn.data.remote import local_data
    from mrcnn.data.splitting import number_classes, split

    if arguments.val and arguments.split is not None:
        raise ValueError("expected --val or --split, received both")
    subsets = subsets_of(arguments, arguments.data)
    alone = len(subsets) == 1 and not subsets & {"val", "test"}
    if "train" not in subsets and not alone and Path(local_data(arguments.data)).is_dir():
        raise ValueError(
            f"{arguments.data}: expected a subset train, found {', '.join(sorted(subsets))}; give "
            "the folder or file of one as DATA, and that of another with --val"
        )
    train = load_train(arguments, subsets, config)
    if arguments.val:
        subset = _val_of(arguments, arguments.val)
        val = load_data(_elsewhere(arguments), arguments.val, subset, config)
    elif arguments.split is None and "val" in subsets:
        val = load_data(arguments, arguments.data, "val", config)
    else:
        arguments.split = SHARE if arguments.split is None else arguments.split
        train, val = split(train, arguments.split, arguments.seed)
        print(
            f"{val.num_images} of the pictures validate, {train.num_images} train: "
            f"--split {arguments.split:g} --seed {arguments.seed}; --val names other data"
        )
    try:
        number_classes(val, train.class_names, train.num_stuff_classes)
    except ValueError as error:
        raise ValueError(f"validation data: {error}") from None
    both = {_path(x) for x in train.image_info} & {_path(x) for x in val.image_info}
    if both:
        print(f"Warning: {len(both)} pictures both train and validate, {min(both)} for example")
    return train, val


def load_validation_data(arguments, weights=None, config=None):
    """The data set to evaluate on: the subset of the arguments; else what the training of the
    weights held out of these data; else val where there is one.

    Args:
        arguments: with those of the data, and `subset`.
        weights: path of a checkpoint, or None.
        config: `Config` that says which channels the pictures have; by default three.
    """
    known = not arguments.subset and weights is not None
    held_out = _held_out(arguments, weights, config) if known else None
    if held_out is not None:
        return held_out
    subset = arguments.subset or _val_of(arguments, arguments.data)
    return load_data(arguments, arguments.data, subset, config)


def _held_out(arguments, weights, config):
    """The pictures that a run did not train on, though they are of the same data; or None."""
    from mrcnn.data.splitting import split
    from mrcnn.weights.file_config import run_beside

    run = run_beside(weights)
    share, seed = run.get("split"), run.get("seed")
    if share is None or _place(str(run.get("data"))) != _place(arguments.data):
        return None
    whole = load_train(arguments, subsets_of(arguments, arguments.data), config)
    _, held_out = split(whole, share, seed)
    print(f"{held_out.num_images} of the pictures did not train: --split {share:g} --seed {seed}")
    return held_out


def _place(data):
    """DATA as it can be compared."""
    from mrcnn.files.remote import is_remote, without_file_scheme

    return data.rstrip("/") if is_remote(data) else os.path.realpath(without_file_scheme(data))


def load_train(arguments, subsets, config=None):
    """The subset train of DATA, or all where there is none."""
    subset = "train" if "train" in subsets else None
    return load_data(arguments, arguments.data, subset, config)


def subsets_of(arguments, path):
    """The subsets that the data at a path have, by the names that all formats share."""
    from mrcnn.data.annotations.subsets import subset_of
    from mrcnn.data.loading import subsets

    return {subset_of(name) or name for name in subsets(path, arguments.format)}


def _val_of(arguments, path):
    return "val" if "val" in subsets_of(arguments, path) else None


def _elsewhere(arguments):
    """The arguments for other data than DATA, whose pictures lie elsewhere."""
    return argparse.Namespace(**{**vars(arguments), "images": None})


def _path(info):
    return str(info["path"])
