"""The stages of a network, to find the one in which an exported file differs."""

import keras
from keras import ops

from mrcnn.layers.dense_detections import DenseDetectionLayer
from mrcnn.layers.detections import DetectionLayer
from mrcnn.layers.proposals import ProposalLayer


def with_stages(graph):
    """The same network, which returns what its detections are made of too.

    Args:
        graph: a detection graph, functional `keras.Model`.

    Returns:
        `keras.Model` of the same inputs and weights to a dict, in the order of the stages: of a
        network that has them `proposals` float32 [B, N, 4], `class_scores` float32 [B, N, K] and
        `box_deltas` float32 [B, N, ..., 4] of proposals or anchors, whatever scores they have;
        then what the graph returns.
    """
    found = {}

    def call(layer, *args, **kwargs):
        result = layer(*args, **kwargs)
        if isinstance(layer, ProposalLayer):
            found["proposals"] = result
        elif isinstance(layer, DetectionLayer):
            found["class_scores"], found["box_deltas"] = map(_as_float32, args[1:3])
        elif isinstance(layer, DenseDetectionLayer):  # of levels
            levels = (ops.concatenate(parts, axis=1) for parts in args[:2])
            found["class_scores"], found["box_deltas"] = map(_as_float32, levels)
        return result

    copy = keras.models.clone_model(graph, graph.input, lambda x: x, call)
    return keras.Model(graph.input, found | copy.output, name=graph.name)


def _as_float32(x):
    return ops.cast(x, "float32")
