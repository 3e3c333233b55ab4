"""TensorFlow's SavedModel: a folder that TensorFlow, TF Serving and others load without `mrcnn`."""

import contextlib
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mrcnn.export.metadata import FILE, ForeignFileError
from mrcnn.export.serving import Serving

_EXTRA = "assets.extra"  # a SavedModel's place for files of others


def write(model, path, metadata, stages=False):
    """Writes a SavedModel.

    Its signatures are `serving_default`, of `image_tensor`, see `Serving.detect`, and, for images
    of one or three channels, `image_bytes`: str [B], encoded JPEG or PNG, each decoded as it is,
    without the turn that its EXIF asks for. Outputs of one call are one array each, so that where
    their sizes are the pictures', as those of pasted masks, the pictures need to be of one size.

    Args:
        model: `DetectionModel`.
        path: of the folder.
        metadata: dict of `metadata_of`.
        stages: bool, whether the file returns the stages of the network instead.
    """
    serving = Serving(model, metadata["full_masks"])
    channels = model.settings.image.channels
    images = tf.TensorSpec((None, None, None, channels), tf.uint8, name="image_tensor")
    function = serving.stages if stages else serving.detect
    detect = tf.function(function, input_signature=[images], autograph=False)
    archive = keras.export.ExportArchive()
    archive.track(serving.graph)
    archive.add_endpoint("serving_default", detect)
    if channels in (1, 3):
        texts = tf.TensorSpec((None,), tf.string, name="image_bytes")
        archive.add_endpoint("image_bytes", _of_bytes(detect, channels), input_signature=[texts])
    with contextlib.redirect_stdout(None):
        archive.write_out(path, verbose=False)
    folder = Path(path) / _EXTRA
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps(metadata, indent=1))


def _of_bytes(detect, channels):
    """The function of encoded images that detects in one after the other."""
    outputs = detect.get_concrete_function().structured_outputs
    one = {name: tf.TensorSpec(x.shape[1:], x.dtype) for name, x in outputs.items()}

    def decode(data):
        # It takes PNG too; accurate as Pillow is.
        image = tf.io.decode_jpeg(data, channels, dct_method="INTEGER_ACCURATE")
        return {name: x[0] for name, x in detect(image[None]).items()}

    def detect_bytes(image_bytes):
        return tf.map_fn(decode, image_bytes, fn_output_signature=one)

    return detect_bytes


def open_file(path):
    """Opens a SavedModel that `write` wrote."""
    return _File(path)


class _File:
    """A SavedModel that was opened: a function of uint8 images [B, H, W, C] to dict of arrays.

    Attributes:
        metadata: dict.
        detect_bytes: function of encoded images, list of bytes, to dict of arrays; of a file that
            takes them.
    """

    def __init__(self, path):
        file = Path(path) / _EXTRA / FILE
        if not file.is_file():
            raise ForeignFileError(path, f"{_EXTRA}/{FILE}")
        self.metadata = json.loads(file.read_text())
        self._loaded = tf.saved_model.load(str(path))  # kept: its variables go with it
        signatures = self._loaded.signatures
        self._detect = signatures["serving_default"]
        if "image_bytes" in signatures:
            detect = signatures["image_bytes"]
            self.detect_bytes = lambda texts: _arrays(detect(image_bytes=tf.constant(texts)))

    def __call__(self, images):
        return _arrays(self._detect(image_tensor=tf.constant(images)))


def _arrays(tensors):
    return {name: np.asarray(x) for name, x in tensors.items()}
