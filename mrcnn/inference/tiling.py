"""`TiledDetector`: detection in images larger than a tile, in the memory of a batch of tiles.

Shape legend: H, W size in pixels; n instances. A region is `y1, x1, y2, x2` in pixels, half-open.
"""

import warnings

from mrcnn.image.pixels import is_first
from mrcnn.image.proposals import checked_proposals, crop_proposals
from mrcnn.image.tiles import tile_regions
from mrcnn.inference.detector import Detector
from mrcnn.inference.log import log
from mrcnn.inference.merging import Merger
from mrcnn.inference.proposals import check_count, check_wanted


class TiledDetector(Detector):
    """A `Detector` by whose settings images are cut into tiles.

    Each tile is resized and detected in as a picture of its own. Results hold `CroppedMasks`.
    """

    def detect(self, images, verbose=0, names=None, progress=None, proposals=None):
        """As `Detector.detect`; an image may also be what `Channels.open_regions` returns.

        Args:
            images, verbose, names, proposals: as there; a tile has what lies in it of these.
            progress: function of how many tiles of a large image are done, and of how many there
                are; or None.
        """
        check_wanted(self.settings, proposals)
        check_count(images, proposals)
        names = names or [f"images[{i}]" for i in range(len(images))]
        small = [i for i, image in enumerate(images) if not self.is_large(image)]
        given = None if proposals is None else [proposals[i] for i in small]
        chosen = [images[i] for i in small], verbose, [names[i] for i in small]
        found = super().detect(*chosen, proposals=given)
        results = dict(zip(small, found, strict=True))
        for i, image in enumerate(images):
            if i not in results:
                boxes = None if proposals is None else checked_proposals(proposals[i], names[i])
                results[i] = self._detect_tiles(image, names[i], verbose, progress, boxes)
        return [results[i] for i in range(len(images))]

    def is_large(self, image):
        """Whether an image has more than one tile."""
        return max(getattr(image, "shape", (0,))[:2]) > self.settings.tiles.size

    def _detect_tiles(self, image, name, verbose, progress, boxes):
        (height, width), tiles = image.shape[:2], self.settings.tiles
        regions = tile_regions(height, width, tiles.size, tiles.least_overlap)
        merger, limit = Merger(regions, height, width), self.settings.detections.max_instances
        if verbose:
            log(f"{name} of {height} x {width} in {len(regions)} tiles")
        for start in range(0, len(regions), self.settings.runtime.batch_size):
            batch = regions[start : start + self.settings.runtime.batch_size]
            pixels = [image[y1:y2, x1:x2] for y1, x1, y2, x2 in batch]
            places = [f"{name}, region {region}" for region in batch]
            given = None if boxes is None else [crop_proposals(boxes, each) for each in batch]
            results = super().detect(pixels, names=places, proposals=given)
            for index, found in enumerate(results, start):
                merger.add(index, found)
                self._warn_of_limit(len(found["class_ids"]), limit, places[index - start])
                if progress:
                    progress(index + 1, len(regions))
        result = merger.result()
        self._warn_of_united(merger.united, name)
        return result

    def _warn_of_limit(self, count, limit, name):
        if count >= limit and is_first(self, "limit"):
            warnings.warn(
                f"{name}: a tile has as many detections as it may, {limit}; others are lost: raise "
                "DETECTION_MAX_INSTANCES, or lower TILE_SIZE",
                stacklevel=5,
            )

    def _warn_of_united(self, count, name):
        if count and is_first(self, "united"):
            warnings.warn(
                f"{name}: {count} objects are larger than what tiles share, "
                f"{self.settings.tiles.least_overlap} pixels, and were made of parts: raise "
                "TILE_OVERLAP to see them whole",
                stacklevel=5,
            )
