"""Whether a data set fits a config: what would fail later, told with the fix."""


def check_dataset(dataset, name):
    """Raises TypeError unless `dataset` can be a `Dataset`; `name` is what the caller calls it."""
    if isinstance(dataset, type):
        raise TypeError(f"{name} is the class {dataset.__name__}; pass an instance of it")
    if not (hasattr(dataset, "load_image") and hasattr(dataset, "load_mask")):
        raise TypeError(f"{name} is a {type(dataset).__name__}; expected a mrcnn.data.Dataset")


def check_classes(dataset, settings):
    """Raises ValueError unless the data set and the config count the same classes."""
    num_classes = settings.image.num_classes
    if dataset.num_classes != num_classes:
        raise ValueError(
            f"Expected config.NUM_CLASSES = {num_classes} classes, received a data set "
            f"of {dataset.num_classes}: {dataset.class_names}. "
            f"Set NUM_CLASSES = {dataset.num_classes}."
        )


def check_outlines(dataset, settings):
    """Raises ValueError where masks are trained on objects that have boxes alone."""
    alone = getattr(dataset, "without_outline", None) if settings.mask_head.enabled else None
    if alone:
        raise ValueError(
            f"Expected an outline of each object to train masks on, but {alone} has a box alone. "
            "Set USE_MASK = False to train boxes, or dataset.box_masks = True to take the boxes "
            "for masks; on the command line USE_MASK=false or --box-masks."
        )


def check_keypoints(dataset, settings):
    """Raises ValueError where keypoints are trained, and the data set has none or others."""
    head, scheme = settings.keypoint_head, getattr(dataset, "keypoint_scheme", None)
    if not head.enabled:
        return
    if scheme is None:
        raise ValueError(
            "Expected a data set with keypoints to train them (USE_KEYPOINTS), received a "
            f"{type(dataset).__name__} without. Override load_keypoints(), and set "
            "keypoint_scheme = KeypointScheme([names]); of COCO's files load person_keypoints_*."
        )
    if len(scheme) != head.num_keypoints:
        raise ValueError(
            f"Expected config.NUM_KEYPOINTS = {head.num_keypoints} keypoints, received a data set "
            f"of {len(scheme)}: {', '.join(scheme.names)}. Set NUM_KEYPOINTS = {len(scheme)}."
        )


def check_proposals(dataset, settings):
    """Raises ValueError where proposals are to be given, and the first image of a data set has
    none."""
    if settings.ground_truth.use_rpn_rois:
        return
    load = getattr(dataset, "load_proposals", lambda image_id: None)
    first = int(dataset.image_ids[0])
    if load(first) is None:
        raise ValueError(
            "Expected a data set with proposals (USE_RPN_ROIS is False), received a "
            f"{type(dataset).__name__} without for image {first}. Set dataset.proposals = "
            "mrcnn.data.read_proposals(path), or override load_proposals(); on the command line "
            "--proposals FILE. With USE_RPN_ROIS = True the network makes its own."
        )


def check_same_keypoints(train, val, settings):
    """Raises ValueError where keypoints are trained, and two data sets name them otherwise."""
    schemes = [getattr(dataset, "keypoint_scheme", None) for dataset in (train, val)]
    if not settings.keypoint_head.enabled or None in schemes:
        return
    names, others = (scheme.names for scheme in schemes)
    if names != others:
        raise ValueError(
            f"Expected validation data with the keypoints of the training data, in their order, "
            f"{', '.join(names)}, received {', '.join(others)}. Name and order them alike."
        )
