"""What the server counts, in the text format of Prometheus (version 0.0.4).

Its own forty lines in place of a client library: one process, five families, no global registry.
"""

import bisect
import threading

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How often values were at most each of some bounds.

    Args:
        bounds: ascending numbers.
    """

    def __init__(self, bounds):
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value):
        """Counts a value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name, labels):
        """Yields the samples of the histogram; those of the buckets are cumulative."""
        total = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            total += count
            yield sample(f"{name}_bucket", {**labels, "le": bound}, total)
        yield sample(f"{name}_sum", labels, round(self.sum, 6))
        yield sample(f"{name}_count", labels, total)


def sample(name, labels, value):
    """One line of the format."""
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value}" if pairs else f"{name} {value}"


def _escaped(text):
    return str(text).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Metrics:
    """The counts of one server; any thread may add to them."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests, self._seconds = {}, {}  # by (route, status); by route
        self._images = {"detected": 0, "refused": 0}
        self._batch_sizes, self._batch_seconds = Histogram(SIZES), Histogram(SECONDS)

    def add_request(self, route, status, seconds):
        """Counts an answer.

        Args:
            route: str, the pattern of the path, not the path: clients choose that.
            status: int, of HTTP.
            seconds: float, from the first byte of the request to the last of the answer.
        """
        with self._lock:
            self._requests[route, status] = self._requests.get((route, status), 0) + 1
            self._seconds.setdefault(route, Histogram(SECONDS)).add(seconds)

    def add_images(self, detected, refused):
        """Counts pictures that were detected in, and those that could not be."""
        with self._lock:
            self._images["detected"] += detected
            self._images["refused"] += refused

    def add_batch(self, count, seconds):
        """Counts a call of the model: its pictures, and how long it took."""
        with self._lock:
            self._batch_sizes.add(count)
            self._batch_seconds.add(seconds)

    def text(self, queue_length, in_flight):
        """All counts.

        Args:
            queue_length: int, pictures that wait now.
            in_flight: int, requests that are being answered now.
        """
        with self._lock:
            families = [
                ("requests_total", "counter", "Answers by route and status.", self._answers()),
                (
                    *("request_seconds", "histogram", "Time from request to answer."),
                    self._latencies(),
                ),
                (
                    *("images_total", "counter", "Pictures by what became of them."),
                    [
                        sample("mrcnn_images_total", {"outcome": name}, count)
                        for name, count in self._images.items()
                    ],
                ),
                (
                    *("batch_size", "histogram", "Pictures of one call of the model."),
                    self._batch_sizes.lines("mrcnn_batch_size", {}),
                ),
                (
                    *("batch_seconds", "histogram", "Time of one call of the model."),
                    self._batch_seconds.lines("mrcnn_batch_seconds", {}),
                ),
                _gauge("queue_length", "Pictures that wait for the model.", queue_length),
                _gauge("requests_in_flight", "Requests that are being answered.", in_flight),
            ]
            lines = []
            for name, kind, about, samples in families:
                lines += [f"# HELP mrcnn_{name} {about}", f"# TYPE mrcnn_{name} {kind}", *samples]
        return "\n".join(lines) + "\n"

    def _answers(self):
        for (route, status), count in sorted(self._requests.items()):
            labels = {"route": route, "status": status}
            yield sample("mrcnn_requests_total", labels, count)

    def _latencies(self):
        for route, histogram in sorted(self._seconds.items()):
            yield from histogram.lines("mrcnn_request_seconds", {"route": route})


def _gauge(name, about, value):
    return name, "gauge", about, [sample(f"mrcnn_{name}", {}, value)]
