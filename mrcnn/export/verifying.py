"""Whether an exported file finds what the model finds, and if not, in which stage they part.

Equal is what the tests against the original libraries call equal: of 100 detections 98 have a
partner of the same class, with an IoU over 0.99 and a score within 0.001. Nothing can be said of a
detection whose score is that near to the score at which detections are cut off. In a black picture
all places look alike, so that rounding chooses among them: there, where the model finds nothing,
the file must not either.

A model that finds nothing in any picture, as one whose scores are all below its threshold, is
compared by what its detections are made of.

Shapes: N, M boxes; H W of an image, C channels.
"""

import itertools

import numpy as np
from skimage import data

from mrcnn.export.exported_model import ExportedModel, open_file
from mrcnn.export.serving import OF_DETECTIONS
from mrcnn.export.stages import with_stages
from mrcnn.image.boxes import compute_overlaps
from mrcnn.image.molding import MoldedImages
from mrcnn.image.resizing import scale_image

SHARE = 0.98  # of detections, or pixels of a map, that have to be equal
IOU, SCORE = 0.99, 1e-3
POINT = 0.5  # pixels between keypoints


class ExportError(ValueError):
    """An exported file differs from its model: `stage` is the first one that does; "conversion"
    where there is no file to compare."""

    def __init__(self, message, stage):
        super().__init__(message)
        self.stage = stage


def verify(model, path, write_stages):
    """Compares what an exported file finds with what `model.detect` finds.

    Args:
        model: `DetectionModel`.
        path: of the file.
        write_stages: function that writes another file, which returns the stages of the network,
            and returns its path: for a file that differs.

    Returns:
        int, detections, and pixels of regions, that were compared.

    Raises:
        ExportError: what is found differs; the message names the stage and the picture.
    """
    exported = ExportedModel(path, model.config)
    groups, compared = pictures_for(model.settings.image, exported.metadata), 0
    for names, images in groups:
        wanted, found = model.detect(images), exported.detect(images)
        for i, pair in enumerate(zip(wanted, found, strict=True)):
            if not images[i].any() and len(pair[0]["scores"]):
                continue
            problem = difference(*pair, model.settings.detections)
            if problem:
                stage, detail = differing_stage(model, write_stages(), images, i) or problem
                raise ExportError(
                    f"{stage} differ from the model's on the picture {names[i]} "
                    f"{list(images[i].shape)}: {detail}; so of its {problem[0]} {problem[1]}",
                    stage,
                )
            compared += len(pair[0]["scores"]) + np.count_nonzero(pair[0].get("segmentation", 0))
    names, images = groups[0]
    if exported.takes_bytes:
        _verify_bytes(model, exported, names[0], images[0])
    if not compared:
        differing = differing_stage(model, write_stages(), images)
        if differing:
            stage, detail = differing
            raise ExportError(
                f"{stage} differ from the model's on the picture {names[0]} "
                f"{list(images[0].shape)}: {detail}; it finds nothing in any picture",
                stage,
            )
    return int(compared)


def _verify_bytes(model, exported, name, image):
    """Raises ExportError where an encoded picture is not read as its pixels are."""
    pair = (each([image])[0] for each in (exported.detect, exported.detect_bytes))
    problem = difference(*pair, model.settings.detections)
    if problem:
        raise ExportError(
            f"image_bytes differ from image_tensor on the picture {name} {list(image.shape)}, as "
            f"PNG: of its {problem[0]} {problem[1]}",
            "image_bytes",
        )


