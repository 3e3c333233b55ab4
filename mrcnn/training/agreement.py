"""What the hosts of one training agree on before its first step."""

import os
import re
import zlib

import keras
import numpy as np

from mrcnn.config_values import plain_values

_OF_A_HOST = {"NAME", "WORKERS"}  # NAME may be that of the folder of its data


def agree_on_start(hosts, saved):
    """Checks that all hosts begin anew, or go on from one state.

    Args:
        hosts: `mrcnn.parallel.Hosts` or `OneHost`.
        saved: (path, `mrcnn.training.state.Position`), or None.

    Raises:
        ValueError: another host has another state, or none.
    """
    place = None if saved is None else [saved[1].epoch, saved[1].step]
    hosts.check_same("state to resume, of a folder that all see (epochs and steps done)", place)


def agree_on_training(hosts, position, model, config, generator, augmentation):
    """Checks that all hosts train the same: their steps are of one program.

    Args:
        hosts: `mrcnn.parallel.Hosts` or `OneHost`.
        position: `mrcnn.training.state.Position` that it begins at.
        model: keras.Model.
        config: `Config`; what each host may have of its own is not compared.
        generator: `DataGenerator` of the training.
        augmentation: as the user gave it.

    Raises:
        ValueError: one of them has other data, keys, augmentation or weights.
    """
    if hosts.count == 1:
        return
    for name, value in position.facts.items():
        hosts.check_same(name, value)
    for name, value in plain_values(config).items():
        if name not in _OF_A_HOST:
            hosts.check_same(name, value)
    hosts.check_same("augmentation", _told(augmentation))
    infos = [generator.dataset.image_info[image_id] for image_id in generator.image_ids]
    hosts.check_same("images, in their order (checksum of ids and paths)", sum_of_images(infos))
    hosts.check_same("position", [position.epoch, position.step, position.seed])
    sums = [_checksum(variable) for variable in model.variables]
    hosts.check_same("weights (their checksum)", zlib.crc32(np.array(sums, np.int64)))


def sum_of_images(infos):
    """A checksum of images, the same wherever the folder of the data lies.

    Args:
        infos: list of dicts, of `Dataset.image_info`.

    Returns:
        int, of sources, ids and the paths below the folder that all have in common.
    """
    paths = [str(info.get("path") or "").replace(os.sep, "/") for info in infos]
    given = list(filter(None, paths))
    ends = [min(given), max(given)] if given else [""]
    folder = os.path.commonprefix(ends).rpartition("/")[0]  # noqa: RUF071  cut at a "/"
    found = 0
    for info, path in zip(infos, paths, strict=True):
        facts = info["source"], str(info["id"]).removeprefix(folder), path.removeprefix(folder)
        found = zlib.crc32(repr(facts).encode(), found)
    return found


def _told(augmentation):
    """An augmentation as it prints itself, without where it lies in memory."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(augmentation))


def _checksum(variable):
    return zlib.crc32(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)))
