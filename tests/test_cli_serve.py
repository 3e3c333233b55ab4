"""`mrcnn serve`: what is said before the model is built; and the command itself, stopped midway."""

import concurrent.futures
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import encoded
from tiny import TinyConfig

from mrcnn import cli
from mrcnn.cli import serve
from mrcnn.model import MaskRCNN

httpx = pytest.importorskip("httpx2")
pytest.importorskip("uvicorn")

TINY = str(Path(__file__).with_name("tiny.py"))


def test_the_extra_is_named(capsys, monkeypatch):
    find = serve.importlib.util.find_spec
    monkeypatch.setattr(
        serve.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    assert cli.main(["serve", "none.h5"]) == 2
    assert "needs uvicorn, not installed: pip install 'mrcnn[serve]'" in capsys.readouterr().err


def test_a_port_in_use_is_told_first(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["serve", "none.h5", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"expected a free port, 127.0.0.1:{port} cannot be had" in said and "--port 0" in said


def test_keys_and_weights_are_told(capsys, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("\n")
    assert cli.main(["serve", "none.h5", "--keys", str(keys)]) == 2
    assert "expected keys, one a line" in capsys.readouterr().err
    assert cli.main(["serve", str(tmp_path / "none.h5"), "--port", "0"]) == 2
    assert "no weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag, value, told",
    [
        ("--port", "65536", "expected a number from 0 to 65535, got '65536'"),
        ("--name", "a/b", "expected letters, numbers, . _ and -, got 'a/b'"),
        ("--max-delay", "-1", "expected a number from 0 on, got '-1'"),
        ("--label-studio", "host:8080", "expected http://HOST:PORT, got 'host:8080'"),
        ("--queue", "0", "expected a whole number from 1 on, got 0"),
    ],
)
def test_values_that_cannot_be(flag, value, told, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", "none.h5", f"{flag}={value}"])
    assert caught.value.code == 2 and told in capsys.readouterr().err


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model of random weights, and its file."""
    folder = tmp_path_factory.mktemp("model")
    model = MaskRCNN("inference", TinyConfig(), folder)
    model.class_names = ["BG", "square", "circle", "triangle"]
    model.save_weights(folder / "tiny.h5")
    return model, folder / "tiny.h5"


@pytest.fixture
def server(model, tmp_path):
    """The command in a process of its own, with its address; killed at the end if it still runs."""
    argv = [sys.executable, "-m", "mrcnn", "serve", str(model[1]), "--config", TINY, "--port", "0"]
    argv += ["--max-batch", "6", "--max-delay", "8000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (
        open(tmp_path / "log", "wb") as log,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as it,
    ):
        try:
            told = next(line for line in it.stdout if " at http" in line)
            yield it, told.split()[2].rstrip(","), tmp_path / "log"
        finally:
            it.kill()


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# The server with a detector that finds nothing out before there is a file; prints its port.
STAND_IN = """
import os, sys, time
sys.path.insert(0, {tests!r})
from serving import FakeDetector
from mrcnn.serve import server
from mrcnn.serve.app import create_app
from mrcnn.serve.batching import BatchingOptions
from mrcnn.serve.service import Service

class Waiting(FakeDetector):
    def detect(self, images):
        while not os.path.exists({file!r}):
            time.sleep(0.01)
        return super().detect(images)

opened = server.open_socket("127.0.0.1", 0)
app = create_app(Service(Waiting(), batching=BatchingOptions(max_batch=1)))
server.run(app, opened, 300, lambda: print(opened.getsockname()[1], flush=True))
"""


@pytest.mark.slow
def test_what_was_accepted_is_answered_after_sigterm(tmp_path):
    def is_closed():
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", port)) != 0

    def ask(value):
        return httpx.post(f"{address}/detect", content=encoded(value), timeout=300)

    code = STAND_IN.format(tests=str(Path(__file__).parent), file=str(tmp_path / "go"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
        ) as process,
        concurrent.futures.ThreadPoolExecutor(3) as pool,
    ):
        try:
            port = int(process.stdout.readline())
            address = f"http://127.0.0.1:{port}"
            asked = [pool.submit(ask, value) for value in (51, 102, 204)]
            metrics = f"{address}/metrics"
            wait_for(lambda: "\nmrcnn_requests_in_flight 3\n" in httpx.get(metrics).text)
            process.send_signal(signal.SIGTERM)
            wait_for(is_closed)
            (tmp_path / "go").touch()
            answers = [each.result() for each in asked]
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert [answer.status_code for answer in answers] == [200] * 3
    scores = [answer.json()["annotations"][0]["score"] for answer in answers]
    assert scores == pytest.approx([0.2, 0.4, 0.8])


@pytest.mark.slow
@pytest.mark.thorough
def test_answers_are_those_of_detect_and_none_is_lost(model, server):
    process, address, log = server
    generator = np.random.default_rng(5)
    images = [generator.integers(0, 255, (40 + i, 64, 3), np.uint8) for i in range(10)]
    expected = [found.to_coco(1) for found in model[0].detect(images)]
    assert sum(map(len, expected)) > 10
    client = httpx.Client(base_url=address, timeout=300)

    def ask(image):
        with httpx.Client(base_url=address, timeout=300) as own:
            return own.post("/detect", content=image)

    assert client.get("/v2/health/ready").status_code == 200
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        broken = pool.submit(ask, b"no picture")
        answers = list(pool.map(ask, map(png, images[:6])))  # a full batch
        assert broken.result().status_code == 400
        # Four wait for two more; then the server is told to stop.
        rest = [pool.submit(ask, png(image)) for image in images[6:]]
        wait_for(lambda: "\nmrcnn_queue_length 4\n" in client.get("/metrics").text)
        text = client.get("/metrics").text
        process.send_signal(signal.SIGTERM)
        answers += [future.result() for future in rest]
    client.close()
    assert process.wait(60) == 0
    assert "\nmrcnn_batch_size_sum 6.0\n" in text
    for answer, results in zip(answers, expected, strict=True):
        assert answer.status_code == 200
        found = answer.json()["annotations"]
        assert [each["category_id"] for each in found] == [each["category_id"] for each in results]
        for one, other in zip(found, results, strict=True):
            np.testing.assert_allclose(one["bbox"], other["bbox"], atol=1e-3)
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
            assert one["segmentation"] == other["segmentation"]
    lines = log.read_text().splitlines()  # TensorFlow's own among them
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert sum(each.get("path") == "/detect" for each in events) == 11
