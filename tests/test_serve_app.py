"""The server's paths, over HTTP without a network: every answer, every refusal."""

import asyncio
import base64
import io
import json
import logging
import re
import struct
import time

import numpy as np
import pytest
from PIL import Image
from serving import FakeDetector, encoded, picture

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from mrcnn.serve import logs
from mrcnn.serve.access import Keys
from mrcnn.serve.app import create_app
from mrcnn.serve.batching import BatchingOptions
from mrcnn.serve.bodies import Bodies
from mrcnn.serve.errors import RequestError
from mrcnn.serve.limits import Limits
from mrcnn.serve.metrics import Metrics
from mrcnn.serve.protocols.kserve import LENGTH_HEADER
from mrcnn.serve.service import Service

LIMITS = Limits(body_bytes=5000, pixels=1000, images=3)
PREDICT, INFER = "/v1/models/m:predict", "/v2/models/m/infer"


@pytest.fixture
def detector():
    return FakeDetector()


@pytest.fixture
def service(detector):
    batching = BatchingOptions(max_batch=4, max_delay=0, max_waiting=4, max_waiting_pixels=4000)
    return Service(detector, "m", limits=LIMITS, batching=batching)


@pytest.fixture
def client(service):
    with TestClient(create_app(service)) as client:
        yield client


def instance(value):
    return {"b64": base64.b64encode(encoded(value)).decode()}


def refused(response, status, *told):
    """Checks an error, and returns its text."""
    assert response.status_code == status, response.text
    content = response.json()
    assert content.keys() == {"error", "request_id"}
    assert content["request_id"] == response.headers["X-Request-ID"]
    for text in told:
        assert text in content["error"]
    return content["error"]


# TensorFlow Serving.


def test_predict(client):
    for path in (PREDICT, "/v1/models/m/versions/1:predict"):
        response = client.post(path, json={"instances": [instance(51), instance(204)]})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        one, two = response.json()["predictions"]
        assert one["detection_scores"] == pytest.approx([0.2, 0.25])
        assert two["detection_scores"] == pytest.approx([0.8, 0.25])
        assert two["detection_boxes"] == [[0, 1, 1, 2.5], [1, 0, 2, 1]]
        assert two["detection_masks"] == ["31203", "11:"]
    pixels = picture(51).tolist()
    response = client.post(PREDICT, json={"inputs": [pixels], "signature_name": "full_masks"})
    outputs = response.json()["outputs"]
    assert outputs["detection_scores"][0] == pytest.approx([0.2, 0.25])
    assert np.array(outputs["detection_masks"]).shape == (1, 2, 3, 4)


def test_status_of_a_model(client):
    for path in ("/v1/models/m", "/v1/models/m/versions/1"):
        (status,) = client.get(path).json()["model_version_status"]
        assert status["state"] == "AVAILABLE" and status["version"] == "1"


