"""The three heads, under matterport's layer names.

`rpn_head` is a small model. `box_head` and `mask_head` make their layers once and return a
function of tensors, so that the inference and the training graph share them while every layer
stays reachable by name in either.

Shapes: B images, h w of a feature map, R anchors at a location, A anchors, N ROIs, P pooled bins a
side, K classes, C channels.
"""

import keras
from keras import layers, ops

from mrcnn.norm import BatchNorm


def rpn_head(
    anchors_per_location, anchor_stride, in_channels, channels, conv_layers=1, init_std=None
):
    """Region proposal network (arXiv:1506.01497), shared by all levels.

    Args:
        anchors_per_location: int R.
        anchor_stride: int, stride of the first convolution.
        in_channels: int, channels of the pyramid.
        channels: int, channels of the shared convolutions.
        conv_layers: int, shared convolutions.
        init_std: float, standard deviation of new kernels; None: Glorot's.

    Returns:
        keras.Model "rpn_model": float [B, h, w, C] -> `rpn_class_logits` [B, h*w*R, 2],
        `rpn_class` (their softmax) and `rpn_bbox` [B, h*w*R, 4].
    """
    feature = keras.Input((None, None, in_channels), name="input_rpn_feature_map")
    shared = feature

    def initializer():  # one for each layer: it draws the same for the same shape
        return keras.initializers.RandomNormal(stddev=init_std) if init_std else "glorot_uniform"

    for i in range(conv_layers):
        shared = layers.Conv2D(
            channels,
            3,
            anchor_stride if i == 0 else 1,
            padding="same",
            activation="relu",
            kernel_initializer=initializer(),
            name="rpn_conv_shared" if i == 0 else f"rpn_conv_shared{i + 1}",
        )(shared)
    logits = layers.Conv2D(
        2 * anchors_per_location, 1, kernel_initializer=initializer(), name="rpn_class_raw"
    )(shared)
    logits = layers.Reshape((-1, 2))(logits)  # (B, h, w, R*2) -> (B, h*w*R, 2)
    probs = layers.Activation("softmax", dtype="float32", name="rpn_class_xxx")(logits)
    deltas = layers.Conv2D(
        4 * anchors_per_location, 1, kernel_initializer=initializer(), name="rpn_bbox_pred"
    )(shared)
    deltas = layers.Reshape((-1, 4))(deltas)  # (B, h, w, R*4) -> (B, h*w*R, 4)
    return keras.Model(feature, [logits, probs, deltas], name="rpn_model")


def hidden_layers(specs, norm, train_bn, use_bias, epsilon):
    """Convolutions with their norm and ReLU.

    Args:
        specs: list of (name of the convolution, name of its norm, channels, kernel, padding).
        norm: bool, BatchNorm after each.
        train_bn: see `Config.TRAIN_BN`.
        use_bias: bool, whether a normalised convolution has a bias; one without norm has.
        epsilon: float, of BatchNorm.

    Returns:
        list of layers.
    """
    hidden = []
    for name, norm_name, channels, kernel, padding in specs:
        bias = use_bias or not norm
        hidden.append(layers.Conv2D(channels, kernel, padding=padding, use_bias=bias, name=name))
        if norm:
            hidden.append(BatchNorm(train_bn, epsilon=epsilon, name=norm_name))
        hidden.append(layers.ReLU())
    return hidden


