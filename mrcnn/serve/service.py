"""What all protocols share: a detector, its queue, its limits and its counts."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses

from mrcnn.serve.batching import Batcher, BatchingOptions, QueueFullError, StoppedError
from mrcnn.serve.bodies import Bodies
from mrcnn.serve.errors import RequestError
from mrcnn.serve.limits import Limits
from mrcnn.serve.logs import LOGGER
from mrcnn.serve.metrics import Metrics
from mrcnn.serve.pictures import load_images
from mrcnn.serve.protocols.outputs import declared_outputs

VERSION = "1"  # of the model: a server has one
_WORKERS = 4  # threads that decode pictures and write answers


class Service:
    """A detector that many requests share. Its coroutines belong to one event loop.

    Args:
        detector: has `detect`, a function of a list of images to their `Detections`, and
            `class_names`, a list by class id with "BG" first, or None. A `DetectionModel`.
        name: str, of the model in the paths.
        num_classes: int, background included; None: as many as there are names.
        has_masks: bool, whether results have masks.
        limits: `Limits` of a request.
        batching: `BatchingOptions`; as many requests as pictures may wait are in flight, those not
            counted whose bodies are on their way.
        has_keypoints: bool, whether results have keypoints.

    Attributes:
        metrics: `Metrics`.
        in_flight: int, requests that are being answered.
    """

    def __init__(
        self,
        detector,
        name="mrcnn",
        num_classes=None,
        has_masks=True,
        limits=None,
        batching=None,
        has_keypoints=False,
    ):
        self.batching = batching or BatchingOptions()
        limits = limits or Limits()
        # What could never find room is refused as too large, not as too early.
        most = min(limits.images, self.batching.max_waiting)
        self.limits = dataclasses.replace(limits, images=most)
        if self.batching.max_waiting_pixels < self.limits.request_pixels:
            raise ValueError(
                f"max_waiting_pixels is {self.batching.max_waiting_pixels}; expected at least the "
                f"{self.limits.request_pixels} of one request"
            )
        self.name, self.has_masks, self.has_keypoints = name, has_masks, has_keypoints
        self.class_names = detector.class_names
        self.num_classes = num_classes or len(self.class_names)
        self.metrics, self.in_flight = Metrics(), 0
        self._bodies = Bodies(self.limits)
        self.batcher = Batcher(detector.detect, self.batching, self.metrics.add_batch)
        self._workers = concurrent.futures.ThreadPoolExecutor(_WORKERS, "worker")

    def declared_outputs(self, masks="rle"):
        """The tensors that `/v1` and `/v2` answer with, see `mrcnn.serve.protocols.outputs`."""
        return declared_outputs(self.has_masks, self.has_keypoints, masks)

    @contextlib.asynccontextmanager
    async def admitted(self, request):
        """Around the answer to a request: gives its body, bytes.

        Args:
            request: `fastapi.Request`.

        Raises:
            RequestError: as many requests as may be are in flight, before its body is read or
                after that; or see `Bodies.read`.
        """
        self._check_room()
        body = await self._bodies.read(request)
        self._check_room()
        self.in_flight += 1
        try:
            yield body
        finally:
            self.in_flight -= 1

    def _check_room(self):
        if self.in_flight >= self.batching.max_waiting:
            raise _full(f"{self.in_flight} requests are being answered", self.batcher.retry_after)

    async def compute(self, function, *arguments):
        """The value of a function that takes long, from a thread of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, function, *arguments)

    async def detect(self, items):
        """What is found in the pictures of a request.

        Args:
            items: list of bytes, arrays and `RequestError`s, see `load_images`.

        Returns:
            list of (`Detections`, (height, width)), or of a `RequestError` for a picture without.

        Raises:
            RequestError: the request as a whole is refused.
        """
        results = await self.compute(load_images, items, self.limits)
        good = [i for i, image in enumerate(results) if not isinstance(image, RequestError)]
        try:
            futures = self.batcher.submit([results[i] for i in good])
        except QueueFullError as error:
            raise _full(str(error), error.retry_after) from None
        except StoppedError as error:
            raise RequestError(503, f"{error}; ask again, or another one", 1) from None
        waiting = map(asyncio.wrap_future, futures)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        for i, outcome in zip(good, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                results[i] = _refused(i, outcome)
            else:
                results[i] = outcome, results[i].shape[:2]
        refused = sum(isinstance(each, RequestError) for each in results)
        self.metrics.add_images(len(results) - refused, refused)
        return results

    def stop(self):
        """Returns when all that was accepted is done."""
        self.batcher.stop()
        self._workers.shutdown()


def _full(reason, retry_after):
    return RequestError(429, f"{reason}; ask again after {retry_after} s", retry_after)


def _refused(i, error):
    """What a picture is answered for which the model raised an error."""
    if isinstance(error, ValueError):  # what `detect` says of images that it cannot use
        return RequestError(400, f"images[{i}]: {str(error).removeprefix('images[0]: ')}")
    LOGGER.error("the model failed", exc_info=error)
    return RequestError(500, f"images[{i}]: the model failed ({type(error).__name__}); see the log")
