"""Lets Keras load saved models of this library in a process that imported only `mrcnn`.

Keras finds a custom class by the name that it was registered under, which its module does when it
is imported; and importing this package must not load Keras. So, as soon as Keras is imported, each
name stands for a class that is imported when a saved model asks for it.
"""

import importlib
import sys

from mrcnn.startup.late_imports import around_import

# Registered name: module.
CLASSES = {
    **{
        f"mrcnn>{name}": "mrcnn.layers"
        for name in (
            *("AnchorTargetLayer", "Anchors", "ClassMasks", "DenseDetectionLayer"),
            *("DenseTargetLayer", "DetectionLayer", "DetectionTargetLayer", "KeypointTargetLayer"),
            *("HardROIs", "Loss", "MatchedTargetLayer", "NormBoxes", "PixelBoxes"),
            *("ProposalLayer", "ProposalSteps", "PyramidROIAlign", "RefinedROIs"),
            *("SpatialPyramidPool", "SplitAnchors", "StuffTargets", "Upsample"),
            *("MaskTargets", "ResizeCorners", "WarpedRegions"),
        )
    },
    **dict.fromkeys(
        (
            f"mrcnn>{name}"
            for name in ("AttentionNorm", "AxialAttention", "CrossAttention", "Memory")
        ),
        "mrcnn.network.attention",
    ),
    "mrcnn>BatchNorm": "mrcnn.network.norm",
    "mrcnn>FoldedConv": "mrcnn.network.folding",
    "mrcnn>LayerScale": "mrcnn.network.keras_applications",
    "mrcnn>MaskLogits": "mrcnn.network.mask_transformer",
    "mrcnn>MaskPredictor": "mrcnn.network.heads",
    "mrcnn>NamedWeightsModel": "mrcnn.network.training_model",
    "mrcnn>TrainingModel": "mrcnn.network.training_model",
    **dict.fromkeys(("mrcnn>AdamW", "mrcnn>SGD"), "mrcnn.training.optimizers"),
    **dict.fromkeys(("mrcnn>OneCycle", "mrcnn>Warmup"), "mrcnn.training.schedules"),
    **{
        f"mrcnn.matterport>{name}": "mrcnn.matterport.layers"
        for name in (
            *("BatchNorm", "DetectionLayer", "DetectionTargetLayer", "ProposalLayer"),
            "PyramidROIAlign",
        )
    },
    "mrcnn.matterport>GivenAnchorTargetLayer": "mrcnn.matterport.keras_model",
    "mrcnn.matterport>MatterportTrainingModel": "mrcnn.matterport.keras_model",
}


class Deferred:
    """Stands for a class until a saved model asks for it."""

    def __init__(self, registered_name):
        self.registered_name = registered_name

    def from_config(self, config):
        module = importlib.import_module(CLASSES[self.registered_name])
        return getattr(module, self.registered_name.split(">")[1]).from_config(config)


def _execute(exec_module, module):
    exec_module(module)
    register(module)


def register(keras):
    """Puts the names into Keras's registry, where their classes are not there yet."""
    for name in CLASSES:
        keras.saving.get_custom_objects().setdefault(name, Deferred(name))


def install():
    """Registers the names now, or as soon as Keras is imported; imports nothing."""
    if "keras" in sys.modules:
        register(sys.modules["keras"])
    else:
        around_import("keras", _execute)
