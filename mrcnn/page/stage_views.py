"""What is seen of each stage: a picture, small pictures, and rows that say why.

Shapes: A anchors, L boxes that compete, N proposals, K classes.
"""

import dataclasses

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.regions import reduced_picture
from mrcnn.inference.suppression import Fate
from mrcnn.page.fates import counts_text, reason
from mrcnn.visualize import boxes_picture, map_picture

LARGEST = 1024  # pixels of a side of the picture that boxes are drawn on
SMALL = 400  # of one among several
ROWS = 200  # of a table at most


@dataclasses.dataclass(frozen=True)
class StageView:
    """What is seen.

    Attributes:
        text: Markdown, what it shows and what a good network shows here.
        picture: uint8 [H, W, 3], or None.
        tiles: list of (uint8 [h, w, 3], caption).
        columns: texts.
        rows: list of lists, one entry for each column.
    """

    text: str
    picture: np.ndarray | None = None
    tiles: list = dataclasses.field(default_factory=list)
    columns: tuple = ()
    rows: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Look:
    """How a stage is looked at.

    Args:
        count: int, how many boxes are drawn.
        least: float, the least score of a detection.
        overlap: float, IoU above which the lower score goes; None: the model's.
    """

    count: int = 20
    least: float = 0.5
    overlap: float | None = None

    def limit(self, rules):
        """The IoU above which the lower score goes, where `rules` are the model's."""
        return rules.nms_threshold if self.overlap is None else self.overlap


def see_anchors(image, stages, names, look):
    """The best anchors, and the best score at each place of each level."""
    anchors = stages.anchors
    best = np.argsort(-anchors.scores, kind="stable")[: look.count]
    tiles = [
        (map_picture(level, cmap="inferno"), f"stride {stride}: best {level.max():.2f}")
        for level, stride in zip(anchors.maps, anchors.strides, strict=True)
    ]
    rows = [
        [_score(anchors.scores[i]), anchors.strides[anchors.levels[i]], _box(anchors.boxes[i])]
        for i in best
    ]
    text = (
        f"The {len(best)} best of {len(anchors.scores)} anchors, not yet refined. They should "
        "crowd around the objects, in the level and the shape that fit them. The maps show the "
        "best score at each place of each level, dark 0 and bright 1."
    )
    columns = ("score", "stride", "box (y1 x1 y2 x2)")
    return StageView(text, _drawn(image, anchors.boxes[best]), tiles, columns, rows)


def see_proposals(image, stages, names, look):
    """The best proposals, with their scores."""
    proposals = stages.proposals
    boxes, scores = proposals.boxes[: look.count], proposals.scores[: look.count]
    rows = [
        [rank, _score(proposals.scores[rank - 1]), _box(box)]
        for rank, box in enumerate(proposals.boxes[:ROWS], 1)
    ]
    text = (
        f"The first {len(scores)} of {len(proposals.scores)} proposals, by the score of the region "
        "proposal network. Each object should be framed by one of the first."
    )
    picture = _drawn(image, boxes, captions=[f"{score:.2f}" for score in scores])
    return StageView(text, picture, [], ("rank", "score", "box (y1 x1 y2 x2)"), rows)


def see_proposal_nms(image, stages, names, look):
    """The best refined anchors, and which of them suppression took away."""
    candidates = stages.proposals.candidates
    limit = look.limit(candidates.settings)
    found = candidates.suppress(nms_threshold=limit)
    best = np.argsort(-candidates.scores, kind="stable")[: look.count]
    ranks = {int(i): f"rank {rank}" for rank, i in enumerate(best, 1)}
    rows = [
        [rank, _score(candidates.scores[i]), reason(found, i, lambda j: ranks.get(j, "a better"))]
        for rank, i in enumerate(best, 1)
    ]
    removed = int(np.sum(found.fates[best] == Fate.OVERLAPPED))
    text = (
        f"The {len(best)} best refined anchors: {removed} overlap a better one by an IoU of more "
        f"than {limit:.2f} (grey, dotted), the others are proposals (solid). The model's own limit "
        f"is RPN_NMS_THRESHOLD = {candidates.settings.nms_threshold:g}."
    )
    picture = _drawn(image, candidates.boxes[best], visibilities=_visibilities(found.fates[best]))
    return StageView(text, picture, [], ("rank", "score", "what became of it"), rows)


def see_levels(image, stages, names, look):
    """Which level of the pyramid each ROI is cut out of."""
    rois, tiles = stages.rois, []
    small, factor = reduced_picture(np.asarray(image), SMALL)
    for level in np.unique(rois.levels):
        of_level = np.flatnonzero(rois.levels == level)
        boxes = rois.boxes[of_level[: look.count]] / factor
        share = f"P{level + 2}: {len(of_level)} ROIs, {len(boxes)} shown"
        tiles.append((boxes_picture(small, None, boxes, side=SMALL), share))
    text = (
        f"{len(rois.boxes)} ROIs by the level that their features are cut out of: large ones of "
        "coarse levels. The rule was made for photos of about 800 pixels; in small pictures nearly "
        "all come from P2."
    )
    return StageView(text, None, tiles)


