"""The stages of a network, to find the one in which an exported file differs."""

import keras

from mrcnn.layers.proposals import ProposalLayer


def with_proposals(graph):
    """The same network, which returns its `proposals` too where it has some.

    Args:
        graph: a detection graph, functional `keras.Model`.

    Returns:
        `keras.Model` of the same inputs and weights to a dict, proposals first.
    """
    found = {}

    def call(layer, *args, **kwargs):
        result = layer(*args, **kwargs)
        if isinstance(layer, ProposalLayer):
            found["proposals"] = result
        return result

    copy = keras.models.clone_model(graph, graph.input, lambda x: x, call)
    return keras.Model(graph.input, found | copy.output, name=graph.name)