def test_signatures_of_a_model(client):
    for path in ("/v1/models/m/metadata", "/v1/models/m/versions/1/metadata"):
        answer = client.get(path).json()
        assert answer["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert list(signatures) == ["serving_default", "full_masks", "boxes"]
    inputs, outputs = (signatures["serving_default"][key] for key in ("inputs", "outputs"))
    assert inputs["image_bytes"]["dtype"] == "DT_STRING"
    assert outputs["detection_masks"]["dtype"] == "DT_STRING"
    boxes, known = outputs["detection_boxes"]["tensor_shape"], {"unknown_rank": False}
    assert boxes == {"dim": [{"size": n, "name": ""} for n in ("-1", "-1", "4")], **known}
    assert "detection_keypoints" not in outputs
    assert signatures["full_masks"]["outputs"]["detection_masks"]["dtype"] == "DT_UINT8"
    assert "detection_masks" not in signatures["boxes"]["outputs"]
    assert client.get("/v1/models/n/metadata").status_code == 404


def test_one_broken_picture_harms_no_other(client):
    broken = [{"b64": base64.b64encode(b"none").decode()}, instance(13)]
    response = client.post(PREDICT, json={"instances": [*broken, instance(204)]})
    first, second, third = response.json()["predictions"]
    assert "images[0]: expected an encoded picture" in first["error"]
    assert second["error"] == "images[1]: expected luck, received 13"
    assert third["detection_scores"] == pytest.approx([0.8, 0.25])
    refused(client.post(PREDICT, json={"instances": broken}), 400, "images[0]:", "(and 1 more)")


def test_a_model_that_fails(client, caplog):
    response = client.post(PREDICT, json={"instances": [instance(14), instance(51)]})
    failed, fine = response.json()["predictions"]
    assert failed["error"] == "images[0]: the model failed (MemoryError); see the log"
    assert fine["num_detections"] == 2
    assert "of the device" in caplog.text
    refused(client.post(PREDICT, json={"instances": [instance(14)]}), 500, "the model failed")


# KServe.


def test_infer_of_json_and_binary(client):
    data = base64.b64encode(encoded(204)).decode()
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [data]}
    for path in (INFER, "/v2/models/m/versions/1/infer"):
        answer = client.post(path, json={"id": "7", "inputs": [tensor]}).json()
        assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "1", "7")
        outputs = {each["name"]: each for each in answer["outputs"]}
        assert outputs["detection_scores"]["data"] == pytest.approx([0.8, 0.25])
        assert outputs["detection_masks"]["data"] == ["31203", "11:"]
    pixels = np.stack([picture(51), picture(204)]).tobytes()
    header = json.dumps(
        {
            "inputs": [
                {
                    **{"name": "image_tensor", "datatype": "UINT8", "shape": [2, 3, 4, 3]},
                    "parameters": {"binary_data_size": len(pixels)},
                }
            ],
            "outputs": [{"name": "detection_scores"}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    response = client.post(
        INFER, content=header + pixels, headers={LENGTH_HEADER: str(len(header))}
    )
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH_HEADER])
    (output,) = json.loads(response.content[:length])["outputs"]
    assert output["shape"] == [2, 2] and output["parameters"] == {"binary_data_size": 16}
    found = struct.unpack("<4f", response.content[length:])
    assert found == pytest.approx([0.2, 0.25, 0.8, 0.25])


def test_outputs_that_the_model_has_not(client, service):
    data = base64.b64encode(encoded(204)).decode()
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [data]}
    body = {"inputs": [tensor], "outputs": [{"name": "detection_masks"}]}
    (output,) = client.post(INFER, json=body).json()["outputs"]
    assert output["name"] == "detection_masks"
    told = ["which are all that this model", "received [{'name': 'detection_masks'}]"]
    refused(client.post(INFER, json={**body, "parameters": {"masks": "none"}}), 400, *told)
    service.has_masks = False
    text = refused(client.post(INFER, json=body), 400, *told)
    assert "detection_masks" not in text.partition(", received")[0]
    points = [{"name": "detection_keypoints"}]
    refused(client.post(INFER, json={**body, "outputs": points}), 400, told[0])


def test_health_and_metadata(client, service):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/m/ready").json() == {"name": "m", "ready": True}
    metadata = client.get("/v2/models/m").json()
    assert metadata["versions"] == ["1"]
    assert [each["name"] for each in metadata["inputs"]] == ["image_bytes", "image_tensor"]
    assert "detection_masks" in [each["name"] for each in metadata["outputs"]]
    service.has_masks = False
    metadata = client.get("/v2/models/m/versions/1").json()
    assert "detection_masks" not in [each["name"] for each in metadata["outputs"]]
    service.batcher.stop()
    assert client.get("/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", "/v2/models/m/ready"):
        response = client.get(path)
        refused(response, 503, "stopping")
        assert response.headers["Retry-After"] == "1"
    refused(client.post("/detect", content=encoded()), 503, "the server is stopping")


# Files.


def test_detect_answers_coco(client):
    for options in ({"content": encoded(204)}, {"files": {"file": ("a.png", encoded(204))}}):
        content = client.post("/detect", **options).json()
        assert content["images"][0]["file_name"] == ("" if "content" in options else "a.png")
        assert [each["category_id"] for each in content["annotations"]] == [1, 2]
        assert content["annotations"][0]["segmentation"] == {"size": [3, 4], "counts": "31203"}
    content = client.post("/detect?score=0.5&masks=polygons", content=encoded(204)).json()
    (polygon,) = content["annotations"][0]["segmentation"]
    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [(1, 0), (1, 1), (3, 0), (3, 1)]
    content = client.post("/detect?classes=dog&masks=none", content=encoded(204)).json()
    assert [each["category_id"] for each in content["annotations"]] == [2]
    assert "segmentation" not in content["annotations"][0]


def test_detect_answers_a_picture(client):
    response = client.post("/detect?format=png", content=encoded(100, (20, 30)))
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).size == (30, 20)


# Refusals.


