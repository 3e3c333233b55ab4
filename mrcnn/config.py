"""The configuration of a model: matterport's names and values, newer keys beside them."""

import difflib
import inspect
import types
import warnings

import numpy as np

RESIZE_MODES = ("none", "square", "pad64", "crop")
ROI_ALIGN_MODES = ("crop_and_resize", "roi_align")
BACKBONES = ("resnet50", "resnet101")
_CALLABLES = ("BACKBONE", "COMPUTE_BACKBONE_SHAPE")


class _Derived:
    """A value computed from other keys at each reading, unless the user assigned one."""

    def __init__(self, compute):
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, config, owner=None):
        return self if config is None else self.compute(config)


class Config:
    """Base configuration. Subclass it and override what differs for your data.

    Attributes of your own are welcome; a name that nearly matches a known key warns with that key.

    Example:

    >>> class BalloonConfig(Config):
    ...     NAME = "balloon"
    ...     NUM_CLASSES = 1 + 1  # background + balloon
    >>> BalloonConfig().IMAGE_SHAPE
    array([1024, 1024,    3])
    """

    # Name of the experiment: the log folder and the checkpoints carry it in lower case.
    NAME = None

    # Devices and batch. One batch holds IMAGES_PER_GPU * GPU_COUNT images.
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2

    # Training batches in an epoch, and validation batches after each. None: all images once.
    STEPS_PER_EPOCH = 1000
    VALIDATION_STEPS = 50

    # Backbone: a name of BACKBONES, or a callable `(input_image, stage5=True, train_bn=...)` that
    # returns [C1, C2, C3, C4, C5]. COMPUTE_BACKBONE_SHAPE(config, image_shape) -> [5, 2] tells
    # `compute_backbone_shapes` the feature sizes of a callable; the model reads them itself.
    BACKBONE = "resnet101"
    COMPUTE_BACKBONE_SHAPE = None
    BACKBONE_STRIDES = [4, 8, 16, 32, 64]  # noqa: RUF012  (P2 to P6)
    TOP_DOWN_PYRAMID_SIZE = 256
    # BatchNorm: False: fixed statistics; None or True: batch statistics while a layer trains.
    # Detection always uses the moving averages.
    TRAIN_BN = False

    # Number of classes, background included.
    NUM_CLASSES = 1

    # Region proposal network.
    RPN_CHANNELS = 512
    RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)  # pixels, one for each pyramid level
    RPN_ANCHOR_RATIOS = [0.5, 1, 2]  # noqa: RUF012  (width / height)
    RPN_ANCHOR_STRIDE = 1
    RPN_NMS_THRESHOLD = 0.7
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])  # dy, dx, log dh, log dw
    PRE_NMS_LIMIT = 6000
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000

    # Masks at training: small crops of each instance inside its box instead of whole images.
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)  # height, width

    # Input images; see `mrcnn.image.resize_image` for the modes.
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1024
    IMAGE_MIN_SCALE = 0
    IMAGE_CHANNEL_COUNT = 3
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])  # RGB

    # Training samples of the heads. Negatives: two for each positive (the ratio's complement), or,
    # with ROI_FILL_NEGATIVES or when an image has no positive, as many as fit.
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    ROI_FILL_NEGATIVES = False
    ROI_ADD_GT = False  # ground truth boxes join the proposals
    USE_RPN_ROIS = True  # False: proposals are given in the input `input_roi`
    MAX_GT_INSTANCES = 100
    INCLUDE_EMPTY_IMAGES = False  # train on images without objects too

    # Heads.
    ROI_ALIGN_MODE = "crop_and_resize"  # or "roi_align"
    ROI_ALIGN_SAMPLING_RATIO = 2  # "roi_align": samples a bin and axis; 0: adaptive, ceil(size)
    ROI_ALIGN_ALIGNED = True  # "roi_align": half-pixel correction
    POOL_SIZE = 7
    MASK_POOL_SIZE = 14
    MASK_SHAPE = [28, 28]  # noqa: RUF012
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    MASK_HEAD_CHANNELS = 256
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])

    # Detections.
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7
    DETECTION_NMS_THRESHOLD = 0.3

    # Optimisation: SGD with momentum, gradients clipped by norm, L2 decay divided by weight size.
    LEARNING_RATE = 0.001
    LEARNING_MOMENTUM = 0.9
    WEIGHT_DECAY = 0.0001
    GRADIENT_CLIP_NORM = 5.0
    LOSS_WEIGHTS = {  # noqa: RUF012
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
    }

    # Running. SEED makes a training run repeatable to the bit on one machine (slower);
    # WORKERS threads load data; JIT_COMPILE compiles with XLA (JAX always does).
    SEED = None
    WORKERS = 2
    JIT_COMPILE = False

    @_Derived
    def BATCH_SIZE(self):
        """Images in one batch."""
        return self.IMAGES_PER_GPU * self.GPU_COUNT

    @_Derived
    def IMAGE_SHAPE(self):
        """[height, width, channels] of a model input; sides vary in modes "none" and "pad64"."""
        side = self.IMAGE_MIN_DIM if self.IMAGE_RESIZE_MODE == "crop" else self.IMAGE_MAX_DIM
        return np.array([side, side, self.IMAGE_CHANNEL_COUNT])

    @_Derived
    def IMAGE_META_SIZE(self):
        """Length of an image's meta vector; its layout is in `mrcnn.image`."""
        return 1 + 3 + 3 + 4 + 1 + self.NUM_CLASSES

    def __init__(self):
        for name in _CALLABLES:
            value = getattr(self, name)
            # A function in a class body became a method; one without `self` did not mean to.
            if isinstance(value, types.MethodType):
                function = value.__func__
                if "self" not in inspect.signature(function).parameters:
                    setattr(self, name, function)
        known = self._keys(Config)
        for name in sorted(self._keys(type(self)) - known):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            if near and name.isupper():
                warnings.warn(
                    f"{type(self).__name__}.{name} is not a key of Config; did you mean {near[0]}?",
                    stacklevel=2,
                )

    @staticmethod
    def _keys(owner):
        """Names of the public attributes of a Config or a Config class, methods left out."""
        return {
            name
            for name in dir(owner)
            if not name.startswith("_")
            and (name in _CALLABLES or not callable(getattr(owner, name)))
        }

    def to_dict(self):
        """Returns every public attribute by name, sorted."""
        return {name: getattr(self, name) for name in sorted(self._keys(self))}

    def display(self):
        """Prints every public attribute, sorted by name."""
        print("\nConfigurations:")
        for name, value in self.to_dict().items():
            print(f"{name:30} {value}")
        print()

    def validate(self):
        """Checks that the keys fit together; run whenever a model is built.

        Raises:
            ValueError: lists every key that cannot work, with the value received and the fix.
        """
        problems = [*self._model_problems(), *self._image_problems(), *self._training_problems()]
        if problems:
            raise ValueError(f"{type(self).__name__} cannot work:\n- " + "\n- ".join(problems))

    def _model_problems(self):
        if not self.NAME or not isinstance(self.NAME, str):
            yield f"NAME is {self.NAME!r}; set a short name, it names logs and checkpoints"
        if self.NUM_CLASSES < 2:
            yield f"NUM_CLASSES is {self.NUM_CLASSES}; count background too: 1 + your classes"
        if not callable(self.BACKBONE) and self.BACKBONE not in BACKBONES:
            yield f"BACKBONE is {self.BACKBONE!r}; expected one of {BACKBONES} or a callable"
        levels = len(self.BACKBONE_STRIDES)
        if len(self.RPN_ANCHOR_SCALES) != levels:
            yield (
                f"RPN_ANCHOR_SCALES has {len(self.RPN_ANCHOR_SCALES)} entries and BACKBONE_STRIDES "
                f"{levels}; give one scale for each pyramid level"
            )
        if list(self.BACKBONE_STRIDES) != [4, 8, 16, 32, 64]:
            yield f"BACKBONE_STRIDES is {self.BACKBONE_STRIDES}; P2 to P6 have [4, 8, 16, 32, 64]"
        if self.ROI_ALIGN_MODE not in ROI_ALIGN_MODES:
            yield f"ROI_ALIGN_MODE is {self.ROI_ALIGN_MODE!r}; expected one of {ROI_ALIGN_MODES}"
        if self.ROI_ALIGN_SAMPLING_RATIO < 0:
            yield f"ROI_ALIGN_SAMPLING_RATIO is {self.ROI_ALIGN_SAMPLING_RATIO}; 0 is adaptive"
        side = 2 * self.MASK_POOL_SIZE
        if list(self.MASK_SHAPE) != [side, side]:
            yield (
                f"MASK_SHAPE is {list(self.MASK_SHAPE)}; the mask head doubles MASK_POOL_SIZE "
                f"{self.MASK_POOL_SIZE}, so it is [{side}, {side}]"
            )

    def _image_problems(self):
        mode = self.IMAGE_RESIZE_MODE
        if mode not in RESIZE_MODES:
            yield f"IMAGE_RESIZE_MODE is {mode!r}; expected one of {RESIZE_MODES}"
        for key in {"square": ["IMAGE_MAX_DIM"], "none": []}.get(mode, ["IMAGE_MIN_DIM"]):
            value = getattr(self, key)
            if value is None or value <= 0 or value % 64:
                below = max(64, (value or 0) // 64 * 64)
                yield (
                    f"{key} is {value}; mode {mode!r} needs a multiple of 64 (it is halved six "
                    f"times), such as {below} or {below + 64}"
                )
        if mode == "square" and (self.IMAGE_MIN_DIM or 0) > self.IMAGE_MAX_DIM:
            yield (
                f"IMAGE_MIN_DIM is {self.IMAGE_MIN_DIM} and IMAGE_MAX_DIM {self.IMAGE_MAX_DIM}; "
                "lower the first or raise the second"
            )
        if np.shape(self.MEAN_PIXEL) != (self.IMAGE_CHANNEL_COUNT,):
            yield (
                f"MEAN_PIXEL has shape {np.shape(self.MEAN_PIXEL)} and IMAGE_CHANNEL_COUNT is "
                f"{self.IMAGE_CHANNEL_COUNT}; give one mean for each channel"
            )

    def _training_problems(self):
        for key in ("IMAGES_PER_GPU", "GPU_COUNT", "MAX_GT_INSTANCES", "TRAIN_ROIS_PER_IMAGE"):
            if getattr(self, key) < 1:
                yield f"{key} is {getattr(self, key)}; expected at least 1"
        if not 0 < self.ROI_POSITIVE_RATIO <= 1:
            yield f"ROI_POSITIVE_RATIO is {self.ROI_POSITIVE_RATIO}; expected above 0, at most 1"
        missing = set(Config.LOSS_WEIGHTS) - set(self.LOSS_WEIGHTS)
        if missing:
            yield f"LOSS_WEIGHTS lacks {sorted(missing)}; 0.0 switches a loss off"
