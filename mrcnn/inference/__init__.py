"""From images to detections: molding, the detection graph, unmolding; and looking inside."""

from mrcnn.inference.detections import Detections
from mrcnn.inference.detector import Detector
from mrcnn.inference.inspection import Inspection
from mrcnn.inference.unmold import unmold_detections

__all__ = ["Detections", "Detector", "Inspection", "unmold_detections"]
