"""Settings of the heads of a network."""

from mrcnn.settings.fields import Stage, floats, key, stage
from mrcnn.settings.network import Boxes


@stage
class BoxHead(Stage):
    """Classifier and box regressor: see `mrcnn.network.heads.box_head`.

    `spp_levels`: grids of `mrcnn.ops.roi_pool.spatial_pyramid_pool`; None: one of `pool_size`.
    """

    num_classes: int = key("NUM_CLASSES")
    pool_size: int = key("POOL_SIZE")
    spp_levels: tuple = key("SPP_LEVELS")
    channels: int = key("FPN_CLASSIF_FC_LAYERS_SIZE")
    train_bn: bool = key("TRAIN_BN")
    conv_layers: int = key("BOX_HEAD_CONV_LAYERS")
    conv_channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    fc_layers: int = key("BOX_HEAD_FC_LAYERS")
    fc_norm: bool = key("BOX_HEAD_FC_NORM")
    class_agnostic: bool = key("BOX_CLASS_AGNOSTIC")

    @property
    def grid(self):
        """(int, int), the sides of what is pooled of an ROI; grids lie in one row."""
        if self.spp_levels is None:
            return self.pool_size, self.pool_size
        return 1, sum(side**2 for side in self.spp_levels)


@stage
class CascadeStage(Boxes):
    """A stage of a cascade: see `mrcnn.network.cascade`.

    Attributes:
        iou: float, with an object, from which an ROI is positive, and below which negative.
        std_dev: four floats, scale of the deltas.
    """

    iou: float = key("ROI_IOU")
    std_dev: tuple = key("BBOX_STD_DEV", floats)


@stage
class Cascade(CascadeStage):
    """The box heads of a cascade; `iou` and `std_dev` are the first one's.

    Attributes:
        ious: floats, the same of the stages after it.
        divisors: floats, what their deltas' scale is smaller by.
    """

    ious: tuple = key("CASCADE_IOUS", floats)
    divisors: tuple = key("CASCADE_STD_DIVISORS", floats)

    @property
    def stages(self):
        """List of `CascadeStage`, first to last."""
        return [
            CascadeStage(
                box_offset=self.box_offset, iou=iou, std_dev=tuple(x / by for x in self.std_dev)
            )
            for iou, by in zip((self.iou, *self.ious), (1.0, *self.divisors), strict=True)
        ]

    @property
    def suffixes(self):
        """What the names of each stage end in: "", which is Mask R-CNN's, "_stage2", ..."""
        return ["", *(f"_stage{i}" for i in range(2, 2 + len(self.ious)))]


@stage
class MaskHead(Stage):
    """Masks: see `mrcnn.network.heads.mask_head`. `enabled` False: boxes only."""

    enabled: bool = key("USE_MASK")
    num_classes: int = key("NUM_CLASSES")
    pool_size: int = key("MASK_POOL_SIZE")
    conv_layers: int = key("MASK_HEAD_CONV_LAYERS")
    channels: int = key("MASK_HEAD_CHANNELS")
    train_bn: bool = key("TRAIN_BN")
    norm: bool = key("MASK_HEAD_NORM")
    class_agnostic: bool = key("MASK_CLASS_AGNOSTIC")


@stage
class KeypointHead(Stage):
    """Keypoints: see `mrcnn.network.heads.keypoint_head`. `enabled` False: there are none."""

    enabled: bool = key("USE_KEYPOINTS")
    num_keypoints: int = key("NUM_KEYPOINTS")
    pool_size: int = key("KEYPOINT_POOL_SIZE")
    layers: int = key("KEYPOINT_HEAD_LAYERS")
    channels: int = key("KEYPOINT_HEAD_CHANNELS")


@stage
class RetinaNetHead(Stage):
    """Two towers over each level: see `mrcnn.network.retinanet_head.retinanet_head`."""

    num_classes: int = key("NUM_CLASSES")
    channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    norm: bool = key("RETINANET_HEAD_NORM")
    init_std: float = key("RPN_INIT_STD")


@stage
class SemanticHead(Stage):
    """Class of each pixel: see `mrcnn.network.semantic_head`.

    Attributes:
        num_classes: int K, those of the data.
        stuff_classes: int, how many of them, the last ones, are stuff.
        channels: int, of its hidden layers.
    """

    num_classes: int = key("NUM_CLASSES")
    stuff_classes: int = key("NUM_STUFF_CLASSES")
    channels: int = key("SEMANTIC_HEAD_CHANNELS")

    @property
    def thing_classes(self):
        """int, the classes of instances, background included."""
        return self.num_classes - self.stuff_classes


@stage
class MaskTransformer(Stage):
    """MaX-DeepLab: see `mrcnn.network.max_deeplab`.

    Attributes:
        backbone: "max_deeplab_s" or "max_deeplab_l".
        width: float, of all channels over the published ones.
        blocks: ints, of the stages 2 to 5; None: the published ones.
        gammas: (float, float), what BatchNorm's gamma starts from: of the last of what is added to
            a path, and of the masks' logits.
        slots: int N, masks.
        drop_path: float, the probability that training drops a block of the last stage.
        num_classes: int K, background, things and stuff.
        stuff_classes: int, how many of them, the last ones, are stuff.
        train_bn: see `Config.TRAIN_BN`.
    """

    backbone: str = key("BACKBONE")
    width: float = key("MAX_DEEPLAB_WIDTH")
    blocks: tuple = key("MAX_DEEPLAB_BLOCKS")
    gammas: tuple = key("MAX_DEEPLAB_GAMMAS", floats)
    slots: int = key("MASK_SLOTS")
    drop_path: float = key("DROP_PATH")
    num_classes: int = key("NUM_CLASSES")
    stuff_classes: int = key("NUM_STUFF_CLASSES")
    train_bn: bool = key("TRAIN_BN")

    @property
    def thing_classes(self):
        """int, the classes of instances, background included."""
        return self.num_classes - self.stuff_classes
