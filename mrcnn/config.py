"""The configuration of a model: matterport's names and values, newer keys beside them."""

import difflib
import inspect
import types
import warnings

import numpy as np

from mrcnn.config_checks import problems

_CALLABLES = ("BACKBONE", "COMPUTE_BACKBONE_SHAPE")
# Keys of matterport's first versions that nothing reads any more: what to do now.
_OUTDATED = {
    "IMAGE_PADDING": "IMAGE_RESIZE_MODE says how images are padded ('square' as True, 'pad64')",
    "BACKBONE_SHAPES": "leave it out: the sizes of the features follow from the image",
}


class _Derived:
    """A value computed from other keys at each reading, unless the user assigned one."""

    def __init__(self, compute):
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, config, owner=None):
        return self if config is None else self.compute(config)


class Config:
    """Base configuration. Subclass it and override what differs for your data.

    Change it before a model is built: most keys are read only then.
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

    # The kind of network: see `mrcnn.model.create`.
    ARCHITECTURE = "mask_rcnn"

    # The preset whose numerics these are, for `load_weights("coco")`; see `mrcnn.presets`.
    PRESET = "matterport/mask_rcnn_coco"

    # Devices and batch. One batch holds IMAGES_PER_GPU * GPU_COUNT images; IMAGES_PER_GPU = -1: as
    # many as a training step has memory for, which `train` measures.
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2

    # Training batches in an epoch, and validation batches after each, each image once at most.
    # None: all images once.
    STEPS_PER_EPOCH = 1000
    VALIDATION_STEPS = 50

    # Backbone: a name of `config_checks.BACKBONES` or `KERAS_BACKBONES`, or a callable
    # `(input_image, stage5=True, train_bn=...)` that returns [C1, C2, C3, C4, C5].
    # COMPUTE_BACKBONE_SHAPE(config, image_shape) -> [5, 2] tells `compute_backbone_shapes` the
    # feature sizes of a callable; the model reads them itself.
    BACKBONE = "resnet101"
    COMPUTE_BACKBONE_SHAPE = None
    BACKBONE_STRIDES = [4, 8, 16, 32, 64]  # noqa: RUF012  (P2 to P6; C4, P3 to P7: others)
    TOP_DOWN_PYRAMID_SIZE = 256
    NORM = "batch"  # of named backbones, pyramid, heads; "group", or "sync_batch": of all devices
    FPN_NORM = False  # in the pyramid
    FPN_P6_FROM = "C5"  # or "P5": what P6 is a convolution of, where the pyramid is P3 to P7
    # BatchNorm: False: fixed statistics; True, or None as matterport has it: batch statistics
    # while a layer trains.
    # Detection always uses the moving averages.
    TRAIN_BN = False
    BATCH_NORM_EPSILON = 1e-3
    CONV_BIAS_BEFORE_NORM = True  # biases of the convolutions that a BatchNorm follows
    RESNET_STRIDE_IN_1X1 = True  # a block's stride: in its first 1x1 convolution, or in the 3x3
    RESNET_SYMMETRIC_PADDING = False  # of strided layers; False: TensorFlow's "same"

    # Number of classes, background included. The last NUM_STUFF_CLASSES of them are stuff, such as
    # sky: regions without instances, which the semantic head of Panoptic FPN finds.
    NUM_CLASSES = 1
    NUM_STUFF_CLASSES = 0

    # Region proposal network.
    RPN_CHANNELS = 512
    RPN_CONV_LAYERS = 1
    RPN_INIT_STD = None  # of a new network's kernels; None: Glorot's
    RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)  # pixels, one or a tuple of some for each level
    RPN_ANCHOR_RATIOS = [0.5, 1, 2]  # noqa: RUF012  (width / height)
    RPN_ANCHOR_STRIDE = 1
    RPN_ANCHOR_ROUNDING = False  # to whole pixels
    RPN_ANCHOR_MEASURED_STRIDES = False  # image side // feature side instead of BACKBONE_STRIDES
    RPN_NMS_THRESHOLD = 0.7
    RPN_NMS_PER_LEVEL = False  # each pyramid level competes by itself, PRE_NMS_LIMIT is a level's
    RPN_CLIP_TO_WINDOW = False  # proposals end at the picture, not at its padding
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    RPN_POSITIVE_RATIO = 0.5  # share of them that may be positive; the rest is negative
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])  # dy, dx, log dh, log dw
    PRE_NMS_LIMIT = 6000
    PRE_NMS_LIMIT_TRAINING = None  # None: PRE_NMS_LIMIT
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000

    # Masks at training: small crops of each instance inside its box instead of whole images.
    USE_MASK = True  # False: Faster R-CNN: no mask head, and no mask is drawn for the boxes
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)  # height, width

    # Keypoints of each instance: NUM_KEYPOINTS points whose order the data set knows. With masks or
    # without.
    USE_KEYPOINTS = False
    NUM_KEYPOINTS = 17

    # Input images; see `mrcnn.image.resizing.resize_image` for the modes.
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1024
    IMAGE_MIN_SCALE = 0
    # (height, width) that images of open sizes are padded to, the smallest they fit into, or the
    # largest height and width of all: JAX and XLA compile a program for each size. None: as they
    # are. Not for "square" and the crops of "crop", which have one size.
    IMAGE_BUCKETS = None
    IMAGE_INTERPOLATION = "constant"  # see `mrcnn.image.resizing.scale_image`
    # Channels of a picture: see `mrcnn.image.channels` for where they lie. IMAGE_CHANNEL_FILES
    # names the further files of a picture: ["_depth"] is `a_depth.png` beside `a.png`.
    IMAGE_CHANNEL_COUNT = 3
    IMAGE_CHANNEL_FILES = ()
    IMAGE_PAGES = "auto"  # pages of a file: "channels", "pictures", or as they fit the count
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])  # RGB
    STD_PIXEL = 1.0  # one value, or one for each channel
    BOX_OFFSET = 1  # normalised boxes: 1: corner pixels are 0 and 1; 0: the image's edges are

    # Larger images are trained on and detected in by tiles: squares of TILE_SIZE pixels of the
    # image as it is, each then resized as a picture of its own. None: images are taken whole.
    # Neighbours share TILE_OVERLAP pixels at least: as many as the largest object has; None: a
    # quarter of TILE_SIZE.
    TILE_SIZE = None
    TILE_OVERLAP = None

    # Training samples of the heads. Negatives: 1 / ROI_POSITIVE_RATIO - 1 (two) for each positive;
    # as many as fit, with ROI_FILL_NEGATIVES or when an image has no positive.
    ROI_IOU = 0.5  # with an object, from which an ROI is positive, and below which negative
    TRAIN_ROIS_PER_IMAGE = 200
    OHEM_ROIS_PER_IMAGE = None  # of those, by loss, that train the box head; None: all
    ROI_POSITIVE_RATIO = 0.33
    ROI_FILL_NEGATIVES = False
    ROI_ADD_GT = False  # ground truth boxes join the proposals
    USE_RPN_ROIS = True  # False: proposals are given, in detection too: see `DetectionModel.detect`
    MAX_GT_INSTANCES = 100  # crowds too; of more, each batch draws some, and the rest is background
    INCLUDE_EMPTY_IMAGES = False  # train on images without objects too
    # Images of classes that a smaller share of all images has are seen more often; None: none are.
    # See `mrcnn.data.sampling.repeat_factors`.
    REPEAT_FACTOR_THRESHOLD = None

    # Heads.
    ROI_ALIGN_MODE = "crop_and_resize"  # or "roi_align", "roi_pool"
    ROI_ALIGN_SAMPLING_RATIO = 2  # "roi_align": samples a bin and axis; 0: adaptive, ceil(size)
    ROI_ALIGN_ALIGNED = True  # "roi_align": half-pixel correction
    ROI_LEVEL_ROUNDING = "round"  # or "floor"
    POOL_SIZE = 7
    # Bins a side of grids whose maxima the box head sees, such as (6, 3, 2, 1), in place of
    # POOL_SIZE x POOL_SIZE of ROI_ALIGN_MODE. None: that one grid.
    SPP_LEVELS = None
    # R-CNN: pixels a side of what a proposal is warped to, and how many of them lie around it on
    # each side.
    WARP_SIZE = 224
    WARP_CONTEXT = 16
    MASK_POOL_SIZE = 14
    MASK_SHAPE = [28, 28]  # noqa: RUF012
    BOX_HEAD_CONV_LAYERS = 0  # 3x3 with BatchNorm, TOP_DOWN_PYRAMID_SIZE channels
    BOX_HEAD_FC_LAYERS = 2
    BOX_HEAD_FC_NORM = True
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    BOX_CLASS_AGNOSTIC = False  # one box for all classes of an ROI
    MASK_HEAD_CONV_LAYERS = 4
    MASK_HEAD_CHANNELS = 256
    MASK_HEAD_NORM = True
    MASK_CLASS_AGNOSTIC = False  # one mask for all classes of an ROI
    KEYPOINT_POOL_SIZE = 14  # a quarter of the side of a heat map
    KEYPOINT_HEAD_LAYERS = 8  # 3x3 convolutions
    KEYPOINT_HEAD_CHANNELS = 512
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    # The stages of a cascade after the first: their ROI_IOU, and what BBOX_STD_DEV is divided by.
    CASCADE_IOUS = (0.6, 0.7)
    CASCADE_STD_DIVISORS = (2, 3)
    RETINANET_HEAD_NORM = False  # GroupNorm in the two towers of a RetinaNet
    # MaX-DeepLab: masks of an image at most; channels over the published ones, and blocks of its
    # stages 2 to 5, None: the published ones; probability that training drops a block at the end.
    MASK_SLOTS = 128
    MAX_DEEPLAB_WIDTH = 1.0
    MAX_DEEPLAB_BLOCKS = None
    # What the gamma of the last BatchNorm of a residual starts from, and that of the masks' logits:
    # the published ones are for long trainings.
    MAX_DEEPLAB_GAMMAS = (0.0, 0.1)
    DROP_PATH = 0.2

    # Detections.
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7
    DETECTION_NMS_THRESHOLD = 0.3
    DETECTION_NMS = "hard"  # or Soft-NMS, "linear" or "gaussian", see `mrcnn.ops.soft_nms`
    DETECTION_NMS_SIGMA = 0.5  # of "gaussian"
    DETECTION_NMS_CLASS_AGNOSTIC = False  # a detection suppresses those of any class
    DETECTION_PER_CLASS = False  # every class of an ROI, not only its best, may be a detection
    DETECTION_CLIP_FIRST = True  # of a RetinaNet: boxes end at the picture before they compete
    MASK_PASTE = "resize"  # see `mrcnn.image.pasting.PASTERS`
    KEYPOINT_SCORES = "probabilities"  # or "logits", see `mrcnn.image.heatmaps.find_peaks`

    # Test-time augmentation: the image is also detected in mirrored left to right, and TEST_SCALES
    # times as large as it is resized to, for example (0.75, 1, 1.5); see `mrcnn.inference.tta`.
    # None: (1,).
    TEST_FLIP = False
    TEST_SCALES = None
    # Pixels that the median object of an image is brought to before, as it was in training with
    # `mrcnn.augment.ObjectSizeJitter`: the square root of its box's area. None: it is not.
    TEST_OBJECT_SIZE = None

    # The semantic head, and the merge of its regions with the instances: see
    # `mrcnn.inference.panoptic`. PANOPTIC_OVERLAP is a share of an instance, PANOPTIC_STUFF_AREA
    # pixels of the image that was given.
    SEMANTIC_HEAD_CHANNELS = 128
    PANOPTIC_MIN_CONFIDENCE = 0.5
    PANOPTIC_OVERLAP = 0.5
    PANOPTIC_STUFF_AREA = 4096
    # Of MaX-DeepLab, see `mrcnn.inference.mask_transformer`: pixels that a thing must have, in the
    # molded image, and the least probability that a pixel belongs to its mask.
    PANOPTIC_THING_AREA = 100
    PANOPTIC_PIXEL_CONFIDENCE = 0.4

    # Losses of boxes and masks; see `mrcnn.ops.losses.box_loss`, `mrcnn.ops.targets.encode_masks`.
    SMOOTH_L1_BETA = 1.0
    BBOX_LOSS = "smooth_l1"  # of the box heads, or a RetinaNet; or "giou", "diou"
    RPN_SMOOTH_L1_BETA = None  # of the RPN; None: SMOOTH_L1_BETA
    BBOX_LOSS_NORMALIZER = "positives"
    CLASS_LOSS = "cross_entropy"  # of the box heads; or "focal", as a RetinaNet's always is
    FOCAL_GAMMA = 2.0
    FOCAL_ALPHA = 0.25  # of a RetinaNet
    MASK_TARGET = "crop_and_resize"

    # Optimisation: SGD with momentum and L2 decay, or AdamW (Loshchilov and Hutter 2019), whose
    # WEIGHT_DECAY is apart from the loss; gradients are clipped by their global norm.
    OPTIMIZER = "sgd"
    LEARNING_RATE = 0.001  # for scripts and commands to pass on: `train` is given its own
    LEARNING_MOMENTUM = 0.9
    LAYER_DECAY = 1.0  # factor of the rate from each backbone stage to the one below
    WEIGHT_DECAY = 0.0001
    WEIGHT_DECAY_BY_SIZE = True  # over the size of each kernel and bias; False: half their sum
    WEIGHT_DECAY_BIASES = True
    GRADIENT_CLIP_NORM = 5.0
    ACCUMULATION_STEPS = 1  # batches whose mean gradient is one update

    # How the rate changes over one call of `train`: see `mrcnn.training.schedules`.
    LEARNING_SCHEDULE = "constant"
    LEARNING_MILESTONES = (0.67, 0.89)  # of "multistep": shares of the updates
    LEARNING_DROP = 0.1  # of "multistep": factor at each milestone
    WARMUP_STEPS = 0  # updates of a linear rise, from WARMUP_FACTOR of the rate on
    WARMUP_FACTOR = 0.001

    # Moving average of the weights, which is what is evaluated and saved: factor of an update,
    # such as 0.999; None: the weights themselves.
    EMA_MOMENTUM = None

    # What a training leaves. EARLY_STOPPING ends it after as many evaluations without a better mask
    # AP. Of the weights of each epoch the last CHECKPOINTS_KEPT stay, None: all.
    # CHECKPOINT_MINUTES: from one save of the state that `resume` goes on from to the next, None:
    # at the end of an epoch only.
    EARLY_STOPPING = None
    CHECKPOINTS_KEPT = None
    CHECKPOINT_MINUTES = 10

    # Weights of the losses.
    CLASS_WEIGHTS = None  # in mrcnn_class_loss: {class id: weight}; others, and background (0): 1
    # One that is left out keeps this weight; keypoints' and other architectures' own losses have 1.
    LOSS_WEIGHTS = {  # noqa: RUF012
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
    }

    # Running. SEED makes a training run repeatable to the bit on one machine (slower);
    # WORKERS threads load data; IMAGE_CACHE_MB of decoded pictures of each data set stay in memory;
    # JIT_COMPILE compiles with XLA (JAX always does).
    SEED = None
    WORKERS = 2
    IMAGE_CACHE_MB = 0
    JIT_COMPILE = False

    # Type of feature maps and their products; weights, boxes, scores and losses are always float32.
    # "mixed_bfloat16" is faster where the machine has such instructions; "mixed_float16" is for
    # older GPUs.
    PRECISION = "float32"
    # Training computes the features inside the backbone's blocks a second time for the gradient,
    # in place of keeping them: less memory, longer steps. For a BACKBONE of `config_checks`.
    REMATERIALIZE = False

    @_Derived
    def BATCH_SIZE(self):
        """Images in one batch."""
        return self.IMAGES_PER_GPU * self.GPU_COUNT

    @_Derived
    def IMAGE_SHAPE(self):
        """[height, width, channels] of a model input; only "square" and "crop" fix its sides."""
        side = self.IMAGE_MIN_DIM if self.IMAGE_RESIZE_MODE == "crop" else self.IMAGE_MAX_DIM
        side = side or self.IMAGE_MIN_DIM or Config.IMAGE_MAX_DIM
        return np.array([side, side, self.IMAGE_CHANNEL_COUNT])

    @_Derived
    def IMAGE_META_SIZE(self):
        """Length of an image's meta vector; its layout is in `mrcnn.image.meta`."""
        return 1 + 3 + 3 + 4 + 1 + self.NUM_CLASSES

    def __init__(self):
        for name in _CALLABLES:
            value = getattr(self, name)
            # A function in a class body became a method; one without `self` did not mean to.
            if isinstance(value, types.MethodType):
                function = value.__func__
                if "self" not in inspect.signature(function).parameters:
                    setattr(self, name, function)
        for name in sorted(_OUTDATED.keys() & self._keys(type(self))):
            warnings.warn(
                f"{type(self).__name__}.{name} has no effect any more; {_OUTDATED[name]}",
                FutureWarning,
                stacklevel=2,
            )
        known = self._keys(Config)
        for name in sorted(self._keys(type(self)) - known):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            if near and name.isupper():
                warnings.warn(
                    f"{type(self).__name__}.{name} is not a key of Config; did you mean {near[0]}?",
                    stacklevel=2,
                )

    def __getattr__(self, name):
        if name != "BACKBONE_SHAPES":
            raise AttributeError(f"{type(self).__name__!r} has no key {name!r}")
        warnings.warn(
            "Config.BACKBONE_SHAPES is of matterport's first version; "
            "mrcnn.model.compute_backbone_shapes(config, image_shape) has any image's",
            FutureWarning,
            stacklevel=2,
        )
        if callable(self.BACKBONE) and callable(self.COMPUTE_BACKBONE_SHAPE):
            return np.asarray(self.COMPUTE_BACKBONE_SHAPE(self, self.IMAGE_SHAPE))
        return np.array([-(-self.IMAGE_SHAPE[:2] // s) for s in self.BACKBONE_STRIDES], int)

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
        found = list(problems(self))
        if found:
            raise ValueError(f"{type(self).__name__} cannot work:\n- " + "\n- ".join(found))
