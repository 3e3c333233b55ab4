"""What other libraries call the weights, and how they lay them out.

Our names are matterport's. `source_names` is the one table that the loader asks.

Layouts: O output and I input channels, K classes, R anchors at a location, P pooled bins a side.
"""

import dataclasses
import re

import numpy as np

from mrcnn.network.efficientnet import LITE0_IGNORED, lite0_names

BRANCHES = ("2a", "2b", "2c", "1")


def same(array):
    return array


def conv(kernel):
    """(O, I, h, w) -> (h, w, I, O), and (I, O, h, w) of a transposed convolution -> (h, w, O, I).

    Biases stay.
    """
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel


def conv_bgr(kernel):
    """As `conv`, of a network that takes BGR: on RGB its input channels are turned round."""
    return conv(kernel)[:, :, ::-1] if kernel.ndim == 4 else kernel


def depthwise(kernel):
    """(C, 1, h, w) -> (h, w, C, 1)."""
    return kernel.transpose(2, 3, 0, 1)


def hwio_bgr(kernel):
    """As `conv_bgr`, of a kernel that is (h, w, I, O) already."""
    return kernel[:, :, ::-1]


def dense(kernel):
    """(O, I) -> (I, O). Biases stay."""
    return kernel.T


def dense_as_conv(kernel):
    """(O, I) -> (1, 1, I, O). Biases stay."""
    return kernel.T[None, None] if kernel.ndim == 2 else kernel


def flat_as_conv(pool_size):
    """A fully connected layer on flattened (C, P, P): (O, C*P*P) -> (P, P, C, O)."""

    def layout(kernel):
        if kernel.ndim == 1:
            return kernel
        return kernel.reshape(len(kernel), -1, pool_size, pool_size).transpose(2, 3, 1, 0)

    return layout


def objectness(array):
    """One logit an anchor -> two, background's always 0: (R, I, 1, 1) -> (1, 1, I, 2R)."""
    both = np.stack([np.zeros_like(array), array], axis=1)  # (R, 2, ...)
    return conv(both.reshape(-1, *array.shape[1:]))


def deltas(array):
    """dx dy dw dh -> dy dx dh dw in groups of four outputs: conv, or dense for [4K, I]."""
    array = array.reshape(-1, 4, *array.shape[1:])[:, [1, 0, 3, 2]].reshape(array.shape)
    return conv(array) if array.ndim == 4 else dense(array)


def background_first(array):
    """Classes (K, I) with background last -> (I, K) with background first. Biases (K,) too."""
    return dense(np.roll(array, 1, axis=0))


def class_deltas(array):
    """Deltas of the K - 1 objects -> of K classes, background's 0: ([K-1]*4, I) -> (I, 4K)."""
    array = np.pad(array, [(4, 0), *[(0, 0)] * (array.ndim - 1)])
    return deltas(array)


def class_masks(array):
    """Masks of the K - 1 objects -> of K classes: (K-1, I, 1, 1) -> (1, 1, I, K)."""
    return conv(np.pad(array, [(1, 0), *[(0, 0)] * (array.ndim - 1)]))


# Of a layer: our variable by what PyTorch calls it.
_CONV = {"weight": "kernel", "bias": "bias"}
_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_BLOCKS = 23  # of the longest stage, ResNet-101's fourth


def _resnet(module):
    """Layers of ResNet's stages.

    Args:
        module: function (stage, block, part) of two ints and "1", "2", "3" or "shortcut" to the
            source's names of the convolution and of its BatchNorm.
    """
    for stage in (2, 3, 4, 5):
        for block in range(_BLOCKS):
            for part, branch in zip(("1", "2", "3", "shortcut"), BRANCHES, strict=True):
                name = f"{stage}{chr(ord('a') + block)}_branch{branch}"
                kernel, norm = module(stage, block, part)
                yield f"res{name}", kernel, conv
                yield f"bn{name}", norm, same


