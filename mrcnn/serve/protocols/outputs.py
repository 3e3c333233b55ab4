"""Results as the tensors that the exports of TensorFlow's Model Garden have, by their names.

| name | type, shape | what |
| --- | --- | --- |
| `detection_boxes` | float32 [B, D, 4] | y1 x1 y2 x2 in pixels of the picture as sent |
| `detection_scores` | float32 [B, D] | best first |
| `detection_classes` | int32 [B, D] | class ids, 0 is the background |
| `detection_masks` | str [B, D] | COCO's compressed run-length codes (`counts`; `size` is H, W) |
| | or uint8 [B, D, H, W] | 1 inside, of pictures of one size |
| `detection_keypoints` | float32 [B, D, J, 2] | y x in pixels of the picture as sent |
| `detection_keypoint_scores` | float32 [B, D, J] | |
| `num_detections` | int32 [B] | those of D that are; the rest is padded with 0 and "" |
| `image_info` | float32 [B, 4, 2] | H W as sent, H W of the boxes (equal), scale 1 1, offset 0 0 |
| `errors` | str [B], if there are any | "", or why a picture has no result: its number is -1 |

Shapes: B pictures of the request, D the most detections of one, J keypoints of
each, H W of the picture.
"""

import numpy as np

from mrcnn.serve.errors import RequestError

MASKS = ("rle", "full", "none")
# Type and shape of each, -1 where it is not known.
OUTPUTS = {
    "detection_boxes": ("float32", [-1, -1, 4]),
    "detection_scores": ("float32", [-1, -1]),
    "detection_classes": ("int32", [-1, -1]),
    "detection_masks": ("object", [-1, -1]),
    "detection_keypoints": ("float32", [-1, -1, -1, 2]),
    "detection_keypoint_scores": ("float32", [-1, -1, -1]),
    "num_detections": ("int32", [-1]),
    "image_info": ("float32", [-1, 4, 2]),
}
_FULL_MASKS = ("uint8", [-1, -1, -1, -1])


def declared_outputs(has_masks, has_keypoints, masks="rle"):
    """The `OUTPUTS` of a model, with its masks in the form asked for."""
    outputs = dict(OUTPUTS)
    if masks == "full":
        outputs["detection_masks"] = _FULL_MASKS
    without = [] if has_masks and masks != "none" else ["detection_masks"]
    without += [] if has_keypoints else ["detection_keypoints", "detection_keypoint_scores"]
    return {name: each for name, each in outputs.items() if name not in without}


def model_outputs(results, masks, limits):
    """The tensors of a request's results.

    Args:
        results: list of (result of `detect`, (height, width)), or of a `RequestError` for a picture
            without.
        masks: of `MASKS`; models without masks have none.
        limits: `Limits`.

    Returns:
        dict of arrays, those of str of dtype object.

    Raises:
        RequestError: every picture has an error; or masks as arrays of pictures of several sizes,
            or of too many values.
    """
    errors = [each for each in results if isinstance(each, RequestError)]
    if len(errors) == len(results):
        raise RequestError(max(each.status for each in errors), _joined(errors))
    good = [(i, *each) for i, each in enumerate(results) if not isinstance(each, RequestError)]
    batch, most = len(results), max(len(found["class_ids"]) for _, found, _ in good)
    tensors = {
        "detection_boxes": np.zeros((batch, most, 4), np.float32),
        "detection_scores": np.zeros((batch, most), np.float32),
        "detection_classes": np.zeros((batch, most), np.int32),
    }
    if masks != "none" and all("masks" in found for _, found, _ in good):
        tensors["detection_masks"] = _masks(good, masks, (batch, most), limits)
    if all("keypoints" in found for _, found, _ in good):
        tensors |= _keypoints(good, (batch, most))
    tensors["num_detections"] = np.full(batch, -1, np.int32)
    tensors["image_info"] = np.zeros((batch, 4, 2), np.float32)
    for i, found, size in good:
        count = len(found["class_ids"])
        tensors["detection_boxes"][i, :count] = found.get("boxes", found["rois"])
        tensors["detection_scores"][i, :count] = found["scores"]
        tensors["detection_classes"][i, :count] = found["class_ids"]
        tensors["num_detections"][i] = count
        tensors["image_info"][i] = [size, size, (1, 1), (0, 0)]
    if errors:
        texts = [each.message if isinstance(each, RequestError) else "" for each in results]
        tensors["errors"] = np.array(texts, object)
    return tensors


def _joined(errors):
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return errors[0].message + more


def _keypoints(good, shape):
    """The tensors of keypoints of results (place, found, size)."""
    points = np.zeros((*shape, good[0][1]["keypoints"].shape[1], 3), np.float32)
    for i, found, _ in good:
        points[i, : len(found["keypoints"])] = found["keypoints"]
    return {
        "detection_keypoints": points[..., :2],
        "detection_keypoint_scores": points[..., 2],
    }


def _masks(good, masks, shape, limits):
    """The tensor of masks of results (place, found, size)."""
    if masks == "rle":
        codes = np.full(shape, "", object)
        for i, found, _ in good:
            for j, each in enumerate(found.to_coco(0)):
                codes[i, j] = each["segmentation"]["counts"]
        return codes
    sizes = {tuple(size) for _, _, size in good}
    if len(sizes) > 1:
        raise RequestError(
            400,
            "expected pictures of one size where masks are arrays, received sizes "
            f"{sorted(sizes)}; send them one by one, or take masks as run-length codes",
        )
    shape = (*shape, *sizes.pop())
    values = int(np.prod(shape))
    if values > limits.mask_values:
        raise RequestError(
            413,
            f"expected at most {limits.mask_values} values of masks, received a request whose "
            f"answer has {list(shape)} = {values}; send fewer pictures, or take masks as "
            "run-length codes",
        )
    planes = np.zeros(shape, np.uint8)
    for i, found, _ in good:
        for j in range(len(found["class_ids"])):
            planes[i, j] = found["masks"][:, :, j]
    return planes
