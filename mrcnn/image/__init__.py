"""Pictures, masks and boxes in NumPy: reading, checking, resizing, molding, pasting, tracing."""

from mrcnn.image.channels import Channels
from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.masks import extract_bboxes, minimize_mask, resize_mask
from mrcnn.image.meta import compose_image_meta, parse_image_meta, with_image_shape
from mrcnn.image.molding import MoldedImages, mold, mold_image, unmold_image
from mrcnn.image.pages import PageReader
from mrcnn.image.pasting import PASTERS, expand_mask, paste_mask, unmold_mask
from mrcnn.image.pixels import to_model_image
from mrcnn.image.reading import image_size, read_image
from mrcnn.image.regions import TiffRegions, open_regions
from mrcnn.image.resizing import pad_to, resize, resize_image, scale_image
from mrcnn.image.rotated_boxes import min_area_rect
from mrcnn.image.sizes import bucket_sides, scaled_size
from mrcnn.image.tracing import signed_area, trace_mask

__all__ = [
    "PASTERS",
    "Channels",
    "CroppedMasks",
    "MoldedImages",
    "PageReader",
    "TiffRegions",
    "bucket_sides",
    "compose_image_meta",
    "expand_mask",
    "extract_bboxes",
    "image_size",
    "min_area_rect",
    "minimize_mask",
    "mold",
    "mold_image",
    "open_regions",
    "pad_to",
    "parse_image_meta",
    "paste_mask",
    "read_image",
    "resize",
    "resize_image",
    "resize_mask",
    "scale_image",
    "scaled_size",
    "signed_area",
    "to_model_image",
    "trace_mask",
    "unmold_image",
    "unmold_mask",
    "with_image_shape",
]
