"""ONNX: one file for ONNX Runtime, TensorRT, OpenVINO and others."""

import json

import tensorflow as tf

from mrcnn.export.metadata import KEY, ForeignFileError
from mrcnn.export.onnx_kernels import HANDLERS, KERNELS, OPSET
from mrcnn.export.serving import Serving
from mrcnn.ops.native import kernels


def write(model, path, metadata, stages=False):
    """Writes an ONNX file with the input `image_tensor`, see `Serving.detect`.

    Arguments are those of `mrcnn.export.saved_model.write`.
    """
    import onnx

    graph = convert(Serving(model, metadata["full_masks"]), metadata, stages)
    entry = graph.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(metadata)
    onnx.save(graph, path)


def convert(serving, metadata, stages=False):
    """The `onnx.ModelProto` of a serving function, of the size and batch of its metadata."""
    import tf2onnx

    size = metadata["sizes"][0] if metadata["sizes"] else (None, None)
    shape = (metadata["batch"], *size, serving.settings.image.channels)
    images = tf.TensorSpec(shape, tf.uint8, name="image_tensor")
    function = serving.stages if stages else serving.detect
    function = tf.function(function, input_signature=[images], autograph=False)
    with kernels(KERNELS):
        options = {"opset": OPSET, "custom_op_handlers": HANDLERS}
        return tf2onnx.convert.from_function(function, input_signature=[images], **options)[0]


def open_file(path):
    """Opens a file that `write` wrote in ONNX Runtime."""
    return _File(path)


class _File:
    """A function of uint8 images [B, H, W, C] to dict of arrays, with `metadata`, a dict."""

    def __init__(self, path):
        import onnxruntime

        providers = onnxruntime.get_available_providers()
        self._session = onnxruntime.InferenceSession(str(path), providers=providers)
        found = self._session.get_modelmeta().custom_metadata_map
        if KEY not in found:
            raise ForeignFileError(path, f"metadata {KEY!r}")
        self.metadata = json.loads(found[KEY])
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, images):
        found = self._session.run(self._names, {"image_tensor": images})
        return dict(zip(self._names, found, strict=True))
