"""What stock `tensorflow_model_server` makes of a folder and of a request, by the rules that
TensorFlow Serving publishes: "RESTful API" for JSON, `apis/predict.proto` for gRPC.

It loads as that server does: the meta graph of the tag "serve" into a session, in which tensors
are fed and fetched by the names that a signature gives them; nothing of Python is left.
"""

import base64

import numpy as np
import tensorflow as tf

# The types that have a form in JSON.
JSON_TYPES = {
    *(tf.bool, tf.string, tf.float32, tf.float64, tf.int8, tf.int16, tf.int32, tf.int64),
    *(tf.uint8, tf.uint32, tf.uint64),
}


class ModelServer:
    """The newest version of a model.

    Args:
        folder: `Path`, `--model_base_path`: its folders with a number for a name are the versions.
    """

    def __init__(self, folder):
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        load = tf.compat.v1.saved_model.load
        meta_graph = load(self._session, ["serve"], str(folder / str(max(versions))))
        self.signatures = meta_graph.signature_def

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._session.close()

    def run(self, signature_name, inputs):
        """The outputs, dict of arrays, of a signature for inputs of exactly its names."""
        signature = self.signatures[signature_name or "serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        assert inputs.keys() == set(signature.inputs)
        fed = {signature.inputs[alias].name: value for alias, value in inputs.items()}
        fetched = {alias: output.name for alias, output in signature.outputs.items()}
        return self._session.run(fetched, fed)

    def post(self, request):
        """The JSON, a dict, that `:predict` answers to that of a body."""
        signature = self.signatures[request.get("signature_name", "serving_default")]
        assert ("instances" in request) != ("inputs" in request)
        rows = "instances" in request
        inputs = (_of_rows if rows else _of_columns)(
            request["instances" if rows else "inputs"], signature.inputs
        )
        outputs = self.run(request.get("signature_name"), inputs)
        assert len(outputs) > 1  # else the name is left out
        if not rows:
            return {"outputs": {name: _to_json(array) for name, array in outputs.items()}}
        (batch,) = {len(array) for array in outputs.values()}  # else it answers an error
        predictions = [
            {name: _to_json(array[i]) for name, array in outputs.items()} for i in range(batch)
        ]
        return {"predictions": predictions}


def _of_rows(instances, infos):
    """The inputs of `instances`: values of the only input, or objects with one of each."""
    named = all(isinstance(each, dict) and each.keys() != {"b64"} for each in instances)
    if not named:
        (alias,) = infos  # the short form is for one input
        return {alias: _array(instances, infos[alias])}
    return {alias: _array([each[alias] for each in instances], infos[alias]) for alias in infos}


def _of_columns(columns, infos):
    """The inputs of `inputs`: the value of the only one, or an object of all."""
    if not isinstance(columns, dict) or columns.keys() == {"b64"}:
        (alias,) = infos
        columns = {alias: columns}
    return {alias: _array(value, infos[alias]) for alias, value in columns.items()}


def _array(value, info):
    dtype = tf.as_dtype(info.dtype)
    assert dtype in JSON_TYPES
    array = np.array(_decoded(value), object if dtype == tf.string else dtype.as_numpy_dtype)
    assert tf.TensorShape(info.tensor_shape).is_compatible_with(array.shape)
    return array


def _decoded(value):
    """Nested lists with the bytes of each {"b64": ...}."""
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value


def _to_json(array):
    assert tf.as_dtype(array.dtype) in JSON_TYPES
    return array.tolist()
