"""What benchmarks of `mrcnn serve` share: the server in its own process, and its clients."""

import contextlib
import http.client
import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import machine
import numpy as np
from PIL import Image
from pycocotools.mask import decode

from mrcnn.data.shapes import ShapesDataset

POLL = 0.2  # seconds between two looks at the server's memory


class ServerProcess:
    """`mrcnn serve` of some weights; any client may use it at `host`, `port`.

    Args:
        arguments: list of str, those of the command.
        log: path of the file that takes its stderr.
    """

    def __init__(self, arguments, log):
        self.log = Path(log)
        command = [sys.executable, "-m", "mrcnn", "serve", *arguments, "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(machine.ROOT)}
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=file, text=True, env=environment
            )
        told = next((line for line in self.process.stdout if " at http" in line), None)
        if told is None:
            sys.exit(f"the server did not start:\n{self.log.read_text()[-2000:]}")
        self.host, port = re.search(r"http://([\d.]+):(\d+)", told).groups()
        self.port = int(port)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    def memory(self):
        """The process's resident memory now, MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def open_files(self):
        """How many files and connections the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connection(self):
        """A connection, which one client keeps."""
        return http.client.HTTPConnection(self.host, self.port, timeout=600)

    def tracebacks(self):
        """How many errors the log has."""
        return self.log.read_text(errors="replace").count("Traceback")


@contextlib.contextmanager
def watched(value):
    """A list of what a function returned now and then, while the block runs."""
    seen, done = [value()], threading.Event()

    def look():
        while not done.wait(POLL):
            seen.append(value())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen.append(value())


def ask(connection, body):
    """Sends a picture; returns the status, the answer's bytes, whether its id is the request's."""
    name = uuid.uuid4().hex
    connection.request("POST", "/detect", body, {"X-Request-ID": name})
    response = connection.getresponse()
    return response.status, response.read(), response.getheader("X-Request-ID") == name


def is_own(answer, expected):
    """Whether an answer says what `detect` found in the picture, by the rule of exported files:
    masks may differ in a hundredth of the box and two pixels.

    Args:
        answer: bytes of `/detect`.
        expected: list of COCO's results.
    """
    found = json.loads(answer)["annotations"]
    return len(found) == len(expected) and all(
        one["category_id"] == other["category_id"]
        and abs(one["score"] - other["score"]) < 1e-3
        and np.allclose(one["bbox"], other["bbox"], atol=0.5)
        and _same_mask(one, other)
        for one, other in zip(found, expected, strict=True)
    )


def _same_mask(one, other):
    if "segmentation" not in one or "segmentation" not in other:
        return "segmentation" not in one and "segmentation" not in other
    first, second = decode([one["segmentation"], other["segmentation"]]).transpose(2, 0, 1)
    _, _, width, height = other["bbox"]
    return np.count_nonzero(first != second) <= 0.01 * width * height + 2


def likeness(answer, expected):
    """The share of objects that an answer has as `detect` found them, whatever their order.

    Args:
        answer, expected: as of `is_own`.
    """
    found = json.loads(answer)["annotations"]
    partners = sum(
        any(
            one["category_id"] == other["category_id"]
            and np.allclose(one["bbox"], other["bbox"], atol=0.5)
            for one in found
        )
        for other in expected
    )
    return partners / max(len(found), len(expected), 1)


def pictures_of(folder, count, size):
    """Different pictures: of a folder, or painted shapes where there is none.

    Args:
        folder: path, or None.
        count: int, of painted pictures.
        size: int, sides of painted pictures.

    Returns:
        list of uint8 [H, W, 3].
    """
    if folder is None:
        dataset = ShapesDataset()
        dataset.load_shapes(count, size, size, seed=7)
        return [dataset.load_image(i) for i in range(count)]
    from mrcnn.inference import iterate_inputs

    return [np.asarray(image)[..., :3] for _, image in iterate_inputs(folder)]


def as_png(image):
    """The bytes of a file of a picture."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


class Clients:
    """Threads that ask one thing after the other, each over a connection of its own.

    Args:
        server: `ServerProcess`.
        pictures: list of bytes; client i of n asks for those numbered i, i + n, ... in turn.
        count: int, clients.
    """

    def __init__(self, server, pictures, count):
        self.server, self.pictures, self.count = server, pictures, count
        self._asked = [0] * count

    def run(self, seconds):
        """Asks for some seconds, and until all answers are there.

        Returns:
            list of (number of the picture, status, answer's bytes, own id, seconds), and the
            seconds that all took. Of a lost answer the status is the name of the error.
        """
        start = time.perf_counter()
        answers = [[] for _ in range(self.count)]
        threads = [
            threading.Thread(target=self._ask, args=(i, start + seconds, answers[i]))
            for i in range(self.count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [*itertools.chain(*answers)], time.perf_counter() - start

    def _ask(self, client, end, answers):
        own = range(client, len(self.pictures), self.count)
        connection = self.server.connection()
        while (start := time.perf_counter()) < end:
            number = own[self._asked[client] % len(own)]
            self._asked[client] += 1
            try:
                answer = ask(connection, self.pictures[number])
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__, b"", False
                connection.close()
            answers.append((number, *answer, time.perf_counter() - start))
        connection.close()
