"""What clients of TensorFlow Serving and KServe write and read, by hand-worked bytes."""

import base64
import functools
import json
import struct

import numpy as np
import pytest
from serving import FakeDetector, encoded, picture

from mrcnn.serve.errors import RequestError
from mrcnn.serve.limits import Limits
from mrcnn.serve.protocols import detect, kserve, multipart, tensorflow_serving
from mrcnn.serve.protocols.outputs import declared_outputs, model_outputs

B64 = base64.b64encode(b"abc").decode()  # "YWJj"
# Column after column: 3 pixels out, 1 in (row 0, column 1), 2 out, 1 in, 5 out; and 1 out, 1 in
# (row 1, column 0), 10 out. Below 16 a count is the character 48 later; from the fourth count on
# it is what it differs from the one two before: 1 - 1 = 0, 5 - 2 = 3.
CAT, DOG = "31203", "11:"


def predict(content):
    return tensorflow_serving.read_request(json.dumps(content).encode())


def infer(content, data=b"", length=None):
    body = json.dumps(content).encode()
    length = str(len(body)) if data and length is None else length
    outputs = functools.partial(declared_outputs, True, False)
    return kserve.read_request(body + data, length, outputs)


def results_of(*values, size=(3, 4)):
    """Results as `Service.detect` returns them, of pictures of those values."""
    found = FakeDetector().detect([picture(value, size) for value in values])
    return [(each, size) for each in found]


def refusal(function, *arguments):
    with pytest.raises(RequestError) as caught:
        function(*arguments)
    return caught.value.status, caught.value.message


# The tensors.


def test_outputs_of_one_picture():
    tensors = model_outputs(results_of(204), "rle", Limits())
    assert list(tensors) == [
        *("detection_boxes", "detection_scores", "detection_classes", "detection_masks"),
        *("num_detections", "image_info"),
    ]
    assert tensors["detection_boxes"].tolist() == [[[0, 1, 1, 2.5], [1, 0, 2, 1]]]
    np.testing.assert_allclose(tensors["detection_scores"], [[0.8, 0.25]])
    assert tensors["detection_classes"].tolist() == [[1, 2]]
    assert tensors["detection_masks"].tolist() == [[CAT, DOG]]
    assert tensors["num_detections"].tolist() == [2]
    assert tensors["image_info"].tolist() == [[[3, 4], [3, 4], [1, 1], [0, 0]]]


def test_outputs_are_padded_and_errors_are_told():
    one, two = results_of(51, 204)
    broken = RequestError(400, "images[1]: no picture")
    tensors = model_outputs([(one[0].filter([0]), one[1]), broken, two], "full", Limits())
    assert tensors["num_detections"].tolist() == [1, -1, 2]
    assert tensors["detection_classes"].tolist() == [[1, 0], [0, 0], [1, 2]]
    assert tensors["errors"].tolist() == ["", "images[1]: no picture", ""]
    planes = tensors["detection_masks"]
    assert planes.dtype == np.uint8 and planes.shape == (3, 2, 3, 4)
    assert planes.sum(axis=(2, 3)).tolist() == [[2, 0], [0, 0], [2, 1]]
    assert planes[2, 0, 0].tolist() == [0, 1, 1, 0]
    assert "detection_masks" not in model_outputs([two], "none", Limits())


def test_outputs_of_keypoints():
    one, two = results_of(51, 204)
    one[0]["keypoints"] = np.array([[[3, 4, 0.5], [5, 6, 0.25]], [[7, 8, 1], [9, 10, 0]]], float)
    two[0]["keypoints"] = -one[0]["keypoints"]
    tensors = model_outputs([one, (two[0].filter([1]), two[1])], "none", Limits())
    points, scores = tensors["detection_keypoints"], tensors["detection_keypoint_scores"]
    assert points.dtype == np.float32 and points[0].tolist() == [
        [[3, 4], [5, 6]],
        [[7, 8], [9, 10]],
    ]
    assert points[1].tolist() == [[[-7, -8], [-9, -10]], [[0, 0], [0, 0]]]
    assert scores.tolist() == [[[0.5, 0.25], [1, 0]], [[-1, 0], [0, 0]]]
    assert {*tensors} == {*declared_outputs(has_masks=False, has_keypoints=True)}


