"""What the log says of the data after the first epoch: what no error tells, and costs accuracy."""

import keras

from mrcnn.data.checking.anchors import TRAINS, best_overlaps
from mrcnn.data.seen import Seen

FEW = 20  # objects, below which an anchor scale without any says nothing


class Notices(keras.callbacks.Callback):
    """Prints `notices` once, after the first epoch that is trained from its first step on.

    Args:
        generator: the `DataGenerator` that `fit` trains on.
        anchors: bool, whether the network has any.
    """

    def __init__(self, generator, anchors=True):
        super().__init__()
        self.generator, self.anchors, self._texts = generator, anchors, None

    def on_epoch_end(self, epoch, logs=None):
        generator = self.generator
        if self._texts is None and generator.first_step:  # resumed: the rest of an epoch tells less
            generator.seen = Seen(generator.dataset.num_classes)
        elif self._texts is None:
            names = generator.dataset.class_names
            told = notices(generator.seen, generator.settings, names, self.anchors)
            self._texts = list(told)

    def on_epoch_begin(self, epoch, logs=None):
        self._tell()

    def on_train_end(self, logs=None):
        self._tell()

    def get_state(self):
        return {"told": self._texts is not None}

    def set_state(self, state):
        self._texts = [] if state["told"] else None

    def _tell(self):
        """Between the bars of two epochs."""
        if self._texts:
            print("\n".join(self._texts), flush=True)
            self._texts = []


def notices(seen, settings, class_names, has_anchors=True):
    """Yields a text for each thing that an epoch lacked.

    Args:
        seen: `mrcnn.data.seen.Seen`.
        settings: `mrcnn.settings.Settings`.
        class_names: list of str, "BG" first.
        has_anchors: bool, whether the network has anchors.
    """
    limit = settings.ground_truth.max_instances
    if seen.dropped:
        yield (
            f"MAX_GT_INSTANCES = {limit} was too small for {seen.crowded} images of the first "
            f"epoch: {seen.dropped} objects were drawn to be left out, and count as background; "
            "raise it"
        )
    counted = list(zip(class_names, seen.counts, strict=True))
    things = counted[1 : settings.semantic_head.thing_classes]
    absent = [name for name, count in things if not count]
    if absent:
        yield f"No object of the first epoch was of {', '.join(map(repr, absent))}"
    boxes, anchors = seen.boxes, settings.anchors
    has_anchors = has_anchors and settings.ground_truth.use_rpn_rois
    if len(boxes) < FEW or not has_anchors:
        return
    best = {
        scale: best_overlaps(boxes, [scale], anchors.ratios, [stride * anchors.anchor_stride]).max()
        for scales, stride in zip(anchors.level_scales, anchors.strides, strict=True)
        for scale in scales
    }
    unused = [str(scale) for scale, overlap in best.items() if overlap < TRAINS]
    if unused:
        yield (
            f"Anchors of {', '.join(unused)} pixels (RPN_ANCHOR_SCALES) were near none of the "
            f"first epoch's {len(boxes)} objects; `mrcnn anchors DATA` tells whether others fit "
            "better"
        )
