"""Layers without weights: each is one pure function of `mrcnn.ops` with its stage's settings."""

from mrcnn.layers.anchors import Anchors, NormBoxes, PixelBoxes, SplitAnchors
from mrcnn.layers.base import PureLayer
from mrcnn.layers.cascade import MatchedTargetLayer, RefinedROIs
from mrcnn.layers.corners import ResizeCorners
from mrcnn.layers.dense_detections import DenseDetectionLayer
from mrcnn.layers.detections import ClassMasks, DetectionLayer
from mrcnn.layers.hard_rois import HardROIs
from mrcnn.layers.proposals import ProposalLayer, ProposalSteps
from mrcnn.layers.roi_align import PyramidROIAlign, SpatialPyramidPool
from mrcnn.layers.semantic import StuffTargets, Upsample
from mrcnn.layers.targets import (
    AnchorTargetLayer,
    DenseTargetLayer,
    DetectionTargetLayer,
    KeypointTargetLayer,
    Loss,
    MaskTargets,
)
from mrcnn.layers.warping import WarpedRegions

__all__ = [
    "AnchorTargetLayer",
    "Anchors",
    "ClassMasks",
    "DenseDetectionLayer",
    "DenseTargetLayer",
    "DetectionLayer",
    "DetectionTargetLayer",
    "HardROIs",
    "KeypointTargetLayer",
    "Loss",
    "MaskTargets",
    "MatchedTargetLayer",
    "NormBoxes",
    "PixelBoxes",
    "ProposalLayer",
    "ProposalSteps",
    "PureLayer",
    "PyramidROIAlign",
    "RefinedROIs",
    "ResizeCorners",
    "SpatialPyramidPool",
    "SplitAnchors",
    "StuffTargets",
    "Upsample",
    "WarpedRegions",
]
