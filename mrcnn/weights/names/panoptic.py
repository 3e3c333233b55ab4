"""Names of the weights of Panoptic FPN and Semantic FPN."""

import dataclasses

from mrcnn.network.semantic_head import LEVELS
from mrcnn.weights.names import MASK_RCNN, mask_layout, source_names
from mrcnn.weights.names.layouts import conv, same
from mrcnn.weights.names.pytorch import pytorch_names


def detectron2_semantic_layers():
    """(our layer, detectron2's module, layout) of its semantic head."""
    for level in LEVELS:
        for i in range(1, max(level - 2, 1) + 1):
            module = f"sem_seg_head.p{level}.{2 * i - 2}"  # upsampling lies between
            yield f"semantic_p{level}_conv{i}", module, conv
            yield f"semantic_p{level}_gn{i}", f"{module}.norm", same
    yield "semantic_logits", "sem_seg_head.predictor", conv


def _table(source, arrays, settings):
    names = source_names(source, arrays, settings.box_head.pool_size, mask_layout(settings))
    if source == "detectron2":
        names |= pytorch_names(detectron2_semantic_layers())
    return names


PANOPTIC_FPN = dataclasses.replace(
    MASK_RCNN,
    table=_table,
    heads=(*MASK_RCNN.heads, "semantic_"),
    class_heads=(*MASK_RCNN.class_heads, "semantic_logits"),
)
# Of a file of another member the pyramid is taken, and what it has beside it left.
SEMANTIC_FPN = dataclasses.replace(
    PANOPTIC_FPN, optional=lambda settings: r"^(rpn_|mrcnn_|proposal_generator\.|rpn\.|roi_heads\.)"
)
