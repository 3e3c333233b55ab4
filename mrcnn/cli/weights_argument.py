"""What `--weights` means: a name of public weights, a file, or a run."""

import os

from mrcnn.files.remote import is_folder

_EXPECTED = (
    "expected coco, imagenet, none, last, a weight file, the folder of a run, or a name of "
    "`mrcnn weights list`"
)


def file_of(weights, runs, best=False):
    """The path that a text means, None where it is a name of public weights or "none".

    Args:
        weights: str.
        runs: path of the folder of runs, for "last".
        best: bool, whether of a run the weights that scored best are meant, where it has such.

    Raises:
        ValueError: neither a name nor a file; a folder without a checkpoint.
        OSError: a remote file that cannot be fetched.
    """
    from mrcnn.weights.registry import REGISTRY
    from mrcnn.weights.remote import local_weights

    names = ("coco", "imagenet", "none", *(entry.name for entry in REGISTRY))
    if weights in names:
        return None
    if weights == "last" or is_folder(weights):
        from mrcnn.training.runs import best_checkpoint, newest_checkpoint

        path = newest_checkpoint(runs if weights == "last" else weights)
        return local_weights(best_checkpoint(os.path.dirname(path)) or path if best else path)
    weights = local_weights(weights)
    if not os.path.isfile(weights):
        raise ValueError(f"no weights {weights!r}; {_EXPECTED}")
    return weights


def best_start(config):
    """Public weights to train from: "coco" or "imagenet" where there are such, else "none"."""
    from mrcnn.weights.registry import for_config

    for kind in ("coco", "imagenet"):
        try:
            for_config(kind, config)
        except ValueError:
            continue
        return kind
    return "none"
