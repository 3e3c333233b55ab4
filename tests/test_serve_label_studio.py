"""The backend of Label Studio: its requests over HTTP, and the pictures that its tasks name."""

import argparse
import base64
import contextlib
import http.server
import json
import shlex
import threading
import urllib.parse

import numpy as np
import pytest
from serving import FakeDetector, encoded
from test_integrations import blocks
from test_serve_app import LIMITS, refused

from mrcnn.cli import serve
from mrcnn.data.formats.label_studio.brush_codes import decode_brush, encode_brush

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from mrcnn.serve.access import Keys
from mrcnn.serve.app import create_app
from mrcnn.serve.batching import BatchingOptions
from mrcnn.serve.errors import RequestError
from mrcnn.serve.protocols.label_studio import read_control
from mrcnn.serve.service import Service
from mrcnn.serve.task_pictures import TaskPictures

TOKEN = "a.b.c"  # three parts: a personal access token


def config(*controls):
    labels = '<Label value="Cat"/><Label value="Hound" predicted_values="dog,wolf"/>'
    drawn = "".join(f'<{tag} name="{tag}" toName="img">{labels}</{tag}>' for tag in controls)
    return f'<View><Image name="img" value="$picture"/>{drawn}</View>'


class Studio(http.server.BaseHTTPRequestHandler):
    """A Label Studio: an upload, a file of a storage behind a redirect, and a place for tokens."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if self.path.startswith("/tasks/"):
            self.send_response(303)
            self.send_header("Location", self.server.storage + "/bucket/b.png")
            self.end_headers()
        elif self.path.endswith(".png"):
            self.answer(encoded(204))
        elif self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/secret")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, asked) == ("/api/token/refresh", {"refresh": TOKEN})
        self.answer(b'{"access": "short"}')

    def answer(self, data):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def running():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Studio) as server:
        server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def studio():
    with running() as server, running() as storage:
        server.storage = storage.url
        yield server, storage


@pytest.fixture
def make_client(studio):
    with contextlib.ExitStack() as stack:

        def make(key="legacy", hosts=(), keys=None, has_masks=True):
            batching = BatchingOptions(4, 0, 4, 4000)
            service = Service(FakeDetector(), "m", None, has_masks, LIMITS, batching)
            pictures = TaskPictures(studio[0].url, key, hosts, LIMITS)
            return stack.enter_context(TestClient(create_app(service, keys, pictures)))

        yield make


def task(picture, number=5):
    return {"id": number, "data": {"picture": picture, "text": "of another control"}}


def predicted(client, *pictures, controls=("RectangleLabels",)):
    """The predictions of tasks with some pictures."""
    body = {
        "tasks": [task(picture, i) for i, picture in enumerate(pictures)],
        "label_config": config(*controls),
        "project": "1.1700000000",
        "model_version": "m",
        "params": {"context": None},
    }
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def test_connecting_a_project(make_client):
    client = make_client()
    assert client.get("/health").json() == {"status": "UP", "model_class": "m"}
    setup = {"project": "1.1", "schema": config("BrushLabels"), "hostname": "", "access_token": ""}
    assert client.post("/setup", json=setup).json() == {"model_version": "m"}
    assert client.post("/setup", json={**setup, "schema": ""}).status_code == 200
    told = "one of BrushLabels, PolygonLabels, RectangleLabels for it"
    refused(client.post("/setup", json={**setup, "schema": config("Choices")}), 400, told)
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200
    training = client.post("/webhook", json={"action": "START_TRAINING"})
    refused(training, 501, "run mrcnn train on it")


def test_what_the_page_says_connects_a_project(make_client):
    (xml,) = blocks("Label Studio", "xml")
    control = read_control(xml, True)
    assert (control.tag, control.key) == ("BrushLabels", "image")
    assert control.labels == {"balloon": "Balloon", "red balloon": "Balloon"}
    setup = {"project": "1.1", "schema": xml, "hostname": "", "access_token": ""}
    assert make_client().post("/setup", json=setup).json() == {"model_version": "m"}
    (block,) = blocks("Label Studio", "sh")
    key, command = block.splitlines()
    assert key.startswith("export LABEL_STUDIO_API_KEY=")
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(shlex.split(command)[1:])
    assert (arguments.weights, arguments.port) == ("runs/train", 9090)
    assert (arguments.name, arguments.label_studio) == ("balloons-1", "http://localhost:8080")
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface(xml)
    assert interface.is_valid and set(interface.get_control("label").labels) == {"Balloon"}


def test_boxes_of_an_upload(make_client, studio):
    (answer,) = predicted(make_client(), "/data/upload/1/a.png")
    assert studio[0].asked == [("/data/upload/1/a.png", "Token legacy")]
    cat, dog = answer["result"]
    # The picture is 4 wide and 3 high; the cat's box is y 0 to 1, x 1 to 2.5.
    assert cat["value"].pop("rectanglelabels") == ["Cat"]
    expected = {"x": 25, "y": 0, "width": 37.5, "height": 100 / 3, "rotation": 0}
    assert cat["value"] == pytest.approx(expected)
    assert (cat["original_width"], cat["original_height"]) == (4, 3)
    assert (cat["from_name"], cat["to_name"]) == ("RectangleLabels", "img")
    assert dog["value"]["rectanglelabels"] == ["Hound"]
    # 204 / 255 is 0.8; the dog has 0.25: their mean is 0.525.
    assert (cat["score"], dog["score"]) == pytest.approx((0.8, 0.25))
    assert answer["score"] == pytest.approx(0.525) and answer["model_version"] == "m"


def test_masks_are_brushes_and_else_polygons(make_client):
    client = make_client()
    controls = ("RectangleLabels", "PolygonLabels", "BrushLabels")
    (answer,) = predicted(client, "/data/upload/1/a.png", controls=controls)
    cat, dog = answer["result"]
    assert cat["type"] == "brushlabels" and cat["value"]["brushlabels"] == ["Cat"]
    assert decode_brush(cat["value"]["rle"], 3, 4).astype(int).tolist() == [
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert decode_brush(dog["value"]["rle"], 3, 4).sum() == 1
    (answer,) = predicted(client, "/data/upload/1/a.png", controls=controls[:2])
    cat = answer["result"][0]["value"]
    corners = {tuple(np.round(corner, 3)) for corner in cat["points"]}
    assert corners == {(25, 0), (75, 0), (75, 33.333), (25, 33.333)} and cat["closed"] is True
    # A model without masks draws boxes.
    (answer,) = predicted(make_client(has_masks=False), "/data/upload/1/a.png", controls=controls)
    assert answer["result"][0]["type"] == "rectanglelabels"


def test_brush_codes_are_label_studios():
    mask = np.zeros((3, 4), bool)
    mask[0, 1:3] = True
    code = encode_brush(mask)
    # As the converter of label-studio-sdk 2.1.2, mask2rle, writes it: 48 values of 8 bits, sizes
    # 3 4 8 16; runs of 4, 8 and 36 values are 1 00 011, 1 00 111 and 1 10 00100011.
    bits = f"{48:032b}" + "00111" + "0010001101111111"
    bits += "100011" + "0" * 8 + "100111" + "1" * 8 + "11000100011" + "0" * 8
    bits += "0" * (-len(bits) % 8)
    assert code == [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    # A run of more than 2**16 values is several.
    large = np.ones((200, 200), bool)
    large[150, 20] = False
    np.testing.assert_array_equal(decode_brush(encode_brush(large), 200, 200), large)
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    assert brush.mask2rle(np.uint8(255) * mask) == code
    np.testing.assert_array_equal(brush.decode_rle(code).reshape(3, 4, 4)[:, :, 3] > 0, mask)


def test_label_studios_own_checks(make_client):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    client = make_client()
    for control in ("RectangleLabels", "PolygonLabels", "BrushLabels"):
        (answer,) = predicted(client, "/data/upload/1/a.png", controls=(control,))
        errors = interface.LabelInterface(config(control)).validate_prediction(
            answer, return_errors=True
        )
        assert errors == []


def test_where_pictures_come_from(make_client, studio):
    server, storage = studio
    client = make_client(TOKEN, hosts=[urllib.parse.urlsplit(storage.url).netloc])
    data = "data:image/png;base64," + base64.b64encode(encoded(51)).decode()
    local = "/data/local-files/?d=ä b.png"
    pictures = ["upload/1/a.png", "s3://bucket/b.png", storage.url + "/c.png", local, data]
    answers = predicted(client, *pictures)
    scores = [answer["result"][0]["score"] for answer in answers]
    assert scores == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.2])
    uri = base64.urlsafe_b64encode(b"s3://bucket/b.png").decode()
    expected = {"/data/upload/1/a.png", f"/tasks/1/presign/?fileuri={uri}"}
    expected.add("/data/local-files/?d=%C3%A4%20b.png")
    assert set(server.asked) == {(path, "Bearer short") for path in expected}
    # Neither a storage nor another host gets the token.
    assert set(storage.asked) == {("/bucket/b.png", None), ("/c.png", None)}


def test_a_picture_that_cannot_be_had_harms_no_other(make_client, studio):
    pictures = ["/data/none.txt", "/data/upload/1/a.png", None, studio[1].url + "/c.png"]
    results = predicted(make_client(), *pictures, "file:///etc/passwd", "gopher://x/1.png")
    missing, fine, nothing, other, file, odd = results
    assert (
        "tasks[0]: expected a picture at '/data/none.txt', received HTTP Error 404"
        in (missing["error"])
    )
    assert len(fine["result"]) == 2
    assert "tasks[2]: expected the task's data to name a picture, received None" in nothing["error"]
    host = urllib.parse.urlsplit(studio[1].url).netloc
    assert f"--picture-hosts {host}" in other["error"] and studio[1].asked == []
    assert "expected a picture of http" in file["error"] and "expected" in odd["error"]
    response = make_client().post(
        "/predict", json={"tasks": [task(None)], "label_config": config("BrushLabels")}
    )
    refused(response, 400, "tasks[0]")
    broken = "data:image/png;base64," + base64.b64encode(b"none").decode()
    _, _, _, error = predicted(make_client(), *["/data/upload/1/a.png"] * 3, broken)
    assert error["error"].startswith("tasks[3]: expected an encoded picture")


def test_redirects_lead_nowhere_else(studio):
    server, storage = studio
    host = urllib.parse.urlsplit(storage.url).netloc
    pictures = TaskPictures(server.url, None, [host], LIMITS)
    error = pictures.fetch(storage.url + "/away", 1, "tasks[0]")
    assert isinstance(error, RequestError) and error.status == 403
    assert "a redirect to 'http://169.254.169.254/secret', not allowed" in error.message


def test_a_picture_beyond_the_limit_is_not_read(studio):
    few = type(LIMITS)(body_bytes=10)
    error = TaskPictures(studio[0].url, None, (), few).fetch("/data/upload/1/a.png", 1, "tasks[0]")
    assert error.status == 413 and "at most 10 bytes" in error.message


def test_many_tasks_are_several_batches(make_client, studio):
    pictures = ["/data/upload/1/a.png"] * 7  # twice the 3 images of a request, and one
    assert [len(each["result"]) for each in predicted(make_client(), *pictures)] == [2] * 7
    assert len(studio[0].asked) == 7


def test_a_key_is_the_password(make_client):
    client = make_client(keys=Keys(["secret"]))
    assert client.get("/health").status_code == 401
    assert client.get("/health", auth=("anyone", "secret")).status_code == 200
    assert client.get("/health", auth=("secret", "")).status_code == 401
    assert client.get("/health", headers={"Authorization": "Basic ?"}).status_code == 401


@pytest.mark.parametrize(
    "body, told",
    [
        (b"none", "expected a JSON object"),
        (b'{"tasks": [1]}', 'expected "tasks", a list of objects with data, received [1]'),
        (b'{"tasks": []}', "label_config: expected XML, received ''"),
        (b'{"tasks": [], "label_config": "<a"}', "label_config: expected XML, received '<a'"),
    ],
)
def test_requests_that_are_refused(make_client, body, told):
    refused(make_client().post("/predict", content=body), 400, told)


def test_a_config_declares_no_types():
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>'
    with pytest.raises(RequestError, match="it declares the document type a"):
        read_control(bomb, True)