def test_outputs_that_cannot_be():
    broken = RequestError(413, "images[0]: too large")
    assert refusal(model_outputs, [broken, broken], "rle", Limits()) == (
        413,
        "images[0]: too large (and 1 more)",
    )
    mixed = [*results_of(1), *results_of(1, size=(5, 4))]
    assert "sizes [(3, 4), (5, 4)]" in refusal(model_outputs, mixed, "full", Limits())[1]
    status, text = refusal(model_outputs, results_of(1), "full", Limits(mask_values=23))
    assert status == 413 and "[1, 2, 3, 4] = 24" in text


# TensorFlow Serving.


@pytest.mark.parametrize(
    "instance", [{"b64": B64}, {"image_bytes": {"b64": B64}}, {"image_tensor": {"b64": B64}}]
)
def test_instances_of_encoded_pictures(instance):
    request = predict({"instances": [instance, instance]})
    assert request == tensorflow_serving.Predict([b"abc", b"abc"], False, "rle")


def test_instances_of_pixels():
    content = {"instances": [[[1, 255]], {"image_tensor": [[[1.5, 2, 300]]]}, [[256]]]}
    grey, colour, deep = predict(content | {"signature_name": "full_masks"}).items
    assert grey.dtype == np.uint8 and grey.tolist() == [[1, 255]]
    assert colour.dtype == np.float32 and colour.tolist() == [[[1.5, 2, 300]]]
    assert deep.dtype == np.float32


@pytest.mark.parametrize(
    "inputs",
    [{"b64": B64}, [{"b64": B64}], {"image_bytes": {"b64": B64}}, {"image_bytes": [{"b64": B64}]}],
)
def test_inputs_in_columns(inputs):
    request = predict({"inputs": inputs, "signature_name": "boxes"})
    assert request == tensorflow_serving.Predict([b"abc"], True, "none")


def test_rows_and_columns_of_an_answer():
    broken = RequestError(400, "images[1]: no picture")
    tensors = model_outputs([*results_of(204), broken], "rle", Limits())
    rows = tensorflow_serving.Predict([b"", b""], False, "rle")
    first, second = json.loads(tensorflow_serving.write_answer(rows, tensors))["predictions"]
    assert first["detection_boxes"] == [[0, 1, 1, 2.5], [1, 0, 2, 1]]
    assert first["detection_masks"] == [CAT, DOG] and first["num_detections"] == 2
    assert second == {"error": "images[1]: no picture"}
    columns = tensorflow_serving.Predict([b"", b""], True, "rle")
    outputs = json.loads(tensorflow_serving.write_answer(columns, tensors))["outputs"]
    assert outputs["num_detections"] == [2, -1]
    assert outputs["errors"] == ["", "images[1]: no picture"]


@pytest.mark.parametrize(
    "body, told",
    [
        (b"", "expected a JSON object, received 0 bytes"),
        (b"\xff\xd8\xff\xe0", "that begin with b'\\xff\\xd8"),
        (b"[" * 100_000, "expected a JSON object"),
        (b"[1]", "received [1]; put it into {...}"),
        (b'{"instances": [], "inputs": []}', "received the keys ['instances', 'inputs']"),
        (b'{"instances": [], "images": 1}', "received the keys ['instances', 'images']"),
        (b"{}", 'expected "instances"'),
        (b'{"instances": 5}', "expected a list of pictures, received 5"),
        (b'{"inputs": {"image": []}}', "image_bytes, image_tensor, received ['image']"),
        (b'{"instances": [], "signature_name": "x"}', "serving_default, full_masks, boxes"),
        (b'{"instances": [], "signature_name": ["x"]}', "received ['x']"),
    ],
)
def test_bodies_that_are_no_predict(body, told):
    status, text = refusal(tensorflow_serving.read_request, body)
    assert status == 400 and told in text


