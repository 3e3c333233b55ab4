"""Several devices, of one host or of several: one program, each device with its part of a batch.

`GPU_COUNT` says how many; the models ask `devices_for` when they are built. Processes of several
hosts `join` before: see docs/scale.md.
"""

from mrcnn.parallel.devices import Devices, OneDevice, available, devices_for
from mrcnn.parallel.hosts import Hosts, OneHost, join, joined
from mrcnn.parallel.shares import share

__all__ = [
    "Devices",
    "Hosts",
    "OneDevice",
    "OneHost",
    "available",
    "devices_for",
    "join",
    "joined",
    "share",
]
