"""`Detector`: what a built model finds in images, and how to look inside it.

Shapes: B images, H W of a molded image, A anchors, N detections of an image, K classes.
"""

import functools

import keras
import numpy as np

from mrcnn.ground_truth import mold
from mrcnn.image import (
    bucket_sides,
    compose_image_meta,
    pad_to,
    resize_image,
    to_model_image,
)
from mrcnn.layers import ProposalSteps
from mrcnn.network import compute_backbone_shapes
from mrcnn.unmold import unmold_detections


def log(text, array=None):
    """Prints a text, with the shape, range and type of an array when one is given."""
    if array is not None:
        array = np.asarray(array)
        low, high = (array.min(), array.max()) if array.size else ("", "")
        text = f"{text:25}  shape: {array.shape!s:20}  min: {low:10}  max: {high:10}  {array.dtype}"
    print(text)


class Detector:
    """Detection and inspection: the part of `MaskRCNN` that needs no data set.

    Attributes:
        config: `Config`.
        graphs: dict of `keras.Model`, see `mrcnn.network.build_network`.
    """

    config, graphs, _compiled = None, None, None
    _sides = None  # height and width of the molded image seen last
    _anchors = (None, None)  # the sides asked for last, and their anchors

    @property
    def anchors(self):
        """float32 [A, 4] in pixels, of the molded image seen last; None before."""
        return None if self._sides is None else self._make_anchors()["pixels"]

    def detect(self, images, verbose=0):
        """Finds the objects in images of any number and any sizes.

        Args:
            images: list of arrays [H, W, C], [H, W] or a stack of them. uint8 as it is; uint16
                scaled from its full range to 0..255; floats on the scale of 0..255. Grey images
                are repeated into three channels, alpha is dropped.
            verbose: 1 prints the shapes and ranges of what goes in and comes out.

        Returns:
            list of dicts, one for each image, best detection first: `rois` int32 [n, 4] y1 x1 y2
            x2 in pixels, `boxes` float32 [n, 4] the same before rounding, `class_ids` int32 [n],
            `scores` float32 [n] and, with `USE_MASK`, `masks` bool [H, W, n]. The result for an
            image does not depend on the others.

        Raises:
            ValueError: an image that cannot be used, named by its place in the list.
        """
        if isinstance(images, np.ndarray) and images.ndim < 4:
            raise ValueError(f"images has shape {images.shape}; pass a list: detect([image])")
        if verbose:
            log(f"Processing {len(images)} images")
            for image in images:
                log("image", image)
        molded = self._mold(images)
        shapes = [np.shape(image) for image in images]
        return self._detect(molded, shapes, verbose)

    def detect_molded(self, molded_images, image_metas, verbose=0):
        """As `detect`, for what `mold_inputs` or a data generator returned.

        Args:
            molded_images: float [B, H, W, C].
            image_metas: float [B, META].
            verbose: 1 prints the shapes and ranges of what goes in and comes out.

        Returns:
            list of dicts as of `detect`; boxes and masks are those of the molded images.
        """
        shape = np.shape(molded_images)[1:]
        whole = (0, 0, *shape[:2])
        items = [
            {"image": image, "meta": meta, "window": whole}
            for image, meta in zip(molded_images, image_metas, strict=True)
        ]
        return self._detect(items, [shape] * len(items), verbose)

    def _detect(self, molded, shapes, verbose):
        """Detections of molded images, each in an image of a given shape."""
        results = [None] * len(molded)
        if molded:
            self._sides = molded[-1]["image"].shape[:2]
        sizes = [item["image"].shape for item in molded]
        compiled = self._compiled if self.graphs["detection"].jit_compile else None
        for indices in _same_shapes(sizes, self.config.BATCH_SIZE, compiled):
            batch = [molded[i] for i in indices]
            outputs = self.graphs["detection"].predict_on_batch(
                {
                    "input_image": np.stack([item["image"] for item in batch]),
                    "input_image_meta": np.stack([item["meta"] for item in batch]),
                }
            )
            for row, (i, item) in enumerate(zip(indices, batch, strict=True)):
                if results[i] is not None:
                    continue  # the batch was filled up with it
                masks = outputs["masks"][row] if self.config.USE_MASK else None
                results[i] = self._unmold(outputs["detections"][row], masks, shapes[i], item)
        if verbose:
            for result in results:
                for name, array in result.items():
                    log(name, array)
        return results

    def _unmold(self, detections, masks, shape, item):
        return unmold_detections(
            detections,
            masks,
            shape,
            item["image"].shape,
            item["window"],
            self.config.MASK_PASTE,
            self.config.BOX_OFFSET,
        )

    # Molding: images as the network takes them.

    def mold_inputs(self, images):
        """Resizes and normalises images of sizes that one batch can hold.

        Args:
            images: list of arrays as `detect` takes them.

        Returns:
            molded_images float32 [B, H, W, C], image_metas float32 [B, META] and windows int [B, 4]
            y1 x1 y2 x2 in pixels, where each picture lies in its molded image.

        Raises:
            ValueError: molded images differ in shape, or an image cannot be used.
        """
        molded = self._mold(images)
        if len({item["image"].shape for item in molded}) > 1:
            raise ValueError(
                "expected images of one molded shape, received "
                f"{[item['image'].shape for item in molded]}: detect() takes them together"
            )
        return tuple(
            np.stack([item[key] for item in molded]) for key in ("image", "meta", "window")
        )

    def unmold_detections(self, detections, mrcnn_mask, original_image_shape, image_shape, window):
        """Brings the detections of one molded image back to its original.

        Args:
            detections: float [N, 6] = y1 x1 y2 x2 (normalised), class id, score; zero padded.
            mrcnn_mask: float [N, h, w, K], the masks of every class.
            original_image_shape: (H, W, C) of the image.
            image_shape: (H, W, C) of the molded image.
            window: y1 x1 y2 x2 in pixels of the picture in the molded image.

        Returns:
            boxes int32 [n, 4] in pixels, class_ids int32 [n], scores float32 [n] and masks bool
            [H, W, n].
        """
        detections = np.asarray(detections)
        own_class = detections[:, 4].astype(int)
        masks = np.asarray(mrcnn_mask)[np.arange(len(detections)), :, :, own_class]
        item = {"image": np.empty(image_shape[:2]), "window": window}
        result = self._unmold(detections, masks, original_image_shape, item)
        return tuple(result[key] for key in ("rois", "class_ids", "scores", "masks"))

    def _mold(self, images):
        return [self._mold_one(image, f"images[{i}]") for i, image in enumerate(images)]

    def _mold_one(self, image, name):
        """One image as the network takes it: dict of `image`, `meta` and `window`."""
        config = self.config
        image = to_model_image(image, config.IMAGE_CHANNEL_COUNT, name)
        mode = config.IMAGE_RESIZE_MODE
        # Crops are for training: detection sees the whole image, at the same scale.
        mode = "pad64" if mode == "crop" else mode
        resized, window, scale, _, _ = resize_image(
            image,
            min_dim=config.IMAGE_MIN_DIM,
            max_dim=config.IMAGE_MAX_DIM,
            min_scale=config.IMAGE_MIN_SCALE,
            mode=mode,
            interpolation=config.IMAGE_INTERPOLATION,
        )
        if mode == "none" and (resized.shape[0] % 64 or resized.shape[1] % 64):
            raise ValueError(
                f'{name} has shape {image.shape}; IMAGE_RESIZE_MODE "none" takes sides that are '
                'multiples of 64 only, use "square" or "pad64"'
            )
        sides = bucket_sides(resized.shape[:2], config.IMAGE_BUCKETS)
        shape = (*sides, resized.shape[2])
        active = np.zeros(config.NUM_CLASSES, "int32")
        meta = compose_image_meta(0, image.shape, shape, window, scale, active)
        molded = mold(pad_to(resized, sides), window, config)
        return {"image": molded, "meta": meta, "window": window}

    # Inspection.

    def get_anchors(self, image_shape):
        """Anchors of a molded image of this shape, as the input `input_anchors` takes them.

        Args:
            image_shape: (H, W, ...) in pixels.

        Returns:
            float32 [A, 4], normalised. `anchors` has them in pixels.
        """
        self._sides = tuple(int(side) for side in image_shape[:2])
        return self._make_anchors()["normalized"]

    def _make_anchors(self):
        """Anchors for `_sides`, in pixels and normalised; made once for images of one size."""
        sides, found = self._anchors
        if sides != self._sides:
            shapes = compute_backbone_shapes(self.config, self._sides)
            maps = [np.empty((1, *map(int, shape), 1), "float32") for shape in shapes]
            layer = self.graphs["inference"].get_layer("anchors")
            made = layer(np.empty((1, *self._sides, 1), "float32"), maps)
            levels = [keras.ops.convert_to_numpy(level)[0] for level in made["levels"]]
            pixels = keras.ops.convert_to_numpy(made["pixels"])[0]
            found = {"pixels": pixels, "normalized": np.concatenate(levels)}
            self._anchors = self._sides, found
        return found

    def run_graph(self, images, outputs, image_metas=None):
        """Computes any tensors of the network for images.

        Args:
            images: list of arrays as `detect` takes them, of one molded shape; with `image_metas`
                molded images.
            outputs: list of (name, what): what is the name of a layer of `keras_model`, its
                `output`, or a tensor that `ancestor` found; a name alone is both.
            image_metas: float [B, META], or None.

        Returns:
            dict: name -> array, in the order of `outputs`.

        Raises:
            ValueError: no layer has that name, or the tensor takes more than images.

        Example:

        >>> model.run_graph([image], ["res2c_out", ("proposals", "ROI")])["proposals"].shape
        (1, 1000, 4)
        """
        graph = self.graphs["inference"]
        pairs = [(output, output) if isinstance(output, str) else output for output in outputs]
        tensors = {
            name: graph.get_layer(x).output if isinstance(x, str) else x for name, x in pairs
        }
        if image_metas is None:
            molded, image_metas, _ = self.mold_inputs(images)
        else:
            molded = np.asarray(images)
        anchors = self.get_anchors(molded.shape[1:])
        anchors = np.broadcast_to(anchors, (len(molded), *anchors.shape))
        try:
            part = keras.Model(graph.inputs, tensors)
        except ValueError as error:
            raise ValueError(
                "expected tensors that follow from input_image, input_image_meta and "
                f"input_anchors, received {list(tensors)}: {error}"
            ) from error
        # Not `predict`: it would trace a function that is used once.
        arrays = part([molded, np.asarray(image_metas, "float32"), anchors], training=False)
        found = {name: keras.ops.convert_to_numpy(arrays[name]) for name in tensors}
        for name, array in found.items():
            log(name, array)
        return found

    def ancestor(self, tensor, name, checked=None):
        """Finds the tensor of this name that `tensor` is computed from.

        Args:
            tensor: symbolic tensor, such as `keras_model.get_layer("ROI").output`.
            name: of a layer, with or without ":0"; or "ROI/" and a step of the proposals:
                "pre_nms_anchors", "refined_anchors", "refined_anchors_clipped" or
                "rpn_non_max_suppression", see `mrcnn.layers.ProposalSteps`.
            checked: not used; accepted for scripts written for matterport's library.

        Returns:
            A symbolic tensor, or None.
        """
        layer_name, _, step = name.split(":")[0].partition("/")
        above = keras.Model(self.graphs["inference"].inputs, tensor)
        layer = {layer.name: layer for layer in above.layers}.get(layer_name)
        if layer_name == "ROI" and layer and step:
            return self._proposal_steps.get(step.split("/")[0])
        return layer.output if layer else None

    @functools.cached_property
    def _proposal_steps(self):
        layer = self.graphs["inference"].get_layer("ROI")
        rpn_class, rpn_bbox, *anchors, image_meta = layer.input
        steps = ProposalSteps.from_config({**layer.get_config(), "name": "ROI_steps"})
        return steps(rpn_class, rpn_bbox, anchors, image_meta)


def _same_shapes(shapes, batch_size, compiled=None):
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