def torchvision_layers(pool_size):
    """(our layer, torchvision's module, layout) of its detection models.

    Names from before its 0.13, as in the released files, stand beside today's. The backbone of a
    classifier has no prefix.
    """

    def block(body):
        def module(stage, block, part):
            prefix = f"{body}layer{stage - 1}.{block}."
            if part == "shortcut":
                return f"{prefix}downsample.0", f"{prefix}downsample.1"
            return f"{prefix}conv{part}", f"{prefix}bn{part}"

        return module

    for body in ("backbone.body.", ""):
        yield "conv1", f"{body}conv1", conv
        yield "bn_conv1", f"{body}bn1", same
        yield from _resnet(block(body))
    for i, level in enumerate((2, 3, 4, 5)):
        for ours, theirs in ((f"fpn_c{level}p{level}", "inner"), (f"fpn_p{level}", "layer")):
            module = f"backbone.fpn.{theirs}_blocks.{i}"
            yield ours, module, conv
            yield ours, f"{module}.0", conv
            yield f"{ours}_bn", f"{module}.1", same
    yield "rpn_conv_shared", "rpn.head.conv", conv
    yield "rpn_conv_shared", "rpn.head.conv.0.0", conv
    yield "rpn_conv_shared2", "rpn.head.conv.1.0", conv
    yield "rpn_class_raw", "rpn.head.cls_logits", objectness
    yield "rpn_bbox_pred", "rpn.head.bbox_pred", deltas
    for i in (1, 2, 3, 4):
        yield f"mrcnn_box_conv{i}", f"roi_heads.box_head.{i - 1}.0", conv
        yield f"mrcnn_box_bn{i}", f"roi_heads.box_head.{i - 1}.1", same
        yield f"mrcnn_mask_conv{i}", f"roi_heads.mask_head.{i - 1}.0", conv
        yield f"mrcnn_mask_bn{i}", f"roi_heads.mask_head.{i - 1}.1", same
        yield f"mrcnn_mask_conv{i}", f"roi_heads.mask_head.mask_fcn{i}", conv
    yield "mrcnn_class_conv1", "roi_heads.box_head.fc6", flat_as_conv(pool_size)
    yield "mrcnn_class_conv1", "roi_heads.box_head.5", flat_as_conv(pool_size)
    yield "mrcnn_class_conv2", "roi_heads.box_head.fc7", dense_as_conv
    yield "mrcnn_class_logits", "roi_heads.box_predictor.cls_score", dense
    yield "mrcnn_bbox_fc", "roi_heads.box_predictor.bbox_pred", deltas
    yield "mrcnn_mask_deconv", "roi_heads.mask_predictor.conv5_mask", conv
    yield "mrcnn_mask", "roi_heads.mask_predictor.mask_fcn_logits", conv


def detectron2_layers(pool_size):
    """(our layer, detectron2's module, layout) of its FPN models; their input is BGR."""

    def block(stage, block, part):
        name = part if part == "shortcut" else f"conv{part}"
        module = f"backbone.bottom_up.res{stage}.{block}.{name}"
        return module, f"{module}.norm"

    yield "conv1", "backbone.bottom_up.stem.conv1", conv_bgr
    yield "bn_conv1", "backbone.bottom_up.stem.conv1.norm", same
    yield from _resnet(block)
    for level in (2, 3, 4, 5):
        yield f"fpn_c{level}p{level}", f"backbone.fpn_lateral{level}", conv
        yield f"fpn_p{level}", f"backbone.fpn_output{level}", conv
    rpn = "proposal_generator.rpn_head"
    yield "rpn_conv_shared", f"{rpn}.conv", conv
    yield "rpn_class_raw", f"{rpn}.objectness_logits", objectness
    yield "rpn_bbox_pred", f"{rpn}.anchor_deltas", deltas
    yield "mrcnn_class_conv1", "roi_heads.box_head.fc1", flat_as_conv(pool_size)
    yield "mrcnn_class_conv2", "roi_heads.box_head.fc2", dense_as_conv
    yield "mrcnn_class_logits", "roi_heads.box_predictor.cls_score", background_first
    yield "mrcnn_bbox_fc", "roi_heads.box_predictor.bbox_pred", class_deltas
    for i in (1, 2, 3, 4):
        yield f"mrcnn_mask_conv{i}", f"roi_heads.mask_head.mask_fcn{i}", conv
    yield "mrcnn_mask_deconv", "roi_heads.mask_head.deconv", conv
    yield "mrcnn_mask", "roi_heads.mask_head.predictor", class_masks


