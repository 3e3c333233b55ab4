"""Pictures of several requests in one call of `detect`."""

import concurrent.futures
import threading
import time

import pytest
from serving import FakeDetector, picture

from mrcnn.serve.batching import Batcher, BatchingOptions, QueueFullError, StoppedError


@pytest.fixture
def detector():
    return FakeDetector()


@pytest.fixture
def make(detector):
    """Function of options to a `Batcher` of the detector, which is stopped at the end."""
    made = []

    def function(on_batch=None, **options):
        made.append(Batcher(detector.detect, BatchingOptions(**options), on_batch))
        return made[-1]

    yield function
    detector.open.set()
    for batcher in made:
        batcher.stop()


def occupy(batcher, detector):
    """Lets the model run until `detector.open` is set: the future of its picture."""
    detector.open.clear()
    (future,) = batcher.submit([picture(0)])
    deadline = time.monotonic() + 10
    while batcher.waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not batcher.waiting
    return future


def score(future):
    """The first pixel of the picture whose result it is."""
    return round(float(future.result(10)["scores"][0]) * 255)


def test_what_waits_is_one_batch_in_order(make, detector):
    batcher = make(max_batch=3, max_delay=0)
    first = occupy(batcher, detector)
    futures = [batcher.submit([picture(value)])[0] for value in (1, 2, 3, 4)]
    futures += batcher.submit([picture(5), picture(6)])
    detector.open.set()
    assert [score(each) for each in [first, *futures]] == [0, 1, 2, 3, 4, 5, 6]
    assert detector.batches == [[0], [1, 2, 3], [4, 5, 6]]


def test_a_batch_waits_until_it_is_full(make, detector):
    batcher = make(max_batch=2, max_delay=60)
    one = batcher.submit([picture(1)])[0]
    with pytest.raises(concurrent.futures.TimeoutError):
        one.result(0.05)
    two = batcher.submit([picture(2)])[0]
    assert (score(one), score(two)) == (1, 2) and detector.batches == [[1, 2]]


def test_a_batch_waits_no_longer_than_it_may(make, detector):
    batcher = make(max_batch=2, max_delay=0.05)
    start = time.monotonic()
    assert score(batcher.submit([picture(1)])[0]) == 1
    assert time.monotonic() - start >= 0.05


def test_a_full_queue_takes_all_or_nothing(make, detector):
    batcher = make(max_batch=1, max_waiting=3, max_delay=0)
    occupy(batcher, detector)
    kept = batcher.submit([picture(1), picture(2)])
    with pytest.raises(QueueFullError, match="2 images wait for the model and 2 more do not fit"):
        batcher.submit([picture(3), picture(4)])
    assert batcher.waiting == 2
    kept += batcher.submit([picture(5)])
    with pytest.raises(QueueFullError) as caught:
        batcher.submit([picture(6)])
    assert caught.value.retry_after == 3  # pictures, of a second each until one is known
    detector.open.set()
    assert [score(each) for each in kept] == [1, 2, 5]
    assert score(batcher.submit([picture(7)])[0]) == 7


def test_a_queue_is_full_of_pixels(make, detector):
    batcher = make(max_waiting_pixels=30)
    occupy(batcher, detector)
    kept = batcher.submit([picture(1), picture(2)])  # 3 x 4 = 12 pixels each
    with pytest.raises(QueueFullError):
        batcher.submit([picture(3)])
    detector.open.set()
    assert [score(each) for each in kept] == [1, 2]
    assert score(batcher.submit([picture(3)])[0]) == 3


def test_errors_are_those_of_their_pictures(make, detector):
    batcher = make(max_batch=4, max_delay=0)
    occupy(batcher, detector)
    futures = batcher.submit([picture(value) for value in (1, 13, 2, 14)])
    detector.open.set()
    assert (score(futures[0]), score(futures[2])) == (1, 2)
    with pytest.raises(ValueError, match=r"images\[0\]: expected luck"):
        futures[1].result(10)
    with pytest.raises(MemoryError):
        futures[3].result(10)
    assert detector.batches == [[0], [1, 13, 2, 14], [1], [13], [2], [14]]


def test_a_detector_that_loses_results(make, detector):
    batcher = make()
    batcher.detect = lambda images: []
    with pytest.raises(RuntimeError, match="1 images have 0 results"):
        batcher.submit([picture(1)])[0].result(10)


def test_who_gave_up_is_left_out(make, detector):
    batcher = make(max_delay=0)
    occupy(batcher, detector)
    gone, kept = batcher.submit([picture(1), picture(2)])
    assert gone.cancel()
    detector.open.set()
    assert score(kept) == 2 and detector.batches == [[0], [2]]


def test_stop_does_what_was_accepted(make, detector):
    batcher = make(max_batch=2, max_delay=60)
    occupied = occupy_full(batcher, detector)
    futures = batcher.submit([picture(value) for value in (1, 2, 3)])
    stopping = threading.Thread(target=batcher.stop)
    stopping.start()
    deadline = time.monotonic() + 10
    while batcher.running and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(StoppedError):
        batcher.submit([picture(4)])
    assert stopping.is_alive() and not any(each.done() for each in futures)
    detector.open.set()
    stopping.join(10)  # and the last, alone, does not wait a minute for a second one
    assert not stopping.is_alive() and all(each.done() for each in [*occupied, *futures])
    assert [score(each) for each in futures] == [1, 2, 3]
    assert detector.batches == [[8, 9], [1, 2], [3]]


def occupy_full(batcher, detector):
    detector.open.clear()
    futures = batcher.submit([picture(8), picture(9)])
    deadline = time.monotonic() + 10
    while batcher.waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    return futures


def test_batches_are_counted(make, detector):
    counted = []
    batcher = make(lambda count, seconds: counted.append((count, seconds >= 0)), max_delay=0)
    occupied = occupy(batcher, detector)
    futures = batcher.submit([picture(1), picture(13)])
    detector.open.set()
    concurrent.futures.wait([occupied, *futures], 10)
    batcher.stop()
    assert counted == [(1, True), (2, True)]
