"""What the hosts of one training agree on before its first step."""

import zlib

import keras
import numpy as np


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


def agree_on_training(hosts, position, model):
    """Checks that all hosts train the same: their steps are of one program.

    Args:
        hosts: `mrcnn.parallel.Hosts` or `OneHost`.
        position: `mrcnn.training.state.Position` that it begins at.
        model: keras.Model.

    Raises:
        ValueError: one of them has other data, keys or weights.
    """
    if hosts.count == 1:
        return
    for name, value in position.facts.items():
        hosts.check_same(name, value)
    hosts.check_same("position", [position.epoch, position.step, position.seed])
    sums = [_checksum(variable) for variable in model.variables]
    hosts.check_same("weights (their checksum)", zlib.crc32(np.array(sums, np.int64)))


def _checksum(variable):
    return zlib.crc32(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)))