def see_classes(image, stages, names, look):
    """What the box head says of the ROIs that are no background."""
    rois = stages.rois
    best = rois.probs.argmax(axis=1)
    objects = np.flatnonzero(best > 0)
    objects = objects[np.argsort(-rois.probs[objects, best[objects]], kind="stable")]
    shown, rows = objects[: look.count], []
    captions = [f"{_name(best[i], names)} {rois.probs[i, best[i]]:.2f}" for i in shown]
    for i in objects[:ROWS]:
        probs = rois.probs[i]
        first, second = np.argsort(-probs, kind="stable")[:2]
        likely = [_name(first, names), _score(probs[first]), _name(second, names)]
        rows.append([int(i) + 1, *likely, _score(probs[second]), _score(probs[0])])
    text = (
        f"{len(objects)} of {len(rois.probs)} ROIs are more likely an object than background; the "
        f"{len(shown)} surest are drawn, as they were proposed. Several still lie on one object."
    )
    columns = ("ROI", "class", "probability", "second class", "its probability", "background")
    return StageView(text, _drawn(image, rois.boxes[shown], captions=captions), [], columns, rows)


def see_nms(image, stages, names, look):
    """What becomes of each refined box: a detection, or why not."""
    candidates = stages.candidates
    limit = look.limit(candidates.settings)
    found = candidates.suppress(nms_threshold=limit, min_confidence=look.least)
    order = np.argsort(-candidates.scores, kind="stable")
    order = order[np.isfinite(candidates.scores[order])]
    order = np.concatenate([found.kept, order[~np.isin(order, found.kept)]]).astype(int)

    def called(i):
        return f"{_name(candidates.class_ids[i], names)} {candidates.scores[i]:.2f} (box {i + 1})"

    rows = [
        [
            int(i) + 1,
            _name(candidates.class_ids[i], names),
            _score(candidates.scores[i]),
            reason(found, i, called),
        ]
        for i in order[:ROWS]
    ]
    drawn = [i for i in order if found.fates[i] != Fate.UNSURE][: len(found.kept) + look.count]
    captions = [
        f"{_name(candidates.class_ids[i], names)} {found.scores[i]:.2f}"
        for i in drawn[: len(found.kept)]
    ]
    captions += [""] * (len(drawn) - len(captions))
    visibilities = _visibilities(found.fates[drawn])
    picture = _drawn(image, candidates.boxes[drawn], captions, visibilities)
    text = counts_text(found, candidates.settings, limit, look.least)
    return StageView(text, picture, [], ("box", "class", "score", "what became of it"), rows)


def see_masks(image, stages, names, look):
    """The masks as the mask head draws them."""
    small = stages.masks
    keep = np.flatnonzero(small.scores >= look.least)[: look.count]
    tiles = [
        (map_picture(small.masks[i]), f"{_name(small.class_ids[i], names)} {small.scores[i]:.2f}")
        for i in keep
    ]
    height, width = small.masks.shape[1:]
    text = (
        f"The masks of {len(keep)} detections as the network draws them, {height} x {width} over "
        "the box, dark 0 and bright 1. Scaled to its box and cut at 0.5, each is a mask of the "
        "result."
    )
    return StageView(text, None, tiles)


PROPOSAL_NMS, DETECTION_NMS = (
    "Proposals: what NMS removed",
    "Detections: what was removed, and why",
)
# The stage that each needs, see `mrcnn.inference.stages.Stages`.
SEES = {
    "Anchors by score": ("anchors", see_anchors),
    "Proposals by score": ("proposals", see_proposals),
    PROPOSAL_NMS: ("proposals", see_proposal_nms),
    "ROIs by level": ("rois", see_levels),
    "Class scores": ("rois", see_classes),
    DETECTION_NMS: ("candidates", see_nms),
    "Masks before pasting": ("masks", see_masks),
}
_WHYS = {
    "anchors": "it has no anchors",
    "proposals": "it makes no proposals",
    "rois": "it cuts out no ROIs",
    "candidates": "no boxes compete, and none are suppressed",
    "masks": "it has no mask head",
}


def views_of(available):
    """Names of the views that a model has whose stages these are."""
    return [name for name, (stage, _) in SEES.items() if stage in available]


def missing_text(available):
    """Markdown: what cannot be seen of a model, and why; empty where all can."""
    whys = [why for stage, why in _WHYS.items() if stage not in available]
    return f"What this network does not have: {'; '.join(whys)}." if whys else ""


def see(name, image, stages, names, look):
    """The view of a name of `SEES`.

    Args:
        name: str.
        image: the picture.
        stages: `mrcnn.inference.stages.Stages`.
        names: of the classes by id.
        look: `Look`.

    Returns:
        `StageView`.
    """
    return SEES[name][1](image, stages, names, look)


def _drawn(image, boxes, captions=None, visibilities=None):
    """Boxes, solid, on the picture; or as `draw_boxes` has their visibilities."""
    small, factor = reduced_picture(np.asarray(image), LARGEST)
    boxes = np.asarray(boxes) / factor
    if visibilities is None:
        return boxes_picture(small, None, boxes, captions=captions)
    return boxes_picture(small, boxes, captions=captions, visibilities=visibilities)


def _visibilities(fates):
    """What `draw_boxes` takes: detections solid, others grey and dotted."""
    return np.where(fates == Fate.DETECTED, 2, 0)


def _score(value):
    return round(float(value), 3)


def _box(box):
    return " ".join(str(round(float(side))) for side in box)


def _name(class_id, names):
    return "background" if class_id == 0 else class_name(class_id, names)
