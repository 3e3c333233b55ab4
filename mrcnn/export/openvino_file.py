"""OpenVINO: a `.xml` with its weights in the `.bin` beside it, of the same graph as ONNX."""

import json
import tempfile
from pathlib import Path

from mrcnn.export.metadata import KEY, ForeignFileError
from mrcnn.export.onnx_file import convert
from mrcnn.export.serving import Serving


def write(model, path, metadata, stages=False):
    """Writes a model of OpenVINO with the input `image_tensor`, see `Serving.detect`.

    Arguments are those of `mrcnn.export.saved_model.write`.
    """
    import onnx
    import openvino

    # Its processors have no float64.
    graph = convert(Serving(model, exact=False), metadata, stages)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.onnx"
        onnx.save(graph, whole)
        converted = openvino.convert_model(whole)
        converted.set_rt_info(json.dumps(metadata), [KEY])
        openvino.save_model(converted, path, compress_to_fp16=False)


def open_file(path):
    """Opens a file that `write` wrote in OpenVINO, on the processor."""
    return _File(path)


class _File:
    """A function of uint8 images [B, H, W, C] to dict of arrays, with `metadata`, a dict."""

    def __init__(self, path):
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        if not model.has_rt_info([KEY]):
            raise ForeignFileError(path, f"{KEY!r} in its rt_info")
        self.metadata = json.loads(model.get_rt_info([KEY]).astype(str))
        # Where a processor has bfloat16 it would be taken.
        self._model = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def __call__(self, images):
        found = self._model({"image_tensor": images})
        # An output has the names of all that is equal to it.
        return {name: array.copy() for output, array in found.items() for name in output.names}