@pytest.mark.parametrize(
    "instance, told",
    [
        ({"b64": "%"}, "expected the base64 of an encoded picture, received '%'"),
        ({"b64": "YWJj\n"}, "without line breaks"),
        ({"b64": 7}, "received 7"),
        ({"bytes": B64}, "received the keys ['bytes']"),
        ({"image_bytes": {"image_bytes": {}}}, "received the keys []"),
        ([[1, 2], [3]], "rows of one length"),
        ([["a"]], "of shape [1, 1]"),
        ([[True]], "received [[True]]"),
        ([[2**70]], "of shape [1, 1]"),
        ([], "of shape [0]"),
        ("text", "of shape []"),
        (None, "received None"),
    ],
)
def test_one_instance_that_is_no_picture(instance, told):
    first, second = predict({"instances": [instance, {"b64": B64}]}).items
    assert first.status == 400 and first.message.startswith("images[0]: ")
    assert told in first.message
    assert second == b"abc"


# KServe.


def tensor(datatype, shape, **more):
    return {"name": "image", "datatype": datatype, "shape": shape, **more}


def test_tensors_in_json():
    request = infer({"id": "7", "inputs": [tensor("BYTES", [2], data=[B64, "%"])]})
    assert request.items[0] == b"abc" and request.items[1].message.startswith("images[1]: ")
    assert (request.id, request.masks, request.binary, request.all_binary) == (
        *("7", "rle", None),
        False,
    )
    (one,) = infer({"inputs": [tensor("UINT8", [1, 1, 2, 3], data=[1, 2, 3, 4, 5, 6])]}).items
    assert one.dtype == np.uint8 and one.tolist() == [[[1, 2, 3], [4, 5, 6]]]
    (same,) = infer({"inputs": [tensor("UINT8", [1, 2, 3], data=[[[1, 2, 3], [4, 5, 6]]])]}).items
    assert same.tolist() == one.tolist()
    (deep,) = infer({"inputs": [tensor("UINT16", [1, 1, 1, 1], data=[65535])]}).items
    assert deep.dtype == np.uint16 and deep.tolist() == [[[65535]]]
    (half,) = infer({"inputs": [tensor("FP32", [1, 1, 1, 1], data=[0.5])]}).items
    assert half.dtype == np.float32 and half.tolist() == [[[0.5]]]


def test_binary_tensors():
    data = b"\x03\0\0\0abc" + b"\0\0\0\0"
    sized = {"parameters": {"binary_data_size": len(data)}}
    assert infer({"inputs": [tensor("BYTES", [2], **sized)]}, data).items == [b"abc", b""]
    sized = {"parameters": {"binary_data_size": 4}}
    one, two = infer({"inputs": [tensor("UINT16", [2, 1, 1, 1], **sized)]}, b"\1\0\0\1").items
    assert (one.item(), two.item()) == (1, 256)


