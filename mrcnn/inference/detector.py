"""`Detector`: what a built network finds in images.

Shapes: B images, H W of a molded image, D detections of an image, K classes.
"""

import itertools
import threading

import numpy as np

from mrcnn.image.molding import MoldedImages
from mrcnn.image.proposals import checked_proposals, pad_proposals
from mrcnn.inference.log import log
from mrcnn.inference.proposals import check_count, check_wanted, in_step, warn_of_limit
from mrcnn.parallel import OneDevice


class Detector:
    """Detects in images of any number and any sizes; threads may share one.

    Args:
        graph: `keras.Model` of `input_image` and `input_image_meta` to a dict of arrays [B, ...];
            with `USE_RPN_ROIS = False` of `input_roi` too.
        settings: `mrcnn.settings.Settings`.
        unmold: function (dict of an image's outputs, shape of the image, shape of the molded image,
            window, settings) to the result of an image.
        predict: function (graph, dict of arrays [B, ...]) to the graph's outputs, dict of arrays;
            by default on one device.

    Attributes:
        keypoint_scheme: `mrcnn.data.KeypointScheme` of the model, or None.
    """

    keypoint_scheme = None

    def __init__(self, graph, settings, unmold, predict=None):
        self.graph, self.settings, self.unmold = graph, settings, unmold
        self.predict = predict or OneDevice().predict
        self._compiled = {} if graph.jit_compile else None  # see `same_shapes`
        self._lock = threading.Lock()  # JAX's state of a model is one call's at a time

    def detect(self, images, verbose=0, names=None, progress=None, proposals=None):
        """Finds the objects in a list of images; see `DetectionModel.detect`.

        Args:
            images, verbose, proposals: as there.
            names: list of what errors call the images, or None for their places in the list.
            progress: not used: an image is one step.
        """
        check_wanted(self.settings, proposals)
        check_count(images, proposals)
        if verbose:
            log_images(images)
        molded = MoldedImages(images, self.settings.image, self, names, proposals)
        return self._detect(molded, molded.molded_shapes, molded.shapes, verbose)

    def stream(self, images, proposals=None, **options):
        """Yields the result of each image of an iterable, in order, in flat memory.

        Args:
            images: iterable.
            proposals: iterable of those of each image, or None.
            options: of `detect`.
        """
        pairs, size = in_step(images, proposals), self.settings.runtime.batch_size
        while batch := list(itertools.islice(pairs, size)):
            images, given = (list(part) for part in zip(*batch, strict=True))
            options["proposals"] = None if proposals is None else given
            yield from self.detect(images, **options)

    def detect_molded(self, molded_images, image_metas, verbose=0, proposals=None):
        """As `detect`, for molded images [B, H, W, C], their metas [B, META] and proposals in
        their pixels."""
        check_wanted(self.settings, proposals)
        check_count(molded_images, proposals)
        shape = np.shape(molded_images)[1:]
        items = [
            {"image": image, "meta": meta, "window": (0, 0, *shape[:2])}
            for image, meta in zip(molded_images, image_metas, strict=True)
        ]
        for i, boxes in enumerate([] if proposals is None else proposals):
            items[i]["proposals"] = checked_proposals(boxes, f"molded_images[{i}]")
        shapes = [shape] * len(items)
        return self._detect(items, shapes, shapes, verbose)

    def _detect(self, items, molded_shapes, shapes, verbose):
        """Results of molded images, each asked for when its batch is run."""
        results = [None] * len(shapes)
        for i, found, item in self._outputs(items, molded_shapes):
            results[i] = self.unmold(
                found, shapes[i], item["image"].shape, item["window"], self.settings
            )
        if verbose:
            log_results(results)
        return results

    def _outputs(self, items, molded_shapes):
        """Yields (i, dict of the network's outputs, item) of molded images, batch by batch."""
        batch_size = self.settings.runtime.batch_size
        for indices in same_shapes(molded_shapes, batch_size, self._compiled):
            molded = {i: items[i] for i in dict.fromkeys(indices)}
            outputs = self._run([molded[i] for i in indices], indices)
            for i, item in molded.items():
                row = indices.index(i)  # a batch may be filled up with its last one
                yield i, {name: array[row] for name, array in outputs.items()}, item

    def _run(self, batch, indices):
        inputs = {
            "input_image": np.stack([item["image"] for item in batch]),
            "input_image_meta": np.stack([item["meta"] for item in batch]),
        }
        if "proposals" in batch[0]:
            inputs["input_roi"] = self._proposals(batch, indices)
        with self._lock:
            return self.predict(self.graph, inputs)

    def _proposals(self, batch, indices):
        """The proposals of a batch, float32 [B, POST_NMS_ROIS_INFERENCE, 4], zero padded."""
        limit = self.settings.proposals.proposal_count
        for i, item in zip(indices, batch, strict=True):
            warn_of_limit(item["proposals"], limit, f"images[{i}]", self)
        return np.stack([pad_proposals(item["proposals"], limit) for item in batch])


def log_images(images):
    """Prints what goes in."""
    log(f"Processing {len(images)} images")
    for image in images:
        log("image", image)


def log_results(results):
    """Prints what comes out."""
    for result in results:
        for name, array in result.items():
            log(name, array)


def same_shapes(shapes, batch_size, compiled=None):
    """Splits images into lists of indices: equal shapes together, `batch_size` at most.

    XLA compiles a program for each shape of a batch, which takes as long as many images. So with
    `compiled`, a dict of the most images that a batch of each shape had, which is kept up to date,
    a list repeats its last index up to that size.
    """
    by_shape = {}
    for i, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(i)
    for shape, indices in by_shape.items():
        if compiled is not None:
            size = compiled[shape] = max(compiled.get(shape, 0), min(len(indices), batch_size))
            indices += indices[-1:] * (-len(indices) % size)
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]
