"""What to do when memory runs out."""

_WORDS = "RESOURCE_EXHAUSTED", "ResourceExhausted", "OOM when allocating", "Out of memory"


def is_out_of_memory(error):
    """Whether an exception, of Python or a backend, says that memory ran out."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    return bool(kinds & {"MemoryError", "ResourceExhaustedError"}) or any(
        word in text for word in _WORDS
    )


def advice(settings):
    """What to change so that a training step needs less memory, the most helpful first.

    Args:
        settings: `mrcnn.settings.Settings` of the model.
    """
    image, batch = settings.image, settings.runtime.batch_size
    side = image.min_dim if image.resize_mode == "crop" else image.max_dim
    key = "IMAGE_MIN_DIM" if image.resize_mode == "crop" else "IMAGE_MAX_DIM"
    smaller = max(64, side // 128 * 64) if side else side
    steps = [
        (
            batch > 1,
            f"IMAGES_PER_GPU = 1 (it is {batch}), with ACCUMULATION_STEPS = {batch} for the same "
            "updates",
        ),
        (settings.trunk.precision == "float32", 'PRECISION = "mixed_bfloat16"'),
        (smaller != side, f"{key} = {smaller} (it is {side}): a quarter of the pixels or less"),
        (not settings.ground_truth.mini_masks, "USE_MINI_MASK = True"),
        (True, f"TRAIN_ROIS_PER_IMAGE below {settings.roi_targets.num_rois}"),
        (True, 'layers="heads", which keeps nothing of the backbone'),
    ]
    return "; ".join(text for applies, text in steps if applies)
