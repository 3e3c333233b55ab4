"""Decoded pictures that stay in memory: within a bound, and without a change of any batch."""

import gc
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tiny import TinyConfig, shapes

from mrcnn.data import DataGenerator
from mrcnn.data.image_loading import load_checked_image
from mrcnn.data.picture_cache import _OF_DATASETS, PictureCache, picture_cache
from mrcnn.image.channels import Channels
from mrcnn.settings import Settings


def config(**keys):
    return type("AConfig", (TinyConfig,), {"IMAGE_CACHE_MB": 1, **keys})()


def counted(count):
    """Pictures of 64 x 64 x 3 = 12,288 bytes, and a list of those that were loaded."""
    dataset, loaded = shapes(count), []
    load = dataset.load_image
    dataset.load_image = lambda image_id: loaded.append(int(image_id)) or load(image_id)
    return dataset, loaded


def test_the_bound_holds_with_threads():
    draw = random.Random(0)
    for _ in range(20):
        limit = draw.randint(0, 4000)
        sizes = [draw.randint(1, 1500) for _ in range(40)]
        cache, most = PictureCache(limit), []
        barrier = threading.Barrier(4)

        def work(seed, cache=cache, sizes=sizes, most=most, barrier=barrier):
            keys = random.Random(seed).choices(range(40), k=100)
            barrier.wait()
            for key in keys:
                image = cache.get(key, lambda key=key: np.full(sizes[key], key, np.uint8))
                assert image.shape == (sizes[key],) and (image == key).all()
                most.append(cache.nbytes)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        kept = sum(image.nbytes for image in cache._pictures.values())
        assert kept == cache.nbytes == max(most) <= limit


def test_what_does_not_fit_is_not_kept_and_drops_nothing():
    cache, loads = PictureCache(10), []

    def get(key, size):
        return cache.get(key, lambda: loads.append(key) or np.zeros(size, np.uint8))

    for key, size in (("a", 6), ("larger", 11), ("next", 5), ("b", 4)):
        get(key, size)
    assert cache.nbytes == 10
    loads.clear()
    for key, size in (("a", 6), ("larger", 11), ("next", 5), ("b", 4)):
        get(key, size)
    assert loads == ["larger", "next"]


def test_a_view_is_kept_without_what_it_is_a_view_of():
    cache = PictureCache(100)
    whole = np.zeros((5, 5, 4), np.uint8)
    cache.get("a", lambda: whole[:, :, :3])
    assert cache.nbytes == 75 and cache._pictures["a"].base is None
    whole[:] = 1  # the data set's own array
    assert not cache.get("a", None).any()


def test_batches_are_the_same_and_pictures_are_read_once():
    plain = DataGenerator(shapes(9), config(IMAGE_CACHE_MB=0))
    dataset, loaded = counted(9)
    cached = DataGenerator(dataset, config())
    for epoch in range(3):
        plain.epoch = cached.epoch = epoch
        with ThreadPoolExecutor(3) as pool:
            batches = list(pool.map(cached.__getitem__, range(len(cached))))
        for index, (found,) in enumerate(batches):
            for name, array in plain[index][0].items():
                np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert sorted(loaded) == list(range(9))
    assert picture_cache(dataset, 1).nbytes == 9 * 12288


def test_a_share_that_fits_saves_its_share_of_each_epoch():
    # 81 of 162 pictures of 12,288 bytes are 995,328 bytes; one more would be above a MB.
    dataset, loaded = counted(162)
    settings = Settings.from_config(config())
    for epoch in range(3):
        loaded.clear()
        for image_id in np.random.default_rng(epoch).permutation(162):
            load_checked_image(dataset, settings, image_id)
        assert len(loaded) == (162 if epoch == 0 else 81)


def test_an_augmentation_that_writes_in_place_does_not_reach_what_is_kept():
    def black(image, masks):
        image[:] = 0
        return image, masks

    dataset, loaded = counted(3)
    expected = [dataset.load_image(i).copy() for i in range(3)]
    loaded.clear()
    generator = DataGenerator(dataset, config(MEAN_PIXEL=np.zeros(3)), augmentation=black)
    for epoch in range(2):
        generator.epoch = epoch
        assert all(not batch[0]["input_image"].any() for batch in generator)
    assert sorted(loaded) == [0, 1, 2]
    for image_id in range(3):
        found = load_checked_image(dataset, generator.settings, image_id)
        np.testing.assert_array_equal(found, expected[image_id])


def test_data_sets_channels_and_bounds_do_not_mix():
    first, second = shapes(2, seed=1), shapes(2, seed=2)
    settings = Settings.from_config(config())
    images = [load_checked_image(x, settings, 0) for x in (first, second)]
    assert (images[0] != images[1]).any()
    for dataset, image in zip((first, second), images, strict=True):
        np.testing.assert_array_equal(load_checked_image(dataset, settings, 0), image)
    grey = Settings.from_config(config(IMAGE_CHANNEL_COUNT=1, MEAN_PIXEL=np.zeros(1)))
    first.channels = Channels(1)
    assert load_checked_image(first, grey, 0).shape == (64, 64, 1)
    first.channels = Channels(3)
    assert load_checked_image(first, settings, 0).shape == (64, 64, 3)
    assert picture_cache(first, 2) is not picture_cache(second, 2)
    assert picture_cache(first, 2).nbytes == 0  # it begins anew


def test_it_ends_with_its_data_set():
    gc.collect()
    before = len(_OF_DATASETS)
    dataset = shapes(1)
    load_checked_image(dataset, Settings.from_config(config()), 0)
    assert len(_OF_DATASETS) == before + 1
    del dataset
    gc.collect()
    assert len(_OF_DATASETS) == before


def test_without_the_key_nothing_is_kept():
    dataset, loaded = counted(1)
    settings = Settings.from_config(TinyConfig())
    for _ in range(2):
        load_checked_image(dataset, settings, 0)
    assert loaded == [0, 0]