def _pytorch_names(layers):
    """Source's name -> (our name, layout) of layers as the functions above yield them."""
    names = {}
    for ours, module, layout in layers:
        for theirs, variable in (_NORM if layout is same else _CONV).items():
            names[f"{module}.{theirs}"] = (f"{ours}/{variable}", layout)
    return names


def _keras_name(name):
    """Our name for one of Keras: `layer/variable` of Keras 1, Keras 2 or `keras.applications`."""
    layer, _, variable = name.rpartition("/")
    if variable.startswith(f"{layer}_"):  # Keras 1 repeats the layer and appends a number
        variable = re.sub(r"_\d+$", "", variable[len(layer) + 1 :])
        variable = _KERAS1.get(variable, variable)
    match = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if match:
        stage, block, part, kind = match.groups()
        branch = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}[part]
        kind = "res" if kind == "conv" else "bn"
        layer = f"{kind}{stage}{chr(ord('a') + int(block) - 1)}_branch{branch}"
    return f"{_APPLICATIONS.get(layer, layer)}/{variable}"


# Keras 1 calls the variance a standard deviation.
_KERAS1 = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
_APPLICATIONS = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}
_LITE0_LAYOUTS = {"conv": conv, "depthwise": depthwise, "vector": same}


def keras_names(arrays, bgr=False):
    """Source's name -> (our name, layout) of a Keras file; `bgr`: its input is BGR."""
    names = {name: _keras_name(name) for name in arrays}
    return {
        name: (ours, hwio_bgr if bgr and ours == "conv1/kernel" else same)
        for name, ours in names.items()
    }


def source_names(source, arrays, pool_size):
    """Where each array of a source goes.

    Args:
        source: one of `SOURCES`.
        arrays: names of the source's arrays.
        pool_size: int, bins a side of the box head's input.

    Returns:
        dict: the source's name -> (our `layer/variable`, function of the array). Names that we
        have no place for are absent.
    """
    if source == "torchvision":
        return _pytorch_names(torchvision_layers(pool_size))
    if source == "detectron2":
        return _pytorch_names(detectron2_layers(pool_size))
    if source == "efficientnet_lite":
        return {theirs: (ours, _LITE0_LAYOUTS[kind]) for ours, theirs, kind in lite0_names()}
    return keras_names(arrays, bgr=source == "keras_applications")


# Arrays that are not weights, or of a classifier on top of a backbone.
IGNORED = {
    "torchvision": r".*\.num_batches_tracked|fc\.(weight|bias)",
    "detectron2": r"pixel_mean|pixel_std|.*\.cell_anchors\.\d|.*\.num_batches_tracked",
    "matterport": r"$^",
    "keras_applications": r"(fc1000|predictions|probs)/.*",
    "efficientnet_lite": LITE0_IGNORED,
}
SOURCES = tuple(IGNORED)


@dataclasses.dataclass(frozen=True)
class WeightNames:
    """What the loader must know of an architecture.

    Attributes:
        sources: names of the libraries whose files it reads.
        table: function (source, arrays, settings) -> dict, as `source_names` returns.
        ignored: dict by source: pattern of arrays that are not weights.
        heads: prefixes of layers, those that every backbone lacks.
        class_heads: names of layers whose shape depends on the number of classes.
        normalized: pattern of the convolutions that a BatchNorm follows.
        optional: function of settings -> pattern of names in a file that may go unused, such as
            those of masks in a model without; or None.
    """

    sources: tuple
    table: object
    ignored: dict
    heads: tuple
    class_heads: tuple
    normalized: str
    optional: object


def _mask_rcnn_table(source, arrays, settings):
    return source_names(source, arrays, settings.box_head.pool_size)


MASK_RCNN = WeightNames(
    sources=SOURCES,
    table=_mask_rcnn_table,
    ignored=IGNORED,
    heads=("fpn_", "rpn_", "mrcnn_"),
    class_heads=("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask"),
    normalized=r"(conv1|res.*|mrcnn_(class|box|mask)_conv\d)",
    optional=lambda settings: None if settings.mask_head.enabled else "mask",
)
CLASS_HEADS = MASK_RCNN.class_heads