@pytest.mark.parametrize(
    "method, path, status, told",
    [
        ("GET", "/v1/models/x", 404, "expected the model 'm', version 1, received 'x'"),
        ("GET", "/v1/models/m/versions/2", 404, "version '2'"),
        ("POST", "/v1/models/x:predict", 404, "`mrcnn serve --name` gives another"),
        ("POST", "/v2/models/x/infer", 404, "received 'x'"),
        ("GET", "/v2/models/x", 404, "received 'x'"),
        ("GET", "/v2/models/x/ready", 404, "received 'x'"),
        ("GET", "/nothing", 404, "Not Found: received GET /nothing; /docs shows the paths"),
        ("GET", "/detect", 405, "Method Not Allowed: received GET /detect"),
        ("POST", "/v1/models/m:classify", 405, "Method Not Allowed"),
        ("POST", "/detect?masks=full", 400, "one of rle, polygons, none"),
        ("POST", "/detect", 400, "received an empty body"),
        ("POST", PREDICT, 400, "expected a JSON object, received 0 bytes"),
        ("POST", INFER, 400, "expected a JSON object, received 0 bytes"),
    ],
)
def test_what_is_refused(client, method, path, status, told):
    refused(client.request(method, path), status, told)


def test_bodies_that_are_refused(client):
    refused(client.post("/detect", content=b"x" * 5001), 413, "5000 bytes, received 5001 bytes")
    chunks = (b"x" * 3000 for _ in range(2))  # without a Content-Length
    refused(client.post("/detect", content=chunks), 413, "5000 bytes, received more; send fewer")
    headers = {"Content-Encoding": "gzip"}
    refused(client.post("/detect", content=b"x", headers=headers), 415, "received 'gzip'")
    refused(client.post("/detect", content=encoded(1, (40, 30))), 413, "received 40 x 30")
    refused(client.post("/detect", content=encoded(13)), 400, "images[0]: expected luck")
    headers = {LENGTH_HEADER: "x"}
    refused(client.post(INFER, content=b"{}", headers=headers), 400, "received 'x'")
    refused(client.post(PREDICT, json={"instances": [1] * 4}), 413, "1 to 3 images", "received 4")


def exchange(service, headers, chunks):
    """What an app receives and sends, in order, for a POST to /detect in chunks."""
    events, left = [], list(chunks)

    async def receive():
        events.append("receive")
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message):
        events.append(message.get("status", "body"))

    scope = {
        **{"type": "http", "method": "POST", "path": "/detect", "raw_path": b"/detect"},
        **{"query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http"},
        **{"client": ("127.0.0.1", 1), "server": ("x", 80), "root_path": ""},
    }
    asyncio.run(create_app(service, Keys(["a"]))(scope, receive, send))
    return events


def test_who_still_sends_gets_the_answer(service):
    key, length = (b"x-api-key", b"a"), (b"content-length", b"6000")
    chunks = [b"x" * 2000] * 3
    assert exchange(service, [key, length], chunks) == [*["receive"] * 3, 413, "body"]
    assert exchange(service, [length], chunks) == [*["receive"] * 3, 401, "body"]
    chunked = (b"transfer-encoding", b"chunked")
    assert exchange(service, [key, chunked], chunks * 2) == [*["receive"] * 6, 413, "body"]
    assert exchange(service, [length, (b"expect", b"100-continue")], chunks) == [401, "body"]
    service.stop()


class FakeRequest:
    """A request whose body comes as `chunks`: bytes, or seconds to wait."""

    def __init__(self, *chunks):
        self.headers, self.chunks = {}, chunks

    async def stream(self):
        for chunk in self.chunks:
            if isinstance(chunk, bytes):
                yield chunk
            elif isinstance(chunk, Exception):
                raise chunk
            else:
                await asyncio.sleep(chunk)


def test_slow_and_half_sent_bodies():
    from starlette.requests import ClientDisconnect

    bodies = Bodies(Limits(body_seconds=0.02))
    assert asyncio.run(bodies.read(FakeRequest(b"ab", b"c"))) == b"abc"
    with pytest.raises(RequestError, match=r"within 0\.02 s, received 2 bytes") as caught:
        asyncio.run(bodies.read(FakeRequest(b"ab", 10)))
    assert caught.value.status == 408
    with pytest.raises(RequestError, match="ended after 2 bytes"):
        asyncio.run(bodies.read(FakeRequest(b"ab", ClientDisconnect())))