def box_head(
    num_classes,
    pool_size,
    channels,
    train_bn,
    conv_layers=0,
    conv_channels=256,
    fc_layers=2,
    fc_norm=True,
    use_bias=True,
    epsilon=1e-3,
):
    """Classifier and box regressor of pooled ROIs.

    Args:
        num_classes: int K.
        pool_size: int P.
        channels: int, width of the fully connected layers. The first of them is a convolution
            with a P x P kernel, which is the same on a grid of P x P bins.
        train_bn: see `Config.TRAIN_BN`.
        conv_layers: int, normalised 3x3 convolutions before them.
        conv_channels: int, their channels.
        fc_layers: int, fully connected layers.
        fc_norm: bool, BatchNorm after each of them.
        use_bias: bool, whether a normalised convolution has a bias.
        epsilon: float, of BatchNorm.

    Returns:
        function: float [B, N, P, P, C] -> dict of `mrcnn_class_logits` [B, N, K], `mrcnn_class`
        (their softmax) and `mrcnn_bbox` [B, N, K, 4].
    """
    norm = (train_bn, use_bias, epsilon)
    convs = [
        (f"mrcnn_box_conv{i}", f"mrcnn_box_bn{i}", conv_channels, 3, "same")
        for i in range(1, conv_layers + 1)
    ]
    kernels = [pool_size] + [1] * (fc_layers - 1)
    fcs = [
        (f"mrcnn_class_conv{i}", f"mrcnn_class_bn{i}", channels, kernel, "valid")
        for i, kernel in enumerate(kernels, 1)
    ]
    hidden = hidden_layers(convs, True, *norm) + hidden_layers(fcs, fc_norm, *norm)
    # In float32 under any policy: their few products cost nothing, and scores have no ties.
    class_logits = layers.Dense(num_classes, dtype="float32", name="mrcnn_class_logits")
    class_probs = layers.Activation("softmax", dtype="float32", name="mrcnn_class")
    deltas = layers.Dense(4 * num_classes, dtype="float32", name="mrcnn_bbox_fc")
    reshape_deltas = layers.Reshape((-1, num_classes, 4), dtype="float32", name="mrcnn_bbox")
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


def mask_head(num_classes, channels, train_bn, norm=True, use_bias=True, epsilon=1e-3):
    """Mask of every class of pooled ROIs, twice as fine as the pooled grid.

    Args:
        num_classes: int K.
        channels: int, channels of the convolutions.
        train_bn: see `Config.TRAIN_BN`.
        norm: bool, BatchNorm after each convolution.
        use_bias: bool, whether a normalised convolution has a bias.
        epsilon: float, of BatchNorm.

    Returns:
        function `(pooled, logits=False)`: float [B, N, P, P, C] -> float [B, N, 2P, 2P, K],
        probabilities or logits.
    """
    specs = [
        (f"mrcnn_mask_conv{i}", f"mrcnn_mask_bn{i}", channels, 3, "same") for i in (1, 2, 3, 4)
    ]
    hidden = hidden_layers(specs, norm, train_bn, use_bias, epsilon)
    hidden.append(
        layers.Conv2DTranspose(channels, 2, 2, activation="relu", name="mrcnn_mask_deconv")
    )
    predict = MaskPredictor(num_classes, name="mrcnn_mask")

    def head(pooled, logits=False):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        for layer in hidden:
            x = layer(x)
        x = ops.reshape(x, (-1, pooled.shape[1], *x.shape[1:]))  # (B, N, 2P, 2P, C)
        return predict(x, logits=logits)

    return head


class MaskPredictor(layers.Conv2D):
    """1x1 convolution of a feature map for each ROI: [B, N, h, w, C] -> float [B, N, h, w, K].

    One layer gives both forms of a mask: matterport's has the weights and the probabilities.

    Args:
        num_classes: int K.
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(num_classes, 1, **kwargs)

    def build(self, input_shape):
        super().build((None, *input_shape[2:]))

    def call(self, features, logits=False):
        """Returns float32 probabilities, or with `logits` what their sigmoid is taken of."""
        rows = ops.reshape(features, (-1, *features.shape[2:]))  # (B*N, h, w, C)
        x = super().call(rows)
        x = ops.reshape(x, (-1, features.shape[1], *x.shape[1:]))  # (B, N, h, w, K)
        return x if logits else ops.sigmoid(ops.cast(x, "float32"))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def compute_output_spec(self, features, logits=False):
        dtype = self.compute_dtype if logits else "float32"
        return keras.KerasTensor(self.compute_output_shape(features.shape), dtype)

    def get_config(self):
        config = super().get_config()
        return {key: config[key] for key in ("name", "trainable", "dtype")} | {
            "num_classes": self.filters
        }
