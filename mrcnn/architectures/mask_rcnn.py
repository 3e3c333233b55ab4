"""`MaskRCNN`, the public class of its architecture."""

from mrcnn.architectures.base import DetectionModel
from mrcnn.inference.unmold import unmold_detections
from mrcnn.network import mask_rcnn
from mrcnn.weights import names


class MaskRCNN(DetectionModel):
    """Mask R-CNN (arXiv:1703.06870), with `USE_KEYPOINTS` Keypoint R-CNN.

    Args:
        mode: "training" or "inference". A training model detects too.
        config: a `Config`, validated here.
        model_dir: str, folder of logs and checkpoints; nothing is written before training.

    Attributes:
        keras_model: the `keras.Model` of the mode.
        settings: `mrcnn.settings.Settings`, read from the config when the model was built.
        class_names: list of names by class id, "BG" first, or None: those of the data that it was
            trained on, or of the weights that it loaded.
        epoch: int, epochs that the weights were trained for.
        log_dir: str, where the next training writes.
        checkpoint_path: str, with a field `{epoch:04d}`.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> model = MaskRCNN("inference", config, "logs")
    >>> model.load_weights("mask_rcnn_shapes_0010.h5")
    >>> model.detect([image])[0]["rois"].shape
    (3, 4)
    """

    architecture = "mask_rcnn"
    weight_names = names.MASK_RCNN
    build_graphs = staticmethod(mask_rcnn.build_graphs)

    @staticmethod
    def unmold(outputs, image_shape, molded_shape, window, settings):
        """The result of an image from the detection graph's outputs for it."""
        detections = settings.detections
        return unmold_detections(
            outputs["detections"],
            outputs.get("masks"),
            image_shape,
            molded_shape,
            window,
            detections.mask_paste,
            detections.box_offset,
            cropped=settings.tiles.size is not None,
            heatmaps=outputs.get("heatmaps"),
            keypoint_scores=detections.keypoint_scores,
        )