def test_senders_who_stop_midway_keep_nobody_out(service):
    """Of 64 bodies half is sent; at most 4 requests are answered at a time, and others are."""

    async def ask(body, rest):
        """The status that a POST is answered with, whose second half comes after `rest`."""
        statuses, left = [], [body[: len(body) // 2], body[len(body) // 2 :]]

        async def receive():
            if len(left) == 1:
                await rest.wait()
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message):
            statuses.append(message.get("status"))

        length = (b"content-length", str(len(body)).encode())
        await app({**scope, "headers": [length]}, receive, send)
        return statuses[0]

    async def asked():
        never, now = asyncio.Event(), asyncio.Event()
        now.set()
        slow = [asyncio.create_task(ask(bytes(5000), never)) for _ in range(64)]
        while sum(each.done() for each in slow) < 48:
            await asyncio.sleep(0.001)
        fine = [await ask(encoded(), now) for _ in range(3)]
        gave_way = [each for each in slow if each.done()]
        for each in slow:
            each.cancel()
        return fine, {each.result() for each in gave_way}, [each in gave_way for each in slow]

    scope = {
        **{"type": "http", "method": "POST", "path": "/detect", "raw_path": b"/detect"},
        **{"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""},
        **{"client": ("127.0.0.1", 1), "server": ("x", 80)},
    }
    app = create_app(service)
    fine, statuses, who = asyncio.run(asked())
    service.stop()
    assert fine == [200] * 3
    # 8 bodies of 5000 bytes may be on their way: 16 halves. One more gives way to a picture.
    assert statuses == {408} and who == [True] * 49 + [False] * 15
    assert service.in_flight == 0


def test_a_full_queue_says_when_to_come_back(client, service, detector):
    detector.open.clear()
    service.batcher.submit([picture(0)])
    while service.batcher.waiting:
        time.sleep(0.001)
    service.batcher.submit([picture(0)] * 4)
    response = client.post("/detect", content=encoded())
    refused(response, 429, "4 images wait for the model and 1 more do not fit", "ask again after 4")
    assert response.headers["Retry-After"] == "4"
    service.in_flight = 4
    refused(client.post("/detect", content=b""), 429, "4 requests are being answered")
    service.in_flight = 0
    detector.open.set()
    while service.batcher.waiting:
        time.sleep(0.001)
    assert client.post("/detect", content=encoded()).status_code == 200
    assert service.in_flight == 0


def test_a_fault_of_ours_is_told_and_logged(client, service, caplog):
    service.class_names = 7  # so that the query's reader fails
    service.num_classes = "x"
    response = client.post("/detect?classes=cat", content=encoded())
    refused(response, 500, "the server failed; its log says more")
    assert "TypeError" in caplog.text
    assert client.get("/v2/health/live").status_code == 200


# Keys.


def test_keys(service):
    with TestClient(create_app(service, Keys(["first", "sécond"]))) as client:
        for headers in (
            *({"Authorization": "Bearer first"}, {"authorization": "bearer  first"}),
            *({"X-API-Key": "first"}, {"X-API-Key": "sécond".encode()}),
        ):
            assert client.get("/v1/models/m", headers=headers).status_code == 200
        for headers in (
            *({}, {"Authorization": "first"}, {"Authorization": "Basic first"}),
            *({"Authorization": "Bearer "}, {"X-API-Key": "firs"}, {"X-API-Key": ""}),
        ):
            response = client.post(PREDICT, headers=headers)
            refused(response, 401, "expected a key of this server")
            assert response.headers["WWW-Authenticate"] == "Bearer"
        refused(client.get("/metrics"), 401)
        for path in ("/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_keys_of_a_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# ours\n\n one \ntwo\n")
    keys = Keys.of_file(file)
    assert keys.admit([(b"x-api-key", b"one")]) and keys.admit([(b"x-api-key", b"two")])
    assert not keys.admit([(b"x-api-key", b"# ours")])
    file.write_text("# none\n")
    with pytest.raises(ValueError, match="expected keys, one a line, received none"):
        Keys.of_file(file)
    file.write_bytes("schlüssel".encode("latin-1"))
    told = f"{re.escape(str(file))}: expected keys in UTF-8, received another .* at byte 4"
    with pytest.raises(ValueError, match=told):
        Keys.of_file(file)


# Operation.


def test_request_ids(client):
    assert client.get("/v2", headers={"X-Request-ID": "a-1"}).headers["X-Request-ID"] == "a-1"
    for given in ("a b", "x" * 129, "é".encode()):
        own = client.get("/v2", headers={"X-Request-ID": given}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", own)


def test_the_log_is_json(client, caplog):
    with caplog.at_level(logging.INFO, "mrcnn.serve"):
        client.post("/detect?score=0", content=encoded(), headers={"X-Request-ID": "a-1"})
    line = json.loads(logs.JsonFormatter().format(caplog.records[-1]))
    assert re.fullmatch(r"[\d-]{10}T[\d:.]{12}\+00:00", line.pop("time"))
    assert line.pop("ms") > 0
    assert line == {
        **{"level": "info", "event": "request", "client": "testclient", "method": "POST"},
        **{"path": "/detect", "status": 200, "request_id": "a-1", "images": 1},
    }
    try:
        raise ValueError("x")
    except ValueError:
        logs.LOGGER.exception("failed")
    assert (
        "ValueError: x" in json.loads(logs.JsonFormatter().format(caplog.records[-1]))["traceback"]
    )


def test_metrics_of_a_server(client):
    client.post("/detect", content=encoded())
    client.post("/detect", content=b"none")
    client.get("/a"), client.get("/b")
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.text.splitlines()
    for line in (
        'mrcnn_requests_total{route="/detect",status="200"} 1',
        'mrcnn_requests_total{route="/detect",status="400"} 1',
        'mrcnn_requests_total{route="unmatched",status="404"} 2',
        'mrcnn_request_seconds_count{route="/detect"} 2',
        'mrcnn_images_total{outcome="detected"} 1',
        'mrcnn_images_total{outcome="refused"} 1',
        'mrcnn_batch_size_bucket{le="1"} 1',
        "mrcnn_batch_size_sum 1.0",
        "mrcnn_queue_length 0",
        "mrcnn_requests_in_flight 0",
    ):
        assert line in lines
    assert len(lines) == len(set(lines))


def test_histograms_are_cumulative():
    metrics = Metrics()
    for size, seconds in ((1, 0.01), (3, 0.0101), (100, 100.0)):
        metrics.add_batch(size, seconds)
    lines = metrics.text(2, 1).splitlines()
    assert [line for line in lines if line.startswith("mrcnn_batch_size")] == [
        *('mrcnn_batch_size_bucket{le="1"} 1', 'mrcnn_batch_size_bucket{le="2"} 1'),
        *('mrcnn_batch_size_bucket{le="4"} 2', 'mrcnn_batch_size_bucket{le="8"} 2'),
        *('mrcnn_batch_size_bucket{le="16"} 2', 'mrcnn_batch_size_bucket{le="32"} 2'),
        *('mrcnn_batch_size_bucket{le="64"} 2', 'mrcnn_batch_size_bucket{le="+Inf"} 3'),
        *("mrcnn_batch_size_sum 104.0", "mrcnn_batch_size_count 3"),
    ]
    assert 'mrcnn_batch_seconds_bucket{le="0.01"} 1' in lines
    assert 'mrcnn_batch_seconds_bucket{le="0.025"} 2' in lines
    assert lines[-6:] == [
        "# HELP mrcnn_queue_length Pictures that wait for the model.",
        *("# TYPE mrcnn_queue_length gauge", "mrcnn_queue_length 2"),
        "# HELP mrcnn_requests_in_flight Requests that are being answered.",
        *("# TYPE mrcnn_requests_in_flight gauge", "mrcnn_requests_in_flight 1"),
    ]


def test_labels_are_escaped():
    metrics = Metrics()
    metrics.add_request('a"b\\c\n', 200, 0.0)
    assert r'mrcnn_requests_total{route="a\"b\\c\n",status="200"} 1' in metrics.text(0, 0)


def test_the_api_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/detect", "/metrics", "/v1/models/{name}:predict", "/v2/models/{name}/infer"):
        assert path in paths
    assert "multipart/form-data" in paths["/detect"]["post"]["requestBody"]["content"]
    names = [each["name"] for each in paths["/detect"]["post"]["parameters"]]
    assert names == ["score", "classes", "masks", "format"]


def test_the_page_of_the_api_needs_no_internet(service):
    with TestClient(create_app(service, Keys(["secret"]))) as client:
        page = client.get("/docs").text
        scripts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(scripts) == 3 and "https:" not in page
        for path in scripts:
            assert client.get(path).status_code == 200
        assert client.get("/docs-assets/../v1/models/m").status_code == 401


def test_a_queue_that_no_request_fits_in(detector):
    with pytest.raises(ValueError, match="max_waiting_pixels is 3999; expected at least the 4000"):
        Service(detector, limits=LIMITS, batching=BatchingOptions(max_waiting_pixels=3999))
    service = Service(detector, batching=BatchingOptions(max_waiting=2))
    assert service.limits.images == 2
    service.stop()
