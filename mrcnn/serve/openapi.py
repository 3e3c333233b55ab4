"""What the page /docs says of the bodies that the app reads itself."""

from mrcnn.serve.protocols import detect, outputs, tensorflow_serving

_PICTURE = {"type": "object", "properties": {"b64": {"type": "string", "format": "byte"}}}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string", "example": "image_bytes"},
        "shape": {"type": "array", "items": {"type": "integer"}, "example": [1]},
        "datatype": {"enum": ["BYTES", "UINT8", "UINT16", "FP32"]},
        "data": {"type": "array", "items": {}, "description": "values, of BYTES as base64"},
        "parameters": {"type": "object", "description": "binary_data_size"},
    },
}
_FILE = {"type": "string", "format": "binary"}


def _body(**kinds):
    content = {name.replace("_", "/", 1): {"schema": schema} for name, schema in kinds.items()}
    return {"requestBody": {"required": True, "content": content}}


def _query(name, about, schema):
    return {"name": name, "in": "query", "description": about, "schema": schema}


PREDICT = _body(
    application_json={
        "type": "object",
        "properties": {
            "signature_name": {"enum": list(tensorflow_serving.SIGNATURES)},
            "instances": {"type": "array", "items": _PICTURE},
        },
    }
)
INFER = _body(
    application_json={
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": _TENSOR},
            "parameters": {
                "type": "object",
                "properties": {
                    "masks": {"enum": list(outputs.MASKS)},
                    "binary_data_output": {"type": "boolean"},
                },
            },
        },
    }
)
DETECT = {
    **_body(
        **{
            "multipart_form-data": {"type": "object", "properties": {"file": _FILE}},
            "image_*": _FILE,
        }
    ),
    "parameters": [
        _query("score", "the least", {"type": "number", "minimum": 0, "maximum": 1}),
        _query("classes", "names or ids, with commas", {"type": "string"}),
        _query("masks", "of the answer", {"enum": list(detect.MASKS)}),
        _query("format", "COCO's JSON, or a picture", {"enum": list(detect.FORMATS)}),
    ],
}
_TASK = {"type": "object", "example": {"id": 1, "data": {"image": "/data/upload/1/a.jpg"}}}
TASKS = _body(
    application_json={
        "type": "object",
        "required": ["tasks", "label_config"],
        "properties": {
            "tasks": {"type": "array", "items": _TASK},
            "label_config": {"type": "string", "description": "XML of the project"},
        },
    }
)