def pictures_for(settings, metadata):
    """Photos, one that is black, and an odd size, as an exported file takes them.

    Args:
        settings: `mrcnn.settings.Image`.
        metadata: dict of the file.

    Returns:
        list of (names, images): lists, as many as the file takes at once.
    """
    astronaut, coffee, chelsea = data.astronaut(), data.coffee(), data.chelsea()
    pictures = {"astronaut": astronaut, "coffee": coffee, "chelsea (odd)": chelsea}
    pictures |= {"black": np.zeros((256, 320, 3), np.uint8), "chelsea mirrored": chelsea[:, ::-1]}
    if metadata["sizes"]:
        sizes = metadata["sizes"]
        pictures = {
            f"{name} {height}x{width}": scale_image(image, (height, width), "antialias")
            for name, image in pictures.items()
            for height, width in sizes
        }
    elif settings.resize_mode == "none":
        cut = {name: np.array(image.shape[:2]) // 64 * 64 for name, image in pictures.items()}
        pictures = {name: image[: cut[name][0], : cut[name][1]] for name, image in pictures.items()}
    channels = [i % 3 for i in range(settings.channels)]
    pictures = {name: image[..., channels] for name, image in pictures.items()}
    by_size = {}
    for name, image in pictures.items():
        by_size.setdefault(image.shape, []).append((name, image))
    return [tuple(zip(*group, strict=True)) for group in by_size.values()]


def difference(wanted, found, settings):
    """In which stage the results of an image differ, and how: (str, str), or None.

    Args:
        wanted, found: dicts of a model and a file.
        settings: `mrcnn.settings.Detections`.
    """
    pairs, lost = paired(wanted, found, settings)
    total = max(len(wanted["scores"]), len(found["scores"]))
    if lost > (1 - SHARE) * total:
        return "detections", f"{lost} of {total} have no equal"
    checks = {"masks": _same_masks, "keypoints": _same_points}
    for name, same in checks.items():
        if name in wanted and pairs:
            equal = [same(wanted, found, i, j) for i, j in pairs]
            if np.mean(equal) < SHARE:
                return name, f"{equal.count(False)} of {len(equal)} are not equal"
    if "segmentation" in wanted:
        equal = np.mean(wanted["segmentation"] == found["segmentation"])
        if equal < SHARE:
            return "regions", f"{1 - equal:.1%} of the pixels are not equal"
    return None


def paired(wanted, found, settings):
    """Which detections are equal: list of (i, j), and how many of either have no partner."""
    pairs, free = [], np.ones(len(found["scores"]), bool)
    if len(free) and len(wanted["scores"]):
        overlaps = compute_overlaps(_boxes(wanted), _boxes(found))
        near = np.abs(wanted["scores"][:, None] - found["scores"][None]) <= SCORE
        near &= wanted["class_ids"][:, None] == found["class_ids"][None]
        for i, row in enumerate(np.where(near, overlaps, 0)):
            j = int(np.argmax(row * free))
            if free[j] and row[j] > IOU:
                pairs.append((i, j))
                free[j] = False
    alone = np.ones(len(wanted["scores"]), bool)
    alone[[i for i, _ in pairs]] = False
    lost = 0
    for result, single in ((wanted, alone), (found, free)):
        full = len(result["scores"]) >= settings.max_instances
        least = result["scores"].min() if full else settings.min_confidence
        lost = max(lost, np.count_nonzero(single & (result["scores"] > least + SCORE)))
    return pairs, int(lost)


def _boxes(result):
    return np.asarray(result["boxes"], np.float64)


def _same_masks(wanted, found, i, j):
    """Whether but a hundredth of a box, and two pixels, differ."""
    height, width = np.diff(wanted["boxes"][i].reshape(2, 2), axis=0)[0]
    differ = np.count_nonzero(wanted["masks"][:, :, i] != found["masks"][:, :, j])
    return differ <= (1 - IOU) * height * width + 2


def _same_points(wanted, found, i, j):
    """Whether a keypoint in fifty may be elsewhere."""
    wanted, found = wanted["keypoints"][i], found["keypoints"][j]
    near = np.abs(wanted[:, :2] - found[:, :2]).max(axis=1) <= POINT
    return np.mean(near) >= SHARE


def differing_stage(model, path, images, first=0):
    """The first stage in which a file differs from the network on images of one size.

    Both run as far as that stage from the pixels on: the network from `mrcnn.image.molding`.

    Args:
        model: `DetectionModel`.
        path: of a file that returns the stages, see `Serving.stages`.
        images: list of uint8 [H, W, C] of one size; of a file that takes so many at once as many.
        first: int, the one that must be among them.

    Returns:
        (str, str), the stage and how it differs; None where no stage does.
    """
    exported = open_file(path)
    count = exported.metadata["batch"] or len(images)
    images = [*itertools.islice(itertools.cycle(images), first, first + count)]
    molded = MoldedImages(images, model.settings.image)
    inputs = {
        f"input_{name}": np.stack([molded[i][key] for i in range(len(molded))])
        for name, key in (("image", "image"), ("image_meta", "meta"))
    }
    wanted = with_stages(model.graphs["detection"]).predict_on_batch(inputs)
    wanted = {"molding": inputs["input_image"], **wanted}
    found = exported(np.stack(images))
    real = np.asarray(wanted["detections"])[..., 4] > 0 if "detections" in wanted else None
    for stage, array in wanted.items():
        pair = np.asarray(array), np.asarray(found[stage])
        if stage in OF_DETECTIONS:  # those of padding are anything
            pair = [x[real] for x in pair]
        elif stage in ("class_scores", "box_deltas"):
            pair = [_in_order(*each) for each in zip(pair, (wanted, found), strict=True)]
        detail = _stage_difference(stage, *pair)
        if detail:
            return stage, detail
    return None


def _in_order(rows, stages):
    """What a network says of proposals or anchors [B, N, ...], in an order that is not theirs:
    proposals of nearly equal scores may change places. 0 of padding."""
    if "proposals" in stages:
        real = np.any(np.asarray(stages["proposals"]) != 0, axis=-1)
        rows = np.where(real.reshape(*real.shape, *[1] * (rows.ndim - 2)), rows, 0)
    return np.sort(rows, axis=1)


def _stage_difference(stage, wanted, found):
    """How arrays of a stage differ, in words; None where they are equal for all that matters."""
    if wanted.shape != found.shape:
        return f"expected shape {list(wanted.shape)}, received {list(found.shape)}"
    if stage in ("proposals", "detections"):  # boxes, in any order
        lost = sum(_boxes_alone(*pair) for pair in zip(wanted, found, strict=True))
        total = np.count_nonzero(np.any(wanted != 0, axis=-1))
        return f"{lost} of {total} have no equal" if lost > (1 - SHARE) * total else None
    differ = np.abs(wanted - found) > 0.01 * (wanted.std() if wanted.size else 0)
    if np.count_nonzero(differ) <= (1 - SHARE) * differ.size:
        return None
    return f"{differ.mean():.1%} of the values, by {np.abs(wanted - found).max():.3g} at most"


def _boxes_alone(wanted, found):
    """How many boxes [N, 4 or 6] have none like them."""
    wanted, found = (x[np.any(x != 0, axis=-1)].astype(np.float64) for x in (wanted, found))
    if not len(wanted) or not len(found):
        return max(len(wanted), len(found))
    best = compute_overlaps(wanted[:, :4], found[:, :4]).max(axis=1)
    return int(np.count_nonzero(best <= IOU))
