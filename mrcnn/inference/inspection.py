"""`Inspection`: how to look inside a network.

Shapes: B images, H W of a molded image, A anchors.
"""

import functools

import keras
import numpy as np

from mrcnn.image.molding import MoldedImages
from mrcnn.image.proposals import checked_proposals, pad_proposals
from mrcnn.inference.log import log
from mrcnn.inference.proposals import check_count, check_wanted
from mrcnn.layers.anchors import Anchors, anchors_of
from mrcnn.layers.proposals import ProposalLayer, ProposalSteps
from mrcnn.network.trunk import feature_shapes


class Inspection:
    """The part of a model that computes any of its tensors.

    Attributes:
        detector: `mrcnn.inference.detector.Detector`.
        graphs: dict of `keras.Model`; "inference" has every stage.
        settings: `mrcnn.settings.Settings`.
    """

    detector = graphs = settings = None
    _anchors = (None, None)  # the sides asked for last, and their anchors
    _traced = (None, None)  # the tensors asked for last, and their model

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
        items = self._molded_items(images)
        return tuple(np.stack([item[key] for item in items]) for key in ("image", "meta", "window"))

    def _molded_items(self, images, proposals=None):
        """List of the items of `MoldedImages`, which are of one shape."""
        owner = self.detector
        molded = MoldedImages(images, self.settings.image, owner, proposals=proposals)
        if len(set(molded.molded_shapes)) > 1:
            raise ValueError(
                f"expected images of one molded shape, received {molded.molded_shapes}: detect() "
                "takes them together"
            )
        return [molded[i] for i in range(len(molded))]

    def feature_shapes(self, image_shape):
        """Sizes of the feature maps of a molded image: int [L, 2]."""
        return feature_shapes(image_shape, self.settings.anchors.strides)

    def get_anchors(self, image_shape):
        """Anchors of a molded image of this shape.

        Args:
            image_shape: (H, W, ...) in pixels.

        Returns:
            float32 [A, 4], normalised.
        """
        return self._make_anchors(image_shape)["normalized"]

    def _make_anchors(self, image_shape):
        """Anchors in pixels and normalised; made once for images of one size."""
        wanted = tuple(int(side) for side in image_shape[:2])
        sides, found = self._anchors
        if sides != wanted:
            layer = Anchors(self.settings.anchors)  # in no graph that is given proposals
            found = anchors_of(layer, wanted, self.feature_shapes(wanted))
            self._anchors = wanted, found
        return found

    def run_graph(self, images, outputs, image_metas=None, proposals=None):
        """Computes any tensors of the network for images, and prints their shapes and ranges.

        Args:
            images: list of arrays as `detect` takes them, of one molded shape; with `image_metas`
                molded images.
            outputs: list of (name, what): what is the name of a layer of `keras_model`, its
                `output`, or a tensor that `ancestor` found; a name alone is both.
            image_metas: float [B, META], or None.
            proposals: as of `detect`; with `image_metas` in pixels of the molded images.

        Returns:
            dict: name -> array, in the order of `outputs`.

        Raises:
            ValueError: no layer has that name, or the tensor takes more than images.

        Example:

        >>> model.run_graph([image], ["res2c_out", ("proposals", "ROI")])["proposals"].shape
        (1, 1000, 4)
        """
        found = self.compute(images, outputs, image_metas, proposals)
        for name, array in found.items():
            log(name, array)
        return found

    def compute(self, images, outputs, image_metas=None, proposals=None):
        """As `run_graph`, without a word."""
        graph = self.graphs["inference"]
        pairs = [(output, output) if isinstance(output, str) else output for output in outputs]
        tensors = {
            name: graph.get_layer(x).output if isinstance(x, str) else x for name, x in pairs
        }
        inputs = self._molded_inputs(images, image_metas, proposals)
        # Not called eagerly: Keras would keep the output of every layer to the end.
        arrays = self._part(tensors).predict_on_batch([inputs[x.name] for x in graph.inputs])
        return {
            name: self._inspection_output(tensor, arrays[name]) for name, tensor in tensors.items()
        }

    def _molded_inputs(self, images, image_metas, proposals):
        """Arrays of the inference graph's inputs, by name; arguments as of `run_graph`."""
        check_wanted(self.settings, proposals)
        check_count(images, proposals)
        if image_metas is None:
            items = self._molded_items(images, proposals)
            molded, image_metas = (
                np.stack([item[key] for item in items]) for key in ("image", "meta")
            )
            boxes = [item.get("proposals") for item in items]
        else:
            molded, boxes = np.asarray(images), proposals
        inputs = self._inspection_inputs(molded, np.asarray(image_metas, "float32"))
        if proposals is not None:
            limit = self.settings.proposals.proposal_count
            boxes = [checked_proposals(each, f"images[{i}]") for i, each in enumerate(boxes)]
            inputs["input_roi"] = np.stack([pad_proposals(each, limit) for each in boxes])
        return inputs

    def _part(self, tensors):
        """The model of a dict of tensors; that asked for last is kept, for it was traced."""
        wanted = {name: id(tensor) for name, tensor in tensors.items()}
        known, part = self._traced
        if known != wanted:
            inputs = self.graphs["inference"].inputs
            try:
                part = keras.Model(inputs, tensors)
            except ValueError as error:
                raise ValueError(
                    "expected tensors that follow from "
                    f"{', '.join(x.name for x in inputs)}, received {list(tensors)}: {error}"
                ) from error
            part.jit_compile = self.graphs["detection"].jit_compile
            self._traced = wanted, part
        return part

    def _inspection_inputs(self, molded, metas):
        """Arrays of the inference graph's inputs, by name."""
        return {"input_image": molded, "input_image_meta": metas}

    def _inspection_output(self, tensor, array):
        """What `run_graph` answers for a symbolic tensor whose array this is."""
        return array

    def ancestor(self, tensor, name, checked=None):
        """Finds the tensor of this name that `tensor` is computed from.

        Args:
            tensor: symbolic tensor, such as `keras_model.get_layer("ROI").output`.
            name: of a layer, with or without ":0"; or "ROI/" and a step of the proposals:
                "pre_nms_anchors", "pre_nms_scores", "refined_anchors", "refined_anchors_clipped"
                or "rpn_non_max_suppression", see `mrcnn.layers.ProposalSteps`.
            checked: not used; accepted for scripts written for matterport's library.

        Returns:
            A symbolic tensor, or None.
        """
        layer_name, _, step = name.split(":")[0].partition("/")
        above = keras.Model(self.graphs["inference"].inputs, tensor)
        layer = {layer.name: layer for layer in above.layers}.get(layer_name)
        if isinstance(layer, ProposalLayer) and step:
            return self._proposal_steps.get(step.split("/")[0])
        return layer.output if layer else None

    @functools.cached_property
    def _proposal_steps(self):
        layer = self.graphs["inference"].get_layer("ROI")
        rpn_class, rpn_bbox, *anchors, image_meta = layer.input
        steps = ProposalSteps(layer.settings, name="ROI_steps")
        return steps(rpn_class, rpn_bbox, anchors, image_meta)
