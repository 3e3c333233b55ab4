"""Settings: what each stage must know, made from a `Config` once.

What comes after takes settings, never a `Config`: layers and heads take those of their stage whole.
A stage's class is a table: each field names the key of `Config` that it comes from. Its default is
the value of `Config`; no number is repeated here.
"""

import dataclasses

from mrcnn.settings.fields import Stage, plain, stage
from mrcnn.settings.heads import (
    BoxHead,
    Cascade,
    CascadeStage,
    KeypointHead,
    MaskHead,
    MaskTransformer,
    RetinaNetHead,
    SemanticHead,
)
from mrcnn.settings.network import (
    Anchors,
    Boxes,
    ConvStyle,
    Detections,
    Image,
    Native,
    Panoptic,
    Pooling,
    Proposals,
    TestTime,
    Tiles,
    Trunk,
    Warping,
)
from mrcnn.settings.training import (
    AnchorTargets,
    Checkpoints,
    DenseTargets,
    GroundTruth,
    HardROIs,
    KeypointTargets,
    Losses,
    Optimization,
    ROITargets,
    Runtime,
    loss_of,
)

__all__ = [
    "AnchorTargets",
    "Anchors",
    "BoxHead",
    "Boxes",
    "Cascade",
    "CascadeStage",
    "Checkpoints",
    "ConvStyle",
    "DenseTargets",
    "Detections",
    "GroundTruth",
    "HardROIs",
    "Image",
    "KeypointHead",
    "KeypointTargets",
    "Losses",
    "MaskHead",
    "MaskTransformer",
    "Native",
    "Optimization",
    "Panoptic",
    "Pooling",
    "Proposals",
    "ROITargets",
    "RetinaNetHead",
    "Runtime",
    "SemanticHead",
    "Settings",
    "TestTime",
    "Tiles",
    "Trunk",
    "Warping",
    "check_config",
    "loss_of",
    "plain",
]


def check_config(config):
    """Raises TypeError unless `config` is a `Config`: for a class it says what to write."""
    if isinstance(config, type):
        raise TypeError(f"config is the class {config.__name__}; pass {config.__name__}()")
    if not hasattr(config, "IMAGE_RESIZE_MODE"):
        raise TypeError(f"config is a {type(config).__name__}; expected a mrcnn.config.Config")


@stage
class Settings:
    """The settings of every stage.

    Example:

    >>> Settings.from_config(Config()).proposals.proposal_count
    1000
    """

    image: Image
    tiles: Tiles
    test_time: TestTime
    trunk: Trunk
    style: ConvStyle
    anchors: Anchors
    proposals: Proposals
    training_proposals: Proposals
    pooling: Pooling
    warping: Warping
    box_head: BoxHead
    cascade: Cascade
    mask_head: MaskHead
    keypoint_head: KeypointHead
    retinanet_head: RetinaNetHead
    semantic_head: SemanticHead
    mask_transformer: MaskTransformer
    anchor_targets: AnchorTargets
    roi_targets: ROITargets
    hard_rois: HardROIs
    keypoint_targets: KeypointTargets
    dense_targets: DenseTargets
    ground_truth: GroundTruth
    detections: Detections
    panoptic: Panoptic
    losses: Losses
    optimization: Optimization
    checkpoints: Checkpoints
    runtime: Runtime
    preset: str

    @classmethod
    def from_config(cls, config):
        """Reads a `Config`; settings are returned as they are, so that callers may pass either."""
        if isinstance(config, cls):
            return config
        check_config(config)
        training = {
            "proposal_count": int(config.POST_NMS_ROIS_TRAINING),
            "pre_nms_limit": int(config.PRE_NMS_LIMIT_TRAINING or config.PRE_NMS_LIMIT),
        }
        return cls(
            preset=config.PRESET,
            training_proposals=Proposals.from_config(config, **training),
            **{
                field.name: field.type.from_config(config)
                for field in dataclasses.fields(cls)
                if field.name not in ("preset", "training_proposals")
            },
        )

    def changed_since(self, earlier):
        """Keys of `Config` in which these settings of training differ from others, a sorted list.

        Those of detections alone are left out, and those that `train` reads anew.
        """
        others = ("preset", "training_proposals", "detections", "panoptic", "test_time")
        others += ("optimization", "checkpoints")
        return sorted(
            {
                field.metadata["key"]
                for stage in dataclasses.fields(self)
                if stage.name not in others
                for field in dataclasses.fields(stage.type)
                if getattr(getattr(self, stage.name), field.name)
                != getattr(getattr(earlier, stage.name), field.name)
            }
        )

    @property
    def numerics(self):
        """dict: the keys of `Config` that weights depend on, with these settings' values."""
        return {
            field.metadata["key"]: getattr(part, field.name)
            for part in (getattr(self, field.name) for field in dataclasses.fields(self))
            if isinstance(part, Stage)
            for field in dataclasses.fields(part)
            if field.metadata["numeric"]
        }
