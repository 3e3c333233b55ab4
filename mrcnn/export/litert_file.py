"""LiteRT: a `.tflite` of images of known sizes, of LiteRT's own operations alone."""

import contextlib
import json
import tempfile
import zipfile

import keras
import tensorflow as tf

from mrcnn.export.litert_kernels import kernels_of
from mrcnn.export.metadata import FILE, ForeignFileError
from mrcnn.export.serving import Serving
from mrcnn.ops.native import kernels


def write(model, path, metadata, stages=False):
    """Writes a LiteRT file with a signature for each size, `detect_480x640`, see `Serving.detect`.

    The metadata are a file of a ZIP archive at its end, as LiteRT's tools keep such.
    Arguments are those of `mrcnn.export.saved_model.write`.
    """
    serving = Serving(model, exact=False)
    function = serving.stages if stages else serving.detect
    archive = keras.export.ExportArchive()
    archive.track(serving.graph)
    names, batch = [], metadata["batch"]
    with kernels(kernels_of(batch)), tempfile.TemporaryDirectory() as folder:
        for height, width in metadata["sizes"]:
            shape = (batch, height, width, model.settings.image.channels)
            images = tf.TensorSpec(shape, tf.uint8, name="image_tensor")
            names.append(_signature(height, width))
            archive.add_endpoint(names[-1], function, input_signature=[images])
        with contextlib.redirect_stdout(None):
            archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=names)
        content = converter.convert()
    with open(path, "wb") as file:
        file.write(content)
    with zipfile.ZipFile(path, "a") as end:
        end.writestr(FILE, json.dumps(metadata))


def _signature(height, width):
    return f"detect_{height}x{width}"


def open_file(path):
    """Opens a file that `write` wrote in LiteRT."""
    return _File(path)


class _File:
    """A function of uint8 images [B, H, W, C] to dict of arrays, with `metadata`, a dict."""

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        try:
            with zipfile.ZipFile(path) as end:
                self.metadata = json.loads(end.read(FILE))
        except (zipfile.BadZipFile, KeyError):
            raise ForeignFileError(path, f"{FILE} at its end") from None
        self._interpreter = Interpreter(str(path))

    def __call__(self, images):
        run = self._interpreter.get_signature_runner(_signature(*images.shape[1:3]))
        return dict(run(image_tensor=images))
