"""Which images of a batch each host reads: no two the same one, all of them together every one."""

import dataclasses


def share(count, devices, host, hosts):
    """The rows of a batch that a host reads: those that its devices have.

    Each device has as many rows as the others, so where they do not divide the batch the last ones
    have fewer images, or none.

    Args:
        count: int, images of the batch.
        devices: int, of each host.
        host: int, from 0 on.
        hosts: int.

    Returns:
        range.

    Example:

    >>> [list(share(5, devices=1, host=i, hosts=3)) for i in range(3)]
    [[0, 1], [2, 3], [4]]
    """
    rows = -(-count // (devices * hosts)) * devices
    return range(min(count, host * rows), min(count, (host + 1) * rows))


@dataclasses.dataclass(frozen=True)
class Share:
    """What a `DataGenerator` of one of several hosts makes of each batch.

    Attributes:
        hosts: `mrcnn.parallel.hosts.Hosts`.
        devices: int, of each host.
    """

    hosts: object
    devices: int

    def rows(self, count):
        """The rows of a batch of `count` images, a range."""
        return share(count, self.devices, self.hosts.index, self.hosts.count)

    def largest(self, name, sides):
        """(height, width) that holds the images of all hosts.

        Args:
            name: str, of the batch; the same on all hosts.
            sides: (height, width) of this host's images, (0, 0) without any.
        """
        return tuple(map(max, zip(*self.hosts.gather(name, sides), strict=True)))
