"""`TiledDataset`: large pictures of a data set as the tiles that training sees.

Shape legend: H, W size in pixels; N instances. Boxes and regions are `y1, x1, y2, x2` in pixels,
half-open.
"""

import functools

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.encoded import EncodedMasks
from mrcnn.data.annotations.run_lengths import crop_code
from mrcnn.data.boxes import check_annotated_size, code_boxes, has_codes, picture_size
from mrcnn.data.dataset import Dataset
from mrcnn.data.image_loading import image_name, load_instances
from mrcnn.image.channels import Channels
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.pixels import to_model_image
from mrcnn.image.proposals import checked_proposals, crop_proposals
from mrcnn.image.tiles import tile_regions

VISIBLE = 0.5  # share of an object that a tile must show to train on it
_OPEN = 4  # files read by regions that stay open


def in_tiles(dataset, tiles, keep_empty=False):
    """A data set by the tiles of its large pictures; itself where it has none.

    Args:
        dataset: a prepared `Dataset`.
        tiles: `mrcnn.settings.Tiles`.
        keep_empty: bool, whether tiles without an object are wanted too.
    """
    if tiles.size is None:
        return dataset
    tiled = TiledDataset(dataset, tiles.size, tiles.least_overlap, keep_empty)
    return tiled if tiled.has_tiles else dataset


