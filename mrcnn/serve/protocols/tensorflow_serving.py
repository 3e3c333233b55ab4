"""The REST interface of TensorFlow Serving, version 1: `predict`, state and metadata of a
model.

Pictures are `{"b64": ...}` of a file, or lists of pixels; each may be under the name of the Model
Garden's input, `image_bytes` or `image_tensor`. `signature_name` chooses the masks of the answer.
"""

import dataclasses

from mrcnn.serve.errors import RequestError, shown
from mrcnn.serve.protocols.json_bodies import from_base64, from_numbers, read_json, write_json

# How masks come, by the name of the signature.
SIGNATURES = {"serving_default": "rle", "full_masks": "full", "boxes": "none"}
INPUTS = ("image_bytes", "image_tensor")
_KEYS = ("signature_name", "instances", "inputs")


@dataclasses.dataclass(frozen=True)
class Predict:
    """A request.

    Args:
        items: list of bytes, arrays and `RequestError`s, one for each picture.
        columns: bool, whether it came as `inputs` and is answered by `outputs`.
        masks: of `outputs.MASKS`.
    """

    items: list
    columns: bool
    masks: str


def read_request(body):
    """The `Predict` of a body.

    Raises:
        RequestError: it is none; what is wrong with one picture is an item instead.
    """
    content = read_json(body)
    unknown = [key for key in content if key not in _KEYS]
    if unknown or ("instances" in content) == ("inputs" in content):
        raise RequestError(
            400,
            'expected "instances" (a list, one for each picture) or "inputs" (one for all), and '
            f'perhaps "signature_name", received the keys {shown(list(content))}; send one of the '
            "two",
        )
    signature = content.get("signature_name") or "serving_default"
    if not isinstance(signature, str) or signature not in SIGNATURES:
        raise RequestError(
            400,
            f"expected a signature_name of {', '.join(SIGNATURES)}, received {shown(signature)}; "
            "leave it out for the first",
        )
    columns = "inputs" in content
    pictures = _column(content["inputs"]) if columns else content["instances"]
    if not isinstance(pictures, list):
        raise RequestError(
            400,
            f'expected a list of pictures, received {shown(pictures)}; write "instances": [...]',
        )
    items = [_item(value, f"images[{i}]") for i, value in enumerate(pictures)]
    return Predict(items, columns, SIGNATURES[signature])


def _column(inputs):
    """The list of pictures of `inputs`: named or not, one or several."""
    if isinstance(inputs, dict) and "b64" not in inputs:
        if len(inputs) != 1 or next(iter(inputs)) not in INPUTS:
            raise RequestError(
                400,
                f'expected "inputs" with one of {", ".join(INPUTS)}, received '
                f"{shown(list(inputs))}; name one of them",
            )
        inputs = next(iter(inputs.values()))
    return [inputs] if isinstance(inputs, dict) else inputs


def _item(value, name):
    if isinstance(value, dict) and len(value) == 1:
        key, content = next(iter(value.items()))
        if key == "b64":
            return from_base64(content, name)
        if key in INPUTS:
            return _item(content, name)
    if isinstance(value, dict):
        return RequestError(
            400,
            f'{name}: expected {{"b64": ...}}, or one of {", ".join(INPUTS)}, received the keys '
            f"{shown(list(value))}; send one picture by one key",
        )
    return from_numbers(value, name)


def write_answer(request, tensors):
    """The body of an answer.

    Args:
        request: `Predict`.
        tensors: dict of arrays, see `outputs`.
    """
    if request.columns:
        return write_json({"outputs": {name: array.tolist() for name, array in tensors.items()}})
    values = {name: array.tolist() for name, array in tensors.items()}
    errors = values.pop("errors", [""] * len(request.items))
    rows = [
        {"error": error} if error else {name: rows[i] for name, rows in values.items()}
        for i, error in enumerate(errors)
    ]
    return write_json({"predictions": rows})


def model_status(version):
    """What `GET` of a model says."""
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": version, "state": "AVAILABLE", "status": status}]}


_TYPES = {"float32": "DT_FLOAT", "int32": "DT_INT32", "uint8": "DT_UINT8", "object": "DT_STRING"}


def model_metadata(name, version, outputs):
    """What `GET` of a model's metadata says: its signatures.

    Args:
        name, version: str, of the model.
        outputs: function of one of `outputs.MASKS` to the dict of `outputs.declared_outputs`.
    """
    inputs = {"image_bytes": ("object", [-1])}
    signatures = {
        signature: {
            "inputs": _tensors(inputs),
            "outputs": _tensors(outputs(masks)),
            "method_name": "tensorflow/serving/predict",
        }
        for signature, masks in SIGNATURES.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensors(described):
    """Tensors as TensorFlow describes them; numbers of 64 bits are texts in its JSON."""
    return {
        name: {
            "dtype": _TYPES[kind],
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in shape],
                "unknown_rank": False,
            },
            "name": f"{name}:0",
        }
        for name, (kind, shape) in described.items()
    }
