"""From images to detections: molding, the detection graph, unmolding; and looking inside.

- `detections`, `tables`: a result, a dict that also draws, saves and converts itself.
- `inputs`, `streams`, `records`, `writers`: many pictures, into a folder.
"""

from mrcnn.inference.detections import Detections
from mrcnn.inference.detector import Detector
from mrcnn.inference.inputs import iterate_inputs
from mrcnn.inference.inspection import Inspection
from mrcnn.inference.streams import Summary, detect_to_folder
from mrcnn.inference.unmold import unmold_detections

__all__ = [
    "Detections",
    "Detector",
    "Inspection",
    "Summary",
    "detect_to_folder",
    "iterate_inputs",
    "unmold_detections",
]
