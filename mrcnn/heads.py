"""The three heads, under matterport's layer names.

`rpn_head` is a small model. `box_head` and `mask_head` make their layers once and return a
function of tensors, so that the inference and the training graph share them while every layer
stays reachable by name in either.

Shapes: B images, h w of a feature map, R anchors at a location, A anchors, N ROIs, P pooled bins a
side, K classes, C channels.
"""

import keras
from keras import layers, ops

from mrcnn.backbone import BatchNorm


def rpn_head(anchors_per_location, anchor_stride, in_channels, channels):
    """Region proposal network (arXiv:1506.01497), shared by all levels.

    Args:
        anchors_per_location: int R.
        anchor_stride: int, stride of the first convolution.
        in_channels: int, channels of the pyramid.
        channels: int, channels of the shared convolution.

    Returns:
        keras.Model "rpn_model": float [B, h, w, C] -> `rpn_class_logits` [B, h*w*R, 2],
        `rpn_class` (their softmax) and `rpn_bbox` [B, h*w*R, 4].
    """
    feature = keras.Input((None, None, in_channels), name="input_rpn_feature_map")
    shared = layers.Conv2D(
        channels,
        3,
        anchor_stride,
        padding="same",
        activation="relu",
        name="rpn_conv_shared",
    )(feature)
    logits = layers.Conv2D(2 * anchors_per_location, 1, name="rpn_class_raw")(shared)
    logits = layers.Reshape((-1, 2))(logits)  # (B, h, w, R*2) -> (B, h*w*R, 2)
    probs = layers.Activation("softmax", dtype="float32", name="rpn_class_xxx")(logits)
    deltas = layers.Conv2D(4 * anchors_per_location, 1, name="rpn_bbox_pred")(shared)
    deltas = layers.Reshape((-1, 4))(deltas)  # (B, h, w, R*4) -> (B, h*w*R, 4)
    return keras.Model(feature, [logits, probs, deltas], name="rpn_model")


def box_head(num_classes, pool_size, channels, train_bn):
    """Classifier and box regressor of pooled ROIs.

    Args:
        num_classes: int K.
        pool_size: int P.
        channels: int, width of the two hidden layers.
        train_bn: see `Config.TRAIN_BN`.

    Returns:
        function: float [B, N, P, P, C] -> dict of `mrcnn_class_logits` [B, N, K], `mrcnn_class`
        (their softmax) and `mrcnn_bbox` [B, N, K, 4].
    """
    hidden = []
    for i, kernel in ((1, pool_size), (2, 1)):
        hidden.append(layers.Conv2D(channels, kernel, name=f"mrcnn_class_conv{i}"))
        hidden.append(BatchNorm(train_bn, name=f"mrcnn_class_bn{i}"))
        hidden.append(layers.ReLU())
    class_logits = layers.Dense(num_classes, name="mrcnn_class_logits")
    class_probs = layers.Activation("softmax", dtype="float32", name="mrcnn_class")
    deltas = layers.Dense(4 * num_classes, name="mrcnn_bbox_fc")
    reshape_deltas = layers.Reshape((-1, num_classes, 4), name="mrcnn_bbox")
    squeeze = layers.Reshape((-1, channels), name="pool_squeeze")

    def head(pooled):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        for layer in hidden:
            x = layer(x)
        x = ops.reshape(x, (-1, pooled.shape[1], 1, 1, channels))  # (B*N, ...) -> (B, N, 1, 1, .)
        x = squeeze(x)  # (B, N, channels)
        logits = class_logits(x)
        return {
            "mrcnn_class_logits": logits,
            "mrcnn_class": class_probs(logits),
            "mrcnn_bbox": reshape_deltas(deltas(x)),
        }

    return head


def mask_head(num_classes, channels, train_bn):
    """Mask of every class of pooled ROIs, twice as fine as the pooled grid.

    Args:
        num_classes: int K.
        channels: int, channels of the convolutions.
        train_bn: see `Config.TRAIN_BN`.

    Returns:
        function: float [B, N, P, P, C] -> float [B, N, 2P, 2P, K], probabilities.
    """
    hidden = []
    for i in (1, 2, 3, 4):
        hidden.append(layers.Conv2D(channels, 3, padding="same", name=f"mrcnn_mask_conv{i}"))
        hidden.append(BatchNorm(train_bn, name=f"mrcnn_mask_bn{i}"))
        hidden.append(layers.ReLU())
    hidden.append(
        layers.Conv2DTranspose(channels, 2, 2, activation="relu", name="mrcnn_mask_deconv")
    )
    hidden.append(layers.Conv2D(num_classes, 1, activation="sigmoid", name="mrcnn_mask"))

    def head(pooled):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        for layer in hidden:
            x = layer(x)
        return ops.reshape(x, (-1, pooled.shape[1], *x.shape[1:]))

    return head
