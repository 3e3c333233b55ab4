"""`ExportedModel`: an exported file with the face of a model, as `detect` and `evaluate` need it.

Shapes: B images, H W of an image, D detections.
"""

import copy
import io
import itertools
import re

import numpy as np
from PIL import Image

from mrcnn.architectures import ARCHITECTURES
from mrcnn.config_files import config_from
from mrcnn.data.keypoints import KeypointScheme
from mrcnn.export.formats import FORMATS, check_packages, format_of
from mrcnn.export.metadata import ForeignFileError
from mrcnn.export.serving import OF_DETECTIONS
from mrcnn.image.channels import Channels
from mrcnn.image.pixels import to_model_image
from mrcnn.image.resizing import pad_to, scale_image
from mrcnn.image.sizes import scaled_size
from mrcnn.inference.detections import Detections
from mrcnn.inference.detector import same_shapes
from mrcnn.inference.images import check_images, read_images
from mrcnn.settings import Settings


class ExportedModel:
    """Detects by a file that `export` wrote, in its own runtime.

    Args:
        path: of the file or folder.
        config: `Config` in place of that in the file: its `DETECTION_MIN_CONFIDENCE` leaves
            detections out, its `BATCH_SIZE` says how many images are detected in at once; nothing
            else of it counts.

    Attributes:
        metadata: dict of `mrcnn.export.metadata.metadata_of`.
        config, settings, class_names, keypoint_scheme: as of a `DetectionModel`; of the config's
            functions there is no trace.
        finds_instances, finds_segments, further_scores: as of its class.
        takes_bytes: bool, whether the file takes encoded pictures too.

    Raises:
        ValueError: a file of no known format, of others than `export`, or that its runtime
            cannot read.
        ImportError: a package that reads it is missing.

    Example:

    >>> ExportedModel("balloon.onnx").detect(["picture.jpg"])[0]["scores"]  # doctest: +SKIP
    """

    def __init__(self, path, config=None):
        self._file = open_file(path)
        self.metadata = self._file.metadata
        self.configure(config or exported_config(self.metadata, path))
        self.class_names, scheme = self.metadata["class_names"], self.metadata["keypoints"]
        self.keypoint_scheme = None if scheme is None else KeypointScheme(**scheme)
        self.takes_bytes = hasattr(self._file, "detect_bytes")
        self._kind = ARCHITECTURES[self.config.ARCHITECTURE]
        self.finds_instances = self._kind.finds_instances
        self.finds_segments = self._kind.finds_segments
        self.further_scores = self._kind.further_scores

    def configure(self, config):
        """Takes another `config`, as of the constructor."""
        self.config, self.settings = config, Settings.from_config(config)

    def detect(self, images, verbose=0, stream=False, progress=None, proposals=None):
        """As `DetectionModel.detect`, of uint8 images; `verbose`, `progress`, `proposals` are not
        used."""
        check_images(images, stream)
        pictures = read_images(images, self, Channels.of(self.settings.image))
        if stream:
            return self._stream(pictures)
        pictures = list(pictures)
        found = self._detect(pictures)
        return [self._detections(*pair) for pair in zip(found, pictures, strict=True)]

    def detect_bytes(self, images):
        """As `detect`, of images that are handed to the file encoded, as PNG."""
        other = copy.copy(self)
        other._file = lambda batch: self._file.detect_bytes([_png(image) for image in batch])
        return other.detect(images)

    def _stream(self, pictures):
        pictures = iter(pictures)
        while batch := list(itertools.islice(pictures, self.settings.runtime.batch_size)):
            for found in self._detect(batch):
                yield self._detections(found, None)

    def _detections(self, found, image):
        return Detections(found, image, self.class_names, self.keypoint_scheme)

    def _detect(self, pictures):
        images = [self._pixels(picture, i) for i, picture in enumerate(pictures)]
        results = [None] * len(images)
        fitted = [fit(image, self.metadata["sizes"]) for image in images]
        shapes = [image.shape for image, _ in fitted]
        fixed = self.metadata["batch"]
        size = fixed or self.settings.runtime.batch_size
        for indices in same_shapes(shapes, size, fixed and dict.fromkeys(shapes, fixed)):
            outputs = self._file(np.stack([fitted[i][0] for i in indices]))
            for i in dict.fromkeys(indices):  # a batch may be filled up with its last one
                row = indices.index(i)
                one = {name: array[row] for name, array in outputs.items()}
                results[i] = self._unmold(one, images[i].shape, fitted[i][1])
        return results

    def _pixels(self, picture, i):
        name = f"images[{i}]"
        image = to_model_image(picture, self.settings.image.channels, name, self)
        if image.dtype != np.uint8:
            raise ValueError(
                f"{name}: an exported model takes uint8, received {np.asarray(picture).dtype}; "
                "round the values, or detect with the weights"
            )
        return image

    def to_input(self, picture):
        """A picture, array or path, as the file takes it: uint8 [H, W, C]."""
        (pixels,) = read_images([picture], self, Channels.of(self.settings.image))
        return fit(self._pixels(pixels, 0), self.metadata["sizes"])[0]

    def _unmold(self, outputs, shape, part):
        """The result of an image of its row of each output; `part` is of `fit`."""
        count = int(outputs.get("num_detections", 0))
        if count:
            scores = outputs["detection_scores"][:count]
            count = int(np.count_nonzero(scores >= self.settings.detections.min_confidence))
        if self.metadata["full_masks"]:
            return _whole(outputs, count)
        given, molded, window = unmolded_geometry(outputs["image_info"])
        known = {old: outputs[new] for old, new in OF_DETECTIONS.items() if new in outputs}
        known = {name: array[:count] for name, array in known.items()} | outputs
        offset = self.settings.detections.box_offset
        if "detection_boxes" in outputs:
            geometry = given, molded, window
            known["detections"] = _normalised(outputs, count, geometry, offset)
        if tuple(part) != tuple(given):
            window = _part_of(window, np.divide(part, given), "semantic_logits" in outputs)
            _clip(known.get("detections"), window, molded, offset)
        return self._kind.unmold(known, shape, molded, window, self.settings)


