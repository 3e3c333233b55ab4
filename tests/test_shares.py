"""Each image of an epoch is read by one host, whatever their number."""

import random

import numpy as np
import pytest
from tiny import TinyConfig, shapes

from mrcnn.data.generator import DataGenerator
from mrcnn.parallel import share
from mrcnn.parallel.shares import Share


def test_hosts_read_the_rows_of_their_devices():
    # Five images on two hosts of two devices: two rows a device, the last one has none.
    assert [list(share(5, devices=2, host=i, hosts=2)) for i in (0, 1)] == [[0, 1, 2, 3], [4]]
    # Sixteen on four hosts of two devices.
    assert share(16, devices=2, host=3, hosts=4) == range(12, 16)
    assert [len(share(2, devices=1, host=i, hosts=3)) for i in range(3)] == [1, 1, 0]


def test_shares_are_disjoint_and_complete():
    draw = random.Random(0)
    for _ in range(500):
        hosts, devices, count = draw.randint(1, 9), draw.randint(1, 8), draw.randint(1, 600)
        rows = [list(share(count, devices, host, hosts)) for host in range(hosts)]
        assert [i for each in rows for i in each] == list(range(count)), (hosts, devices, count)
        most = -(-count // (hosts * devices)) * devices  # what no host has more of
        assert max(map(len, rows)) <= most, (hosts, devices, count)


class Host:
    """One of several hosts, whose images are as large as all others'."""

    def __init__(self, index, count):
        self.index, self.count = index, count

    def gather(self, name, sides):
        return [sides, (64, 64)]


@pytest.mark.parametrize("hosts", [1, 2, 3, 5])
def test_an_epoch_has_every_image_once_and_each_batch_its_order(hosts):
    config, dataset = TinyConfig(), shapes(11)
    config.IMAGES_PER_GPU = 4
    whole = DataGenerator(dataset, config)
    parts = [
        DataGenerator(dataset, config, share=Share(Host(i, hosts), devices=1)) for i in range(hosts)
    ]
    for epoch in (0, 1):
        read = []
        for each in (whole, *parts):
            each.epoch = epoch
        for index in range(len(whole)):
            (expected,) = whole[index]
            found = [part[index][0] for part in parts]
            read += [i for part in parts for i in part.made_of[index]]
            assert whole.images_of(index) == len(expected["input_image"])
            for name, array in expected.items():
                together = np.concatenate([each[name] for each in found])
                np.testing.assert_array_equal(together, array, err_msg=name)
        assert sorted(read) == list(range(11))


def test_padding_is_that_of_the_largest_image_of_all_hosts():
    config = TinyConfig()
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM = "shortest_edge", 64

    class Larger(Host):
        def gather(self, name, sides):
            assert name.startswith("sides shuffled")
            return [sides, (96, 32)]

    generator = DataGenerator(shapes(2), config, share=Share(Larger(0, 2), devices=1))
    (inputs,) = generator[0]
    # Its own image is 64 x 64; the other host's is higher, so both are padded to 96 x 64.
    assert inputs["input_image"].shape == (1, 96, 64, 3)
    assert not inputs["input_image"][0, 64:].any()
    assert inputs["input_image_meta"][0, 4:6].tolist() == [96, 64]
