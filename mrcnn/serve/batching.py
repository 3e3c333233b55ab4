"""Pictures of several requests in one call of `detect`, and no more of them than fit.

One thread runs the model. While it works the next batch gathers; when it is free, it waits for one
to fill up only as long as the oldest picture may be kept waiting.
"""

import collections
import concurrent.futures
import dataclasses
import math
import threading
import time

import numpy as np


class QueueFullError(Exception):
    """Too many pictures wait already.

    Attributes:
        retry_after: int, seconds after which there may be room.
    """

    def __init__(self, message, retry_after):
        super().__init__(message)
        self.retry_after = retry_after


class StoppedError(Exception):
    """Nothing is accepted any more."""


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """When a batch is run, and what may wait for it.

    Args:
        max_batch: int, pictures of a batch.
        max_delay: float, seconds that the oldest picture waits for others while the model is idle.
        max_waiting: int, pictures in the queue.
        max_waiting_pixels: int, height times width of these together.
    """

    max_batch: int = 4
    max_delay: float = 0.01
    max_waiting: int = 64
    max_waiting_pixels: int = 2**28


@dataclasses.dataclass
class _Waiting:
    image: np.ndarray
    future: concurrent.futures.Future
    arrived: float


class Batcher:
    """A bounded queue of pictures in front of a detector; any thread may submit.

    Args:
        detect: function of a list of images to the list of their results.
        options: `BatchingOptions`.
        on_batch: function (int number of pictures, float seconds), called after each batch, or
            None.
    """

    def __init__(self, detect, options, on_batch=None):
        self.detect, self.options, self.on_batch = detect, options, on_batch
        self._waiting = collections.deque()
        self._pixels = 0
        self._stopping = False
        self._seconds = 1.0  # that a picture takes, a running mean
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self):
        """int, pictures in the queue."""
        return len(self._waiting)

    @property
    def running(self):
        """bool, whether pictures are accepted."""
        return self._thread.is_alive() and not self._stopping

    @property
    def retry_after(self):
        """int, whole seconds in which what waits now is about done."""
        return max(1, math.ceil(self._seconds * len(self._waiting)))

    def submit(self, images):
        """Puts pictures into the queue, all of them or none.

        Args:
            images: list of arrays [H, W, ...].

        Returns:
            list of `concurrent.futures.Future`, one for each: its result, or what `detect` raised
            for this picture alone.

        Raises:
            QueueFullError: there is no room for them.
            StoppedError: after `stop`.
        """
        pixels = sum(map(_pixels, images))
        with self._changed:
            if self._stopping:
                raise StoppedError("the server is stopping")
            options, count = self.options, len(self._waiting) + len(images)
            if count > options.max_waiting or self._pixels + pixels > options.max_waiting_pixels:
                raise QueueFullError(
                    f"{len(self._waiting)} images wait for the model and {len(images)} more do not "
                    f"fit; at most {options.max_waiting} may wait",
                    self.retry_after,
                )
            now = time.monotonic()
            entries = [_Waiting(image, concurrent.futures.Future(), now) for image in images]
            self._waiting.extend(entries)
            self._pixels += pixels
            self._changed.notify_all()
        return [entry.future for entry in entries]

    def stop(self):
        """Accepts nothing more, and returns when all that was accepted is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self):
        while batch := self._take():
            running = [each for each in batch if each.future.set_running_or_notify_cancel()]
            if running:
                start = time.monotonic()
                self._detect(running)
                self._count(len(running), time.monotonic() - start)

    def _take(self):
        """The next batch, when there is one; empty at the end."""
        options = self.options
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            while self._waiting and len(self._waiting) < options.max_batch and not self._stopping:
                left = self._waiting[0].arrived + options.max_delay - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            count = min(options.max_batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            self._pixels -= sum(_pixels(each.image) for each in batch)
            return batch

    def _detect(self, batch):
        """Gives each future its result; where a batch fails, each picture is tried alone."""
        try:
            results = self.detect([each.image for each in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} images have {len(results)} results")
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                for each in batch:
                    self._detect([each])
            return
        for each, result in zip(batch, results, strict=True):
            each.future.set_result(result)

    def _count(self, count, seconds):
        self._seconds += 0.2 * (seconds / count - self._seconds)
        if self.on_batch:
            self.on_batch(count, seconds)


def _pixels(image):
    return image.shape[0] * image.shape[1]