def open_file(path):
    """The function that an exported file is, with its `metadata`; see `ExportedModel`."""
    name = format_of(path)
    if name is None:
        raise ValueError(
            f"{path} is no exported model; expected a SavedModel's folder, or a file with one of "
            f"{', '.join(each.suffix for each in FORMATS.values() if each.suffix)}"
        )
    check_packages(name, reading=True)
    kind = FORMATS[name]
    try:
        return kind.load().open_file(path)
    except (ImportError, MemoryError, ForeignFileError):
        raise
    except Exception as error:  # each runtime has exceptions of its own
        raise ValueError(
            f"{path} cannot be read by {kind.runtime}: {_reason(error)}; expected what mrcnn "
            f"export wrote, whole{kind.parts}: copy it once more, or export the weights again"
        ) from error


def _reason(error):
    """The first line of an error that tells more than a place in C++."""
    lines = str(error).strip().splitlines()
    telling = [line for line in lines if not re.match(r"Exception from |Check '", line)]
    return next(iter([*telling, *lines]), type(error).__name__).rstrip(".")


def exported_config(metadata, path):
    """The `Config` of an exported model, without its functions."""
    return config_from(metadata["config"], lambda key: f"{path}, metadata")


def unmolded_geometry(info):
    """What `image_info` [4, 2] says: (H, W) of the image, of the molded image, and window."""
    image, molded, scale, offset = np.asarray(info, np.float64)
    low, size = -offset, np.rint(image * scale)
    sides = (tuple(x.astype(int).tolist()) for x in (image, molded))
    return *sides, tuple(np.rint([*low, *(low + size)]).astype(int).tolist())


def _png(image):
    """An image, uint8 [H, W, 1 or 3], as PNG: bytes."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return file.getvalue()


def _part_of(window, shares, whole_pixels):
    """The upper left part of a window, y1 x1 y2 x2, of these shares of its sides."""
    low = np.asarray(window[:2], float)
    high = low + (window[2:] - low) * shares
    return tuple(np.rint([*low, *high]).astype(int) if whole_pixels else [*low, *high])


def _clip(detections, window, molded, offset):
    """Ends the boxes of detections at a window, in place."""
    if detections is not None:
        low, high = (np.asarray(x, float) for x in (window[:2], window[2:]))
        sides = np.asarray(molded, float) - offset
        limits = np.tile(low / sides, 2), np.tile((high - offset) / sides, 2)
        detections[:, :4] = np.clip(detections[:, :4], *limits)


def _normalised(outputs, count, geometry, offset):
    """The detections as the network had them, float64 [n, 6]: `unmold_detections` turned round."""
    image, molded, window = (np.asarray(x, np.float64) for x in geometry)
    low, high = window[:2] / (molded - offset), (window[2:] - offset) / (molded - offset)
    boxes = outputs["detection_boxes"][:count] - np.array([0, 0, offset, offset], np.float64)
    boxes = boxes / np.tile(image - offset, 2) * np.tile(high - low, 2) + np.tile(low, 2)
    columns = [outputs[f"detection_{name}"][:count, None] for name in ("classes", "scores")]
    return np.concatenate([boxes, *columns], axis=1)


def _whole(outputs, count):
    """The result of outputs whose masks are pasted."""
    boxes = outputs["detection_boxes"][:count]
    return {
        "rois": np.around(boxes).astype(np.int32),
        "boxes": boxes,
        "class_ids": outputs["detection_classes"][:count],
        "scores": outputs["detection_scores"][:count],
        "masks": np.moveaxis(outputs["detection_masks"][:count].astype(bool), 0, -1),
    }


def fit(image, sizes):
    """An image as a file takes it that knows some sizes alone.

    Args:
        image: uint8 [H, W, C].
        sizes: list of (height, width), or None for any.

    Returns:
        The image, scaled and padded at the bottom and right where it has none of them, to that in
        which it is the largest; and (height, width) of the picture in it.
    """
    if sizes is None or list(image.shape[:2]) in [list(size) for size in sizes]:
        return image, image.shape[:2]
    scales = [min(np.divide(size, image.shape[:2])) for size in sizes]
    best = int(np.argmax(scales))
    part = scaled_size(*image.shape[:2], scales[best])
    return pad_to(scale_image(image, part, "antialias"), sizes[best]), part
