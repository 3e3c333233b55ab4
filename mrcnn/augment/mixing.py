"""Steps that put objects of one picture into another."""

import numpy as np

from mrcnn.augment import ranges
from mrcnn.data.sample import Step
from mrcnn.image.masks import extract_bboxes, no_masks, resize_mask
from mrcnn.image.resizing import scale_image


class CopyPaste(Step):
    """Copies objects of another picture over this one (Ghiasi et al. 2021, arXiv:2012.07177).

    The other picture is mirrored or not, scaled, and laid at a random place on the canvas; of its
    objects a random part is pasted, crowds left out. What they cover is taken from the masks below,
    and an object of which hardly anything is left is dropped. Only the objects are scaled, each in
    its box: this costs little more than reading the other picture.

    Args:
        scale: range of the other picture's scale, drawn uniformly; 1 shows it as resizing would.
        share: range of the share of its objects that are pasted, at least one.
        flip: float, how probably the other picture is mirrored.
        min_visible: float, an object of which a smaller part is left is dropped.
        p: float, how probably.
    """

    def __init__(self, scale=(0.5, 1.5), share=(0.0, 1.0), flip=0.5, min_visible=0.1, p=0.5):
        self.scale = ranges.number_range("scale", scale, above=0)
        self.share = ranges.number_range("share", share)
        self.flip, self.p = ranges.share("flip", flip), ranges.share("p", p)
        self.min_visible = ranges.share("min_visible", min_visible)

    def apply(self, sample, rng):
        if sample.other is None:
            raise ValueError(
                "expected other pictures to paste from, received one alone. Give CopyPaste to "
                "train, DataGenerator, load_image_gt or preview, which have a data set"
            )
        if rng.random() >= self.p:
            return sample
        found = sample.other(rng)
        if found is None:
            return sample
        other, resized = found
        scale = resized * rng.uniform(*self.scale)
        mirrored = rng.random() < self.flip
        size = np.maximum(1, np.rint(np.array(other.size) * scale)).astype(int)
        room = np.array(sample.size) - size
        # Inside the canvas where it fits; else the canvas is inside of it.
        origin = np.array([rng.integers(min(0, x), max(0, x) + 1) for x in room])
        objects = np.flatnonzero(other.class_ids > 0)
        count = min(len(objects), max(1, round(len(objects) * rng.uniform(*self.share))))
        objects = np.sort(rng.choice(objects, count, replace=False))
        placing = Placing(other, size, origin, mirrored)
        pieces = [placing.piece(i, sample, self.min_visible) for i in objects]
        kept = [i for i, piece in zip(objects, pieces, strict=True) if piece is not None]
        pieces = [piece for piece in pieces if piece is not None]
        return self._paste(sample, pieces, other.class_ids[kept], placing.points(kept))

    def _paste(self, sample, pieces, class_ids, points):
        if not pieces:
            return sample
        count = len(sample.class_ids)
        image, masks = sample.image.copy(), no_masks(sample.size, count + len(pieces))
        masks[:, :, :count] = sample.masks
        labels = None if sample.labels is None else sample.labels.copy()
        areas = [*_areas(sample.masks), *(np.count_nonzero(mask) for _, _, mask in pieces)]
        boxes = extract_bboxes(sample.masks).tolist()
        for place, (there, pixels, mask) in enumerate(pieces, count):
            np.copyto(image[there], pixels, where=mask[:, :, None])
            if labels is not None:
                labels[there][mask] = class_ids[place - count]
            for i in range(place):
                # What lies in another part of the picture is left alone.
                if _overlap(boxes[i], there):
                    masks[(*there, i)] &= ~mask
            masks[(*there, place)] = mask
            boxes.append([there[0].start, there[1].start, there[0].stop, there[1].stop])
        left = _areas(masks)
        kept = (left >= self.min_visible * np.array(areas)) & (left > 0)
        # Objects may lie beyond the picture, on what was padding.
        boxes = np.array([sample.window, *boxes[count:]])
        window = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
        if sample.points is not None:
            if points is None:
                raise ValueError("expected points of the pasted objects, received none")
            points = np.concatenate([sample.points, points])[kept]
        return sample.replace(
            image=image,
            masks=masks if kept.all() else masks[:, :, kept],
            class_ids=np.concatenate([sample.class_ids, class_ids])[kept],
            window=window,
            points=points if sample.points is not None else None,
            labels=labels,
        )


class Placing:
    """A picture that is mirrored or not, scaled to a size and laid on a canvas.

    Args:
        sample: `Sample`.
        size: int `[2]`, height and width that it is scaled to.
        origin: int `[2]`, where its upper left corner comes to lie on the canvas.
        mirrored: bool, whether left and right are exchanged.
    """

    def __init__(self, sample, size, origin, mirrored):
        self.sample, self.size, self.origin, self.mirrored = sample, size, origin, mirrored
        self.scale = size / np.array(sample.size)

    def piece(self, index, canvas, min_visible):
        """One object as it is pasted: slices of the canvas, pixels and mask there; or None where
        too little of it is on the canvas."""
        mask = self.sample.masks[:, :, index]  # of codes drawn now
        y1, x1, y2, x2 = extract_bboxes(mask[:, :, None])[0].tolist()
        pixels, mask = self.sample.image[y1:y2, x1:x2], mask[y1:y2, x1:x2]
        if self.mirrored:
            width = self.sample.size[1]
            pixels, mask, x1, x2 = pixels[:, ::-1], mask[:, ::-1], width - x2, width - x1
        low = np.rint(np.array([y1, x1]) * self.scale).astype(int)
        high = np.maximum(np.rint(np.array([y2, x2]) * self.scale).astype(int), low + 1)
        size = tuple((high - low).tolist())
        start = low + self.origin
        first, last = np.clip([start, start + size], 0, canvas.size)
        if (last <= first).any():
            return None
        cut = tuple(slice(*pair) for pair in np.stack([first - start, last - start], 1).tolist())
        mask = resize_mask(mask[:, :, None], 1, [(0, 0)], size=size)[:, :, 0]
        visible = np.count_nonzero(mask[cut])
        if not visible or visible < min_visible * np.count_nonzero(mask):
            return None
        pixels = scale_image(np.ascontiguousarray(pixels), size, "antialias")[cut]
        if pixels.dtype != np.uint8 and canvas.image.dtype == np.uint8:
            pixels = np.rint(pixels).clip(0, 255)
        there = tuple(slice(*pair) for pair in np.stack([first, last], 1).tolist())
        return there, pixels.astype(canvas.image.dtype), mask[cut]

    def points(self, indices):
        """Points of objects on the canvas, or None."""
        if self.sample.points is None:
            return None
        points = self.sample.points[indices]
        if self.mirrored:
            points = self.sample.traded(points * [1, -1] + [0, self.sample.size[1]])
        return points * self.scale + self.origin


def _areas(masks):
    return np.array([np.count_nonzero(masks[:, :, i]) for i in range(masks.shape[2])], int)


def _overlap(box, there):
    rows, cols = there
    return box[0] < rows.stop and rows.start < box[2] and box[1] < cols.stop and cols.start < box[3]