@pytest.mark.parametrize(
    "content, data, length, told",
    [
        ({}, b"", None, 'expected "inputs" with one tensor'),
        ({"inputs": [1]}, b"", None, "received [1]"),
        ({"inputs": [{}, {}]}, b"", None, "received [{}, {}]"),
        ({"inputs": [{}]}, b"", None, "received None with shape None"),
        ({"inputs": [tensor("INT8", [1])]}, b"", None, "received 'INT8' with shape [1]"),
        ({"inputs": [tensor(["BYTES"], [1])]}, b"", None, "received ['BYTES']"),
        ({"inputs": [tensor("UINT8", [1, 2])]}, b"", None, "with shape [1, 2]"),
        ({"inputs": [tensor("BYTES", [-1])]}, b"", None, "with shape [-1]"),
        ({"inputs": [tensor("BYTES", [1])]}, b"", None, 'expected "data" to be a list'),
        ({"inputs": [tensor("BYTES", [2], data=[B64])]}, b"", None, "2 texts by the tensor's"),
        ({"inputs": [tensor("UINT8", [1, 1, 1], data=[256])]}, b"", None, "from 256 to 256"),
        ({"inputs": [tensor("UINT8", [1, 1, 1], data=[0.5])]}, b"", None, "such as 0.5"),
        ({"inputs": [tensor("UINT8", [1, 1, 2], data=[1])]}, b"", None, "2 values by the"),
        ({"inputs": [tensor("UINT8", [1, 1, 2], data=[[1], 2])]}, b"", None, "of UINT8"),
        ({"inputs": [tensor("BYTES", [1], parameters=3)]}, b"", None, "expected parameters to be"),
        ({"inputs": [tensor("BYTES", [1])], "parameters": {"masks": []}}, b"", None, "received []"),
        ({"inputs": [tensor("BYTES", [1])], "outputs": [{"name": []}]}, b"", None, "outputs with"),
        ({"inputs": [tensor("BYTES", [1])], "outputs": {}}, b"", None, "received {}"),
        ({}, b"", "3000", "received '3000'"),
        ({}, b"", "-1", "it counts the bytes of the JSON"),
        (
            {"inputs": [tensor("BYTES", [1], parameters={"binary_data_size": 3})]},
            *(b"ab", None, "to be the 2 bytes behind the JSON, received 3"),
        ),
        (
            {"inputs": [tensor("BYTES", [1], parameters={"binary_data_size": 5})]},
            *(b"\2\0\0\0a", None, "expected 1 elements of BYTES, each its length in 4 bytes"),
        ),
        (
            {"inputs": [tensor("UINT8", [1, 1, 3], parameters={"binary_data_size": 2})]},
            *(b"ab", None, "expected 3 bytes by the tensor's shape, received 2"),
        ),
    ],
)
def test_bodies_that_are_no_infer(content, data, length, told):
    status, text = refusal(infer, content, data, length)
    assert status == 400 and told in text


def test_answers_in_json_and_binary():
    tensors = model_outputs(results_of(204), "rle", Limits())
    body, length = kserve.write_answer(kserve.Infer([b""], id="7"), tensors, "m", "1")
    answer = json.loads(body)
    assert length is None and list(answer) == ["model_name", "model_version", "outputs", "id"]
    assert answer["outputs"][3] == {
        **{"name": "detection_masks", "datatype": "BYTES"},
        **{"shape": [1, 2], "data": [CAT, DOG]},
    }
    wanted = {"num_detections": False, "detection_masks": True, "detection_boxes": True}
    body, length = kserve.write_answer(kserve.Infer([b""], binary=wanted), tensors, "m", "1")
    outputs, data = json.loads(body[:length])["outputs"], body[length:]
    assert [each["name"] for each in outputs] == [
        *("detection_boxes", "detection_masks", "num_detections"),
    ]
    boxes, masks = data[:32], data[32:]
    assert outputs[0]["parameters"] == {"binary_data_size": 32}
    assert boxes == struct.pack("<8f", 0, 1, 1, 2.5, 1, 0, 2, 1)
    assert masks == b"\5\0\0\x0031203\3\0\0\x0011:"
    assert outputs[2]["data"] == [2]


def test_wanted_outputs_of_a_request():
    outputs = [
        {"name": "num_detections"},
        {"name": "detection_boxes", "parameters": {"binary_data": True}},
    ]
    content = {"inputs": [tensor("BYTES", [0], data=[])], "outputs": outputs}
    assert infer(content).binary == {"num_detections": False, "detection_boxes": True}
    content["parameters"] = {"binary_data_output": True, "masks": "full"}
    request = infer(content)
    assert request.binary["num_detections"] and request.all_binary and request.masks == "full"


# Files.

FORM = "multipart/form-data; boundary=xyz"


def form(*parts):
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + b"--xyz--\r\n"


FILE = (
    b'Content-Disposition: form-data; name="f"; filename="a \\"b\\".png"\r\nX: y\r\n\r\n\r\n--xy\0'
)
FIELD = b'Content-Disposition: form-data; name="f"\r\n\r\n1'


