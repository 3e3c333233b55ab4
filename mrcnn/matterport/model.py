"""`MaskRCNN` as matterport's scripts know it."""

import os
import warnings

import numpy as np

from mrcnn.architectures import mask_rcnn as core
from mrcnn.image.molding import MoldedImages
from mrcnn.matterport.data import DataGenerator
from mrcnn.matterport.generator import compute_backbone_shapes
from mrcnn.matterport.keras_model import inference_graph, training_graph
from mrcnn.matterport.tf_identity import accept_keras_tensors
from mrcnn.network.mask_rcnn import build_graphs
from mrcnn.weights.fetching import fetch
from mrcnn.weights.registry import resolve


class MaskRCNN(core.MaskRCNN):
    __doc__ = core.MaskRCNN.__doc__

    generator_type = DataGenerator
    _sides = None  # height and width of the molded image seen last

    @staticmethod
    def build_graphs(settings, training):
        """The graphs of `mrcnn.network.mask_rcnn` with matterport's inputs and outputs."""
        return build_graphs(
            settings, training, inference_graph=inference_graph, training_graph=training_graph
        )

    def build(self, mode, config):
        """Builds the graphs and returns that of the mode, with matterport's inputs and outputs."""
        accept_keras_tensors()
        if mode == "training":
            self._sides = tuple(int(side) for side in config.IMAGE_SHAPE[:2])
        return super().build(mode, config)

    @property
    def anchors(self):
        """float32 [A, 4] in pixels, of the molded image seen last; None before."""
        return None if self._sides is None else self._make_anchors(self._sides)["pixels"]

    def feature_shapes(self, image_shape):
        return compute_backbone_shapes(self.config, image_shape)

    def get_anchors(self, image_shape):
        """Anchors of a molded image of this shape, as the input `input_anchors` takes them.

        Args:
            image_shape: (H, W, ...) in pixels.

        Returns:
            float32 [A, 4], normalised. `anchors` has them in pixels.
        """
        self._sides = tuple(int(side) for side in image_shape[:2])
        return super().get_anchors(image_shape)

    def detect(self, images, verbose=0, stream=False, progress=None, proposals=None):
        results = super().detect(images, verbose, stream, progress, proposals)
        if not stream and len(images):
            image, size = results[-1].image, self.settings.tiles.size
            image = image if size is None else image[:size, :size]  # as large as a tile
            last = MoldedImages([image], self.settings.image, owner=self.detector)
            self._sides = last.molded_shapes[0][:2]
        return results

    def detect_molded(self, molded_images, image_metas, verbose=0, proposals=None):
        self._sides = np.shape(molded_images)[1:3]
        return super().detect_molded(molded_images, image_metas, verbose, proposals)

    def unmold_detections(self, detections, mrcnn_mask, original_image_shape, image_shape, window):
        """Brings the detections of one molded image back to its original.

        Args:
            detections: float [N, 6] = y1 x1 y2 x2 (normalised), class id, score; zero padded.
            mrcnn_mask: float [N, h, w, K], the masks of every class; or one, K = 1.
            original_image_shape: (H, W, C) of the image.
            image_shape: (H, W, C) of the molded image.
            window: y1 x1 y2 x2 in pixels of the picture in the molded image.

        Returns:
            boxes int32 [n, 4] in pixels, class_ids int32 [n], scores float32 [n] and masks bool
            [H, W, n].
        """
        detections = np.asarray(detections)
        mrcnn_mask = np.asarray(mrcnn_mask)
        own_class = np.minimum(detections[:, 4].astype(int), mrcnn_mask.shape[-1] - 1)
        masks = mrcnn_mask[np.arange(len(detections)), :, :, own_class]
        outputs = {"detections": detections, "masks": masks}
        result = self.unmold(outputs, original_image_shape, image_shape, window, self.settings)
        return tuple(result[key] for key in ("rois", "class_ids", "scores", "masks"))

    def _inspection_inputs(self, molded, metas):
        anchors = self.get_anchors(molded.shape[1:])
        anchors = np.broadcast_to(anchors, (len(molded), *anchors.shape))
        return super()._inspection_inputs(molded, metas) | {"input_anchors": anchors}

    def _inspection_output(self, tensor, array):
        """As matterport's graph has it: what NMS kept of one image is [N], without padding."""
        steps = vars(self).get("_proposal_steps", {})  # not built unless `ancestor` was asked
        if len(array) == 1 and tensor is steps.get("rpn_non_max_suppression"):
            return array[array >= 0]
        return array

    def find_trainable_layer(self, layer):
        """Returns the layer that has the weights, if `layer` wraps another one."""
        while hasattr(layer, "layer"):
            layer = layer.layer
        return layer

    def get_trainable_layers(self):
        """Returns the layers of `keras_model` that have weights."""
        layers = [self.find_trainable_layer(layer) for layer in self.keras_model.layers]
        return [layer for layer in layers if layer.weights]

    def get_imagenet_weights(self):
        """Returns the path of the backbone's ImageNet weights, fetched where they are not yet."""
        return fetch(resolve("imagenet", self.config))

    def find_last(self):
        """Returns the path of the newest checkpoint of this experiment in `model_dir`.

        Raises:
            FileNotFoundError: there is none.
        """
        return CheckpointPath(super().find_last())


class CheckpointPath(str):
    """A path that answers as matterport 2.0's pair of folder and path did, with a warning."""

    def __getitem__(self, key):
        if key not in (0, 1):
            return super().__getitem__(key)
        return self._pair(f"[{key}]")[key]

    def __iter__(self):
        return iter(self._pair("the other name"))

    def _pair(self, superfluous):
        warnings.warn(
            f"find_last() returns the path itself, not a pair: leave out {superfluous}",
            FutureWarning,
            stacklevel=3,
        )
        return os.path.dirname(self), str(self)
