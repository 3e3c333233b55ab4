"""What to do when memory runs out."""

import math

import keras

from mrcnn.config_checks import BACKBONES
from mrcnn.layers.targets import DetectionTargetLayer
from mrcnn.layers.warping import WarpedRegions
from mrcnn.training.freezing import trained_depths

_WORDS = "RESOURCE_EXHAUSTED", "ResourceExhausted", "OOM when allocating", "Out of memory"
# What makes the images of a mode smaller; of other modes the pictures decide, or their tiles.
_SIDES = {
    "square": ("IMAGE_MIN_DIM", "IMAGE_MAX_DIM"),
    "shortest_edge": ("IMAGE_MIN_DIM", "IMAGE_MAX_DIM"),
    "longest_edge": ("IMAGE_MAX_DIM",),
    "crop": ("IMAGE_MIN_DIM",),
}
_LEAST = 64  # pixels of a side


def is_out_of_memory(error):
    """Whether an exception, of Python or a backend, says that memory ran out."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    return bool(kinds & {"MemoryError", "ResourceExhaustedError"}) or any(
        word in text for word in _WORDS
    )


def advice(settings, model, sides):
    """What to change so that a training step needs less memory, the most helpful first.

    Args:
        settings: `mrcnn.settings.Settings` of the model.
        model: keras.Model of the training, whose layers are trainable as they are in it.
        sides: (height, width) of the images, see `mrcnn.training.step_memory.training_sides`.
    """
    runtime, depths = settings.runtime, set(trained_depths(model))
    images = math.ceil(runtime.batch_size / runtime.devices)
    steps = images * settings.optimization.accumulation_steps
    samples_rois = any(isinstance(layer, DetectionTargetLayer) for layer in model.layers)
    whole_masks = settings.mask_head.enabled and not settings.ground_truth.mini_masks
    crops = any(isinstance(layer, WarpedRegions) for layer in model.layers)
    smaller = _smaller_crops(settings.warping) if crops else _smaller_images(settings, sides)
    can_rematerialize = not crops and _can_rematerialize(settings)
    changes = [
        (
            images > 1,
            f"IMAGES_PER_GPU = 1 (it is {images}), with ACCUMULATION_STEPS = {steps} for the same "
            "updates",
        ),
        (settings.trunk.precision == "float32", 'PRECISION = "mixed_bfloat16"'),
        (smaller is not None, smaller),
        (samples_rois and whole_masks, "USE_MINI_MASK = True"),
        (samples_rois, f"TRAIN_ROIS_PER_IMAGE below {settings.roi_targets.num_rois}"),
        ({0} < depths, 'layers="heads", which keeps nothing of the backbone'),
        (can_rematerialize and depths != {0}, "REMATERIALIZE = True"),
    ]
    return "; ".join(text for applies, text in changes if applies)


def _can_rematerialize(settings):
    """Whether the key is left that saves features where no XLA undoes it."""
    trunk, fixed = settings.trunk, settings.trunk.train_bn is False
    return (
        keras.backend.backend() == "tensorflow"
        and not settings.runtime.jit_compile
        and not trunk.rematerialize
        and trunk.backbone in BACKBONES
        and (fixed or settings.style.norm == "group")
    )


def _smaller_images(settings, sides):
    """Which keys make the images smaller, as text; None where they are small already."""
    image = settings.image
    if image.resize_mode not in _SIDES:
        return _smaller_tiles(settings, max(sides))
    now = {"IMAGE_MIN_DIM": image.min_dim, "IMAGE_MAX_DIM": image.max_dim}
    now = {key: now[key] for key in _SIDES[image.resize_mode] if now[key]}
    halves = {key: _half(image, side) for key, side in now.items()}
    keys = [f"{key} = {halves[key]} (it is {now[key]})" for key in now if halves[key] < now[key]]
    if not keys:
        return None
    return f"{' and '.join(keys)}{_buckets(image)}: about a quarter of the pixels"


def _smaller_crops(warping):
    """Which size of R-CNN's crops is smaller, as text; None where the context leaves none."""
    half = warping.side // 64 * 32
    if half <= 2 * warping.context:
        return None
    return f"WARP_SIZE = {half} (it is {warping.side})"


def _smaller_tiles(settings, longest):
    """The same of modes that take pictures in their size: tiles of them."""
    image, tiles = settings.image, settings.tiles
    side = longest if tiles.size is None else min(longest, tiles.size)
    tile = max(_LEAST, side // (2 * _LEAST) * _LEAST)
    if tile >= side:
        return None
    if settings.keypoint_head.enabled:  # which are found in whole pictures alone
        return f"smaller pictures (the longest side is {longest})"
    keys = [f"TILE_SIZE = {tile} (it is {tiles.size})"]
    if tiles.overlap is not None and tiles.overlap > tile // 2:
        keys.append(f"TILE_OVERLAP = None (it is {tiles.overlap})")
    if image.resize_mode == "pad64" and (image.min_dim or 0) > tile:  # tiles are enlarged to it
        keys.append(f"IMAGE_MIN_DIM = {_half(image, 2 * tile)} (it is {image.min_dim})")
    return f"{' and '.join(keys)}{_buckets(image)}: parts of a picture by turns"


def _half(image, side):
    """About half of a side that a mode can have, see `mrcnn.config_checks`."""
    multiple, rest = (16, 1) if image.interpolation == "corners" else (64, 0)
    return max(_LEAST, side // (2 * multiple) * multiple) + rest


def _buckets(image):
    return " and smaller IMAGE_BUCKETS" if image.buckets else ""
