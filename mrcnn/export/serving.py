"""`Serving`: what an exported file computes, from uint8 images to named arrays.

Shapes: B images, H W of an image as given, C channels, D detections.
"""

import tensorflow as tf

from mrcnn.export.graph_molding import mold
from mrcnn.export.graph_unmold import first_seen, paste, take_seen, unmold_boxes
from mrcnn.export.stages import with_stages

# Outputs of detection graphs that have a row for each detection, by the name that they leave with.
OF_DETECTIONS = {"masks": "detection_masks", "heatmaps": "detection_heatmaps"}


class Serving:
    """The functions of a model that an exported file holds.

    Args:
        model: a `DetectionModel`.
        full_masks: bool, whether masks are pasted into the image.
        exact: see `mrcnn.export.graph_molding.mold`.
    """

    def __init__(self, model, full_masks=False, exact=True):
        self.graph, self.settings = model.graphs["detection"], model.settings
        self.full_masks, self.exact = full_masks, exact

    def detect(self, image_tensor):
        """Finds the objects in images of one size.

        Args:
            image_tensor: uint8 [B, H, W, C].

        Returns:
            dict, with the names of TensorFlow's Model Garden: `detection_boxes` float32 [B, D, 4]
            y1 x1 y2 x2 in pixels of the images, `detection_scores` float32 [B, D], best first,
            `detection_classes` int32 [B, D], zeros after the first `num_detections` int32 [B];
            `image_info` float32 [B, 4, 2], each a pair of y and x: size of the image, size of what
            the network saw, scale, and offset: a point lies at point * scale - offset there. Where
            the model has them, `detection_masks` float32 [B, D, h, w], probabilities over each
            box, or pasted uint8 [B, D, H, W]; `detection_heatmaps` float32 [B, D, S, S, J] of
            keypoints; `semantic_logits` float32 [B, h, w, S].
        """
        placed = mold(image_tensor, self.settings.image, self.exact)
        outputs = _run(self.graph, placed)
        batch = tf.shape(image_tensor)[:1]
        found = {"image_info": _image_info(placed, batch)}
        if "detections" in outputs:
            found |= self._instances(outputs, placed)
        return found | {k: x for k, x in outputs.items() if k not in ("detections", *OF_DETECTIONS)}

    def stages(self, image_tensor):
        """What the network computes on its way, to find where a file differs.

        Returns:
            dict, in the order of the stages: `molding` float32 [B, H, W, C], and those of
            `mrcnn.export.stages.with_stages`.
        """
        placed = mold(image_tensor, self.settings.image, self.exact)
        return {"molding": placed["input_image"], **_run(with_stages(self.graph), placed)}

    def _instances(self, outputs, placed):
        settings, detections = self.settings.detections, outputs["detections"]
        boxes, seen = unmold_boxes(detections, placed, settings)
        rows = {
            "detection_boxes": boxes,
            "detection_scores": detections[..., 5],
            "detection_classes": tf.cast(detections[..., 4], tf.int32),
        }
        rows |= {new: outputs[old] for old, new in OF_DETECTIONS.items() if old in outputs}
        order = first_seen(seen)
        found = {name: take_seen(values, order, seen) for name, values in rows.items()}
        found["num_detections"] = tf.reduce_sum(tf.cast(seen, tf.int32), axis=1)
        if self.full_masks:
            masks, boxes = found["detection_masks"], found["detection_boxes"]
            found["detection_masks"] = paste(masks, boxes, placed["sides"], settings.mask_paste)
        return found


def _run(graph, placed):
    inputs = {name: placed[name] for name in ("input_image", "input_image_meta")}
    return dict(graph(inputs, training=False))


def _image_info(placed, batch):
    sides, molded, size, origin = (
        tf.cast(placed[name], tf.float32) for name in ("sides", "molded", "size", "origin")
    )
    info = tf.stack([sides, molded, size / sides, -origin])
    return tf.tile(info[None], tf.concat([batch, [1, 1]], axis=0))