class TiledDataset(Dataset):
    """The tiles of a data set's large pictures, and its other pictures as they are.

    The tiles cover a picture and overlap, at full resolution. What a tile shows less than half of,
    and another tile shows whole, is a crowd in the first: neither object nor background. So an
    object that is not larger than the overlap is trained on whole, and none by a sliver.

    Of annotation files only the instances of a tile are drawn, and of a TIFF that
    `Channels.open_regions` can read only the tile is decoded.

    Args:
        dataset: a prepared `Dataset`.
        size, overlap: of the tiles, see `mrcnn.image.tiles.tile_regions`.
        keep_empty: bool, whether tiles without an object stay, where the annotation files tell.

    Attributes:
        has_tiles: bool, whether any picture is larger than a tile.
    """

    def __init__(self, dataset, size, overlap, keep_empty=False):
        super().__init__()
        self.dataset, self.class_info = dataset, dataset.class_info
        self._size, self._overlap, self._keep_empty = size, overlap, keep_empty
        self._regions_of, self._codes_of = {}, {}
        self._open = functools.lru_cache(maxsize=_OPEN)(Channels.open_regions)
        for image_id in dataset.image_ids:
            self._add(int(image_id))
        self.has_tiles = bool(self._regions_of)
        self.prepare()

    @property
    def channels(self):
        """Those of the data set, see `Dataset`; `read_as` of the tiles sets them there."""
        return getattr(self.dataset, "channels", 3)

    @channels.setter
    def channels(self, value):
        self.dataset.channels = value

    def _add(self, image_id):
        info = self.dataset.image_info[image_id]
        try:
            height, width = picture_size(self.dataset, image_id)
        except Exception:  # of the user's code too: who loads the picture names it
            height = width = 0
        if max(height, width) <= self._size:
            self.image_info.append({**info, "image_id": image_id})
            return
        regions = tile_regions(height, width, self._size, self._overlap)
        self._regions_of[image_id] = np.array(regions)
        for region in regions:
            if self._keep_empty or self._has_object(image_id, region):
                name = f"{info['id']}, region {' '.join(map(str, region))}"
                more = {"id": name, "image_id": image_id, "region": region}
                self.image_info.append({**info, **more})

    def _has_object(self, image_id, region):
        """Whether a tile shows enough of an object; True where only loading all masks tells."""
        if not has_codes(self.dataset, image_id):
            return True
        _, class_ids, boxes, _ = self._codes(image_id)
        shares = _shares(boxes, region)
        ignored = self._are_ignored(image_id, boxes, shares)
        return bool(((class_ids > 0) & (shares > 0) & ~ignored).any())

    def _codes(self, image_id):
        """Codes, class ids [N], boxes [N, 4] and areas [N] of the instances of a picture."""
        if image_id not in self._codes_of:
            codes, class_ids = self.dataset.load_codes(image_id)
            areas = np.array([mask_utils.area(code) for code in codes], float)
            self._codes_of[image_id] = codes, class_ids, code_boxes(codes), areas
        return self._codes_of[image_id]

    def _are_ignored(self, image_id, boxes, shares):
        """Of which instances a tile shows too little, and another tile all: bool [N]."""
        regions = self._regions_of[image_id][:, None]
        inside = (boxes[:, :2] >= regions[..., :2]) & (boxes[:, 2:] <= regions[..., 2:])
        return (shares < VISIBLE) & inside.all(axis=-1).any(axis=0)

    def load_image(self, image_id):
        """Returns a tile, or a picture that is no larger, as the data set's `load_image`."""
        info, dataset = self.image_info[image_id], self.dataset
        if "region" not in info:
            return dataset.load_image(info["image_id"])
        y1, x1, y2, x2 = info["region"]
        regions, channels = None, Channels.of(self.channels)
        if type(dataset).load_image is Dataset.load_image:
            regions = self._open(channels, info["path"])
        if regions is None:
            return dataset.load_image(info["image_id"])[y1:y2, x1:x2]
        name = image_name(self, image_id)
        return to_model_image(regions[y1:y2, x1:x2], channels.count, name, dataset)

    def load_mask(self, image_id):
        """Returns masks bool [h, w, N] and class ids int32 [N] of what a tile shows.

        Ids are negative for crowds, and for objects of which it shows too little.
        """
        info = self.image_info[image_id]
        source, region = info["image_id"], info.get("region")
        if region is None:
            return self.dataset.load_mask(source)
        y1, x1, y2, x2 = region
        if has_codes(self.dataset, source):
            codes, class_ids = self._shown_codes(source, region)
            masks = mask_utils.decode(codes) if codes else np.zeros((y2 - y1, x2 - x1, 0), np.uint8)
            return masks.view(bool), class_ids
        masks, class_ids, boxes, areas = self._whole(source)
        masks = masks[y1:y2, x1:x2]
        seen = masks.sum(axis=(0, 1))
        class_ids = self._signed(source, class_ids, boxes, seen / np.maximum(areas, 1))
        return masks[:, :, seen > 0], class_ids[seen > 0]

    def load_encoded(self, image_id, image_shape):
        """What `load_mask` returns, its masks as `EncodedMasks`; None if they must be arrays."""
        info = self.image_info[image_id]
        source, region = info["image_id"], info.get("region")
        if region is None:
            encoded = getattr(self.dataset, "load_encoded", lambda *arguments: None)
            return encoded(source, image_shape)
        size = region[2] - region[0], region[3] - region[1]
        if not has_codes(self.dataset, source) or size != tuple(image_shape[:2]):
            return None
        codes, class_ids = self._shown_codes(source, region)
        return EncodedMasks(codes, size), class_ids

    def load_boxes(self, image_id, image_shape):
        """Returns the boxes of what `load_mask` returns; no mask is drawn where the data set's own
        boxes need none. Of boxes that a data set has without masks it takes the part in the tile.
        """
        info = self.image_info[image_id]
        source, region = info["image_id"], info.get("region")
        if region is None:
            return self.dataset.load_boxes(source, image_shape)
        y1, x1, y2, x2 = region
        check_annotated_size((y2 - y1, x2 - x1), image_shape)
        if has_codes(self.dataset, source):
            codes, class_ids = self._shown_codes(source, region)
            return code_boxes(codes).astype(np.int32), class_ids
        if type(self.dataset).load_boxes in (Dataset.load_boxes, AnnotatedDataset.load_boxes):
            return super().load_boxes(image_id, image_shape)
        boxes, class_ids = self.dataset.load_boxes(source, picture_size(self.dataset, source))
        boxes, class_ids = np.asarray(boxes).reshape(-1, 4), np.asarray(class_ids)
        shares = _shares(boxes, region)
        class_ids = self._signed(source, class_ids, boxes, shares)[shares > 0]
        corners = boxes[shares > 0].reshape(-1, 2, 2).clip((y1, x1), (y2, x2)) - (y1, x1)
        return corners.reshape(-1, 4).astype(np.int32), class_ids

    def image_class_ids(self, image_id):
        """Returns the class ids of what `load_mask` returns; no mask is drawn where `load_boxes`
        draws none."""
        info = self.image_info[image_id]
        region = info.get("region")
        if region is None:
            return self.dataset.image_class_ids(info["image_id"])
        return self.load_boxes(image_id, (region[2] - region[0], region[3] - region[1]))[1]

    def _shown_codes(self, source, region):
        """Codes [N] and class ids int32 [N] of what a region of a picture shows."""
        codes, class_ids, boxes, areas = self._codes(source)
        meet = np.flatnonzero(_shares(boxes, region))
        codes = [crop_code(codes[i], region) for i in meet]
        seen = np.array([mask_utils.area(code) for code in codes], float)
        class_ids = self._signed(source, class_ids[meet], boxes[meet], seen / areas[meet])
        return [code for code, area in zip(codes, seen, strict=True) if area], class_ids[seen > 0]

    def _signed(self, source, class_ids, boxes, shares):
        """Class ids int32 [N] of a tile, negative also for what it shows too little of."""
        ignored = self._are_ignored(source, boxes, shares)
        return np.where(ignored, -np.abs(class_ids), class_ids).astype(np.int32)

    def load_proposals(self, image_id):
        """Returns what lies in a tile of the picture's proposals, in pixels of the tile."""
        info = self.image_info[image_id]
        found = getattr(self.dataset, "load_proposals", lambda image_id: None)(info["image_id"])
        if found is None or "region" not in info:
            return found
        return crop_proposals(checked_proposals(found, image_name(self, image_id)), info["region"])

    def _whole(self, image_id):
        """Masks [H, W, N] of a picture, class ids [N], boxes [N, 4] and areas [N]."""
        size = picture_size(self.dataset, image_id)
        masks, class_ids = load_instances(self.dataset, image_id, size, self.dataset.num_classes)
        return masks, class_ids, extract_bboxes(masks), masks.sum(axis=(0, 1))

    @property
    def without_outline(self):
        """As of the data set, see `AnnotatedDataset`."""
        return getattr(self.dataset, "without_outline", None)

    def image_reference(self, image_id):
        """As of the data set."""
        return self.dataset.image_reference(self.image_info[image_id]["image_id"])


def _shares(boxes, region):
    """The share of each box [N, 4] that lies in a region: float [N]."""
    sides = np.minimum(boxes[:, 2:], region[2:]) - np.maximum(boxes[:, :2], region[:2])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return sides.clip(0).prod(axis=1) / np.maximum(areas, 1)
