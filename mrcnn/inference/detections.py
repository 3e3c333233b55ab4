"""`Detections`: what was found in an image.

Shapes: n instances, best first; H W of the image; P corners of a ring. Boxes are y1 x1 y2 x2 in
pixels.
"""

import importlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.data.class_names import class_name
from mrcnn.evaluate.annotations import coco_results
from mrcnn.image.cropped_masks import CroppedMasks, masks_of, shrunk
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.regions import reduced_picture
from mrcnn.image.rotated_boxes import min_area_rect
from mrcnn.image.tracing import trace_mask
from mrcnn.inference.tables import COLUMNS, instance_row, point_columns, write_csv

OF_PICTURE = ("segmentation", "segments")  # keys of the picture, not of an instance
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


class Detections(dict):
    """A result of `detect`: matterport's dict, which can also draw, save and convert itself.

    `found["rois"]` and the other keys are those of `DetectionModel.detect`; `len` is the number of
    keys, `count` that of instances. A boolean mask, list of indices or slice selects instances:
    `found[found["scores"] > 0.9]`.

    Args:
        found: dict of arrays; of an image detected in by tiles `masks` are `CroppedMasks`.
        image: the picture, [H, W] or [H, W, C], a `TiffRegions`, or None. A reference, not a copy.
        class_names: list by class id, "BG" first, or None.
        keypoint_scheme: `mrcnn.data.KeypointScheme` of its `keypoints`, or None.

    Example:

    >>> found = model.detect(["a.jpg"])[0]  # doctest: +SKIP
    >>> found[found["class_ids"] == 1].save("found.png")  # doctest: +SKIP
    """

    def __init__(self, found=(), image=None, class_names=None, keypoint_scheme=None):
        super().__init__(found)
        self.image, self.class_names = image, class_names
        self.keypoint_scheme = keypoint_scheme

    @property
    def count(self):
        """int, the number of instances."""
        return len(self["class_ids"])

    @property
    def skeleton(self):
        """Pairs of indices of keypoints that a line joins where instances are drawn, or None."""
        return None if self.keypoint_scheme is None else self.keypoint_scheme.skeleton

    def __getitem__(self, key):
        if isinstance(key, (slice, list, np.ndarray)):
            return self.filter(key)
        return super().__getitem__(key)

    def copy(self):
        """A new `Detections` of the same arrays."""
        return type(self)(self, self.image, self.class_names, self.keypoint_scheme)

    def filter(self, keep):
        """Some of the instances.

        Args:
            keep: bool [n], or the indices of those to keep in their new order, or a slice.

        Returns:
            `Detections`.

        Raises:
            ValueError: `keep` is neither, or of another length.
        """
        if not isinstance(keep, slice):
            keep = np.asarray(keep)
            keep = keep if keep.size else keep.astype(int)
            fits = keep.dtype.kind in "iu" or (keep.dtype == bool and len(keep) == self.count)
            if keep.ndim != 1 or not fits:
                raise ValueError(
                    f"expected a bool for each of the {self.count} instances, or their indices, "
                    f"received {keep.dtype} of shape {keep.shape}"
                )
        kept = self.copy()
        for name, array in self.items():
            if name in OF_PICTURE:
                continue
            if isinstance(array, CroppedMasks):
                kept[name] = array.select(keep)
            elif name == "masks":  # one plane an instance stays in one piece
                kept[name] = np.moveaxis(np.moveaxis(array, -1, 0)[keep], 0, -1)
            else:
                kept[name] = array[keep]
        return kept

    def reduced(self, largest):
        """The instances in a picture that is small enough to look at.

        Args:
            largest: int, pixels that a side has at most.

        Returns:
            `Detections`: the image by a whole factor smaller, boxes, masks and the map of segments
            with it; or this itself, where the image is small enough or none, or its masks are no
            `CroppedMasks`.
        """
        masks = self.get("masks")
        large = self.image is not None and max(np.shape(self.image)[:2]) > largest
        if not large or (masks is not None and not isinstance(masks, CroppedMasks)):
            return self
        found = self.copy()
        found.image, factor = reduced_picture(self.image, largest)
        found["boxes"] = np.asarray(self.get("boxes", self["rois"]), np.float32) / factor
        found["rois"] = np.around(found["boxes"]).astype(np.int32)
        if "keypoints" in self:
            scales = np.array([1 / factor, 1 / factor, 1], np.float32)
            found["keypoints"] = self["keypoints"] * scales
        if masks is not None:
            found["masks"] = masks.shrunk(factor)
        if "segmentation" in self:
            found["segmentation"] = shrunk(self["segmentation"], factor)
        return found

    # Pictures.

    def plot(self, **options):
        """Draws the instances, of a panoptic result all segments, into a copy of the image.

        Args:
            options: see `mrcnn.visualize.draw_instances`: `colors`, `show_mask`, `show_bbox`, ...;
                of a panoptic result those of `mrcnn.visualize.draw_panoptic`.

        Returns:
            uint8 [H, W, 3].
        """
        from mrcnn.visualize import draw_instances

        image, (drawn, drawing) = self._picture(), self._drawing()
        return draw_instances(image, *drawn, **{**drawing, **options})

    def show(self, **options):
        """Shows what `plot` draws in a Matplotlib figure, and returns the axes.

        Args:
            options: see `mrcnn.visualize.display_instances`.
        """
        from mrcnn.visualize import display_instances

        image, (drawn, drawing) = self._picture(), self._drawing()
        return display_instances(
            image, *drawn, **{"class_names": self.class_names, **drawing, **options}
        )

    def _drawing(self):
        """Boxes, masks and class ids of what is drawn, and the options of drawing it."""
        if "segmentation" in self:
            from mrcnn.visualize.segments import segment_instances

            return segment_instances(self["segmentation"], self["segments"], self.class_names)
        options = {"class_names": self.class_names, "scores": self["scores"]}
        options |= {"keypoints": self.get("keypoints"), "skeleton": self.skeleton}
        return (self["rois"], self.get("masks"), self["class_ids"]), options

    def crop(self, padding=0):
        """Cuts each instance out of the image.

        Args:
            padding: int, pixels to add around its box; what lies outside the image is left out.

        Returns:
            list of n arrays [h, w] or [h, w, C], copies of at least one pixel.
        """
        image = self._picture()
        image = image if hasattr(image, "shape") else np.asarray(image)
        grown = np.asarray(self["rois"]) + np.array([-padding, -padding, padding, padding])
        low = np.clip(grown[:, :2], 0, np.array(image.shape[:2]) - 1)
        high = np.maximum(grown[:, 2:], low + 1)
        sides = np.concatenate([low, high], axis=1).tolist()
        return [np.array(image[y1:y2, x1:x2]) for y1, x1, y2, x2 in sides]

    def polygons(self):
        """The outlines of the masks along the edges of their pixels.

        Returns:
            list of n lists of rings float [P, 2], x and y: see `mrcnn.image.trace_mask`.
        """
        return [
            [ring + np.array([left, top]) for ring in trace_mask(patch)]
            for top, left, patch in masks_of(self._masks())
        ]

    def rotated_boxes(self):
        """The smallest rectangle around each mask, at any angle.

        Returns:
            float [n, 4, 2], y and x of the corners in pixels, clockwise from the topmost, zeros of
            an empty mask: see `mrcnn.image.min_area_rect`.
        """
        boxes = np.zeros((self.count, 4, 2))
        for box, (top, left, patch) in zip(boxes, masks_of(self._masks()), strict=True):
            if patch.any():
                box[:] = np.array([top, left]) + min_area_rect(patch)
        return boxes

    def label_image(self, region=None):
        """The masks as one picture, int32 [H, W]: 0 where nothing is, i + 1 where instance i is.

        Where masks overlap the best score is seen.

        Args:
            region: y1 x1 y2 x2 of a part of the image in pixels, or None for all of it.
        """
        masks = self._masks()
        y1, x1, y2, x2 = region or (0, 0, *masks.shape[:2])
        labels = np.zeros((y2 - y1, x2 - x1), np.int32)
        boxes = extract_bboxes(masks)
        meet = (boxes[:, :2] < (y2, x2)).all(axis=1) & (boxes[:, 2:] > (y1, x1)).all(axis=1)
        for i in np.argsort(self["scores"], kind="stable"):
            if meet[i]:
                top, left = np.maximum(boxes[i, :2], (y1, x1))
                bottom, right = np.minimum(boxes[i, 2:], (y2, x2))
                part = masks[int(top) : int(bottom), int(left) : int(right), int(i)]
                labels[top - y1 : bottom - y1, left - x1 : right - x1][part] = i + 1
        return labels

    # Formats.

    def save(self, path, image_id=1):
        """Writes a file of the kind that its suffix says.

        Args:
            path: ".json" for COCO's results, ".csv" for `rows`, or a suffix of `PICTURES` for the
                image with what `plot` draws.
            image_id: int, the image's id in COCO's results.

        Raises:
            ValueError: another suffix, or there is no image to draw into.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".json":
            path.write_text(json.dumps(self.to_coco(image_id)))
        elif suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                write_csv(file, self.rows(), self._columns())
        elif suffix in PICTURES:
            Image.fromarray(self.plot()).save(path, quality=95)
        else:
            raise ValueError(
                f"{path}: expected the suffix .json, .csv or one of {', '.join(PICTURES)}, "
                f"received {suffix!r}"
            )

    def to_coco(self, image_id):
        """The instances as COCO results, list of dicts ready for JSON.

        Args:
            image_id: int, of the image in the ground truth.
        """
        return coco_results(image_id, self)

    def rows(self):
        """The instances as a table: list of dicts by `mrcnn.inference.tables.COLUMNS`, and with
        keypoints three entries for each, as `point_columns` of that module calls them."""
        areas = [None] * self.count
        if "masks" in self:
            areas = [int(np.count_nonzero(patch)) for _, _, patch in masks_of(self["masks"])]
        boxes = self.get("boxes", self["rois"])
        columns = zip(self["class_ids"], self["scores"], boxes, areas, strict=True)
        rows = [
            instance_row(i, class_id, self.class_names, score, box, area)
            for i, (class_id, score, box, area) in enumerate(columns, 1)
        ]
        for row, points in zip(rows, self.get("keypoints", ()), strict=False):
            row |= zip(point_columns(len(points)), map(float, np.ravel(points)), strict=True)
        return rows

    def _columns(self):
        points = point_columns(self["keypoints"].shape[1]) if "keypoints" in self else ()
        return [*COLUMNS, *points]

    def to_dataframe(self):
        """`rows` as a `pandas.DataFrame`."""
        return _optional("pandas").DataFrame(self.rows(), columns=self._columns())

    def to_supervision(self):
        """The instances as `supervision.Detections`, with `class_name` in their `data`."""
        boxes = np.asarray(self.get("boxes", self["rois"]), np.float32)
        names = [class_name(class_id, self.class_names) for class_id in self["class_ids"]]
        return _optional("supervision").Detections(
            xyxy=boxes[:, [1, 0, 3, 2]],
            mask=np.moveaxis(self["masks"], -1, 0) if "masks" in self else None,
            confidence=self["scores"],
            class_id=self["class_ids"].astype(int),
            data={"class_name": np.array(names, str)},
        )

    def _picture(self):
        if self.image is None:
            raise ValueError(
                "expected an image to draw into or cut from, but a stream does not keep its "
                "images: set found.image = image"
            )
        return self.image

    def _masks(self):
        if "masks" not in self:
            raise ValueError(
                "expected masks, but the model finds boxes only (USE_MASK = False): found has "
                f"{list(self)}"
            )
        return self["masks"]


def _optional(package):
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(
            f"this needs {package}, which is not installed: pip install 'mrcnn[{package}]', or "
            f"pip install '.[{package}]' in a clone"
        ) from None