def test_files_of_forms_and_bodies():
    assert multipart.read_upload(form(FIELD, FILE), FORM) == ('a "b".png', b"\r\n--xy\0")
    quoted = 'Multipart/Form-Data; charset=x; boundary="xyz"'
    assert multipart.read_upload(b"before\r\n" + form(FILE), quoted)[1] == b"\r\n--xy\0"
    for kind in (None, "image/png", "application/x-www-form-urlencoded"):
        assert multipart.read_upload(b"abc", kind) == (None, b"abc")


@pytest.mark.parametrize(
    "body, content_type, told",
    [
        (b"", "image/png", "received an empty body"),
        (form(FILE), "multipart/form-data", "expected a boundary"),
        (form(FILE)[:-4], FORM, "without it; send the whole body"),
        (b"", FORM, "received 0 bytes without it"),
        (form(FIELD), FORM, "expected a form with one file, received 0 in 1 parts"),
        (form(FILE, FILE), FORM, "received 2 in 2 parts"),
    ],
)
def test_bodies_without_a_file(body, content_type, told):
    status, text = refusal(multipart.read_upload, body, content_type)
    assert status == 400 and told in text


def options(query, names=("BG", "cat", "2"), count=3):
    return detect.read_options(query, names, count)


def test_options_of_a_query():
    assert options([]) == detect.DetectOptions(0.0, None, "rle", "json")
    query = [("score", "0.5"), ("classes", "cat, 2"), ("masks", "none"), ("format", "png")]
    assert options(query) == detect.DetectOptions(0.5, (1, 2), "none", "png")
    # A name goes before an id.
    assert options([("classes", "2,1")], ["BG", "2", "x"]).class_ids == (1, 1)
    assert options([("classes", "2,class 1")], None).class_ids == (2, 1)


@pytest.mark.parametrize(
    "query, told",
    [
        ([("scores", "1")], "received 'scores'; leave it out"),
        ([("score", "1"), ("score", "1")], "received 'score' again"),
        ([("score", "nan")], "a number from 0 to 1, received 'nan'"),
        ([("score", "x")], "received 'x'"),
        ([("classes", "cow")], "received 'cow'; there are cat, 2"),
        ([("classes", "0")], "ids of 1 to 2"),
        ([("masks", "full")], "one of rle, polygons, none, received 'full'"),
        ([("format", "jpg")], "one of json, png"),
    ],
)
def test_queries_that_are_refused(query, told):
    status, text = refusal(options, query)
    assert status == 400 and told in text


def test_coco_of_a_picture():
    (found, size), chosen = results_of(204)[0], detect.DetectOptions(score=0.5)
    found = detect.selected(found, chosen)
    content = json.loads(detect.write_coco(found, size, "a.png", chosen, 3))
    assert content["images"] == [{"id": 1, "file_name": "a.png", "width": 4, "height": 3}]
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (cat,) = content["annotations"]
    assert cat.pop("score") == pytest.approx(0.8)
    assert cat == {
        **{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 0, 1.5, 1], "area": 2},
        **{"iscrowd": 0, "segmentation": {"size": [3, 4], "counts": CAT}},
    }


def test_polygons_have_no_holes():
    ring = np.ones((3, 3, 1), bool)
    ring[1, 1] = False
    (found, _), chosen = results_of(204)[0], detect.DetectOptions(masks="polygons")
    found = found.filter([0])
    found["masks"] = ring
    content = json.loads(detect.write_coco(found, (3, 3), None, chosen, 3))
    (polygon,) = content["annotations"][0]["segmentation"]
    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [(0, 0), (0, 3), (3, 0), (3, 3)]
    assert content["annotations"][0]["area"] == 8
    chosen = detect.DetectOptions(masks="none")
    assert "segmentation" not in json.loads(detect.write_coco(found, (3, 3), None, chosen, 3))


def test_overlay_is_a_png_of_the_size():
    (found, _) = results_of(100, size=(40, 60))[0]
    png = detect.write_png(found, detect.DetectOptions())
    assert png.startswith(b"\x89PNG") and png[16:24] == struct.pack(">II", 60, 40)
    assert png != detect.write_png(found, detect.DetectOptions(masks="none"))
    assert "masks" in found
    assert encoded(100, (40, 60)) != png
