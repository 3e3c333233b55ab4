"""The heads, under matterport's layer names where it has them.

`rpn_head` is a small model. The others make their layers once and return a function of tensors, so
that the inference and the training graph share them while every layer stays reachable by name in
either.

Shapes: B images, h w of a feature map, R anchors at a location, A anchors, N ROIs, P pooled bins a
side, K classes, J keypoints, C channels.
"""

import keras
from keras import layers, ops

from mrcnn.network.norm import norm_layer


def new_kernel(std):
    """Initializer of a kernel, for one layer: it draws the same for the same shape.

    Args:
        std: float, deviation; None: Glorot's rule.
    """
    return keras.initializers.RandomNormal(stddev=std) if std else "glorot_uniform"


def rpn_head(settings, anchors, channels):
    """Region proposal network (arXiv:1506.01497), shared by all levels.

    Args:
        settings: `mrcnn.settings.Trunk`.
        anchors: `mrcnn.settings.Anchors`: R of them, and the stride of the first convolution.
        channels: int C, of the feature maps.

    Returns:
        keras.Model "rpn_model": float [B, h, w, C] -> `rpn_class_logits` [B, h*w*R, 2],
        `rpn_class` (their softmax) and `rpn_bbox` [B, h*w*R, 4].
    """
    anchors_per_location, init_std = anchors.per_location, settings.rpn_init_std
    feature = keras.Input((None, None, channels), name="input_rpn_feature_map")
    shared = feature

    for i in range(settings.rpn_conv_layers):
        shared = layers.Conv2D(
            settings.rpn_channels,
            3,
            anchors.anchor_stride if i == 0 else 1,
            padding="same",
            activation="relu",
            kernel_initializer=new_kernel(init_std),
            name="rpn_conv_shared" if i == 0 else f"rpn_conv_shared{i + 1}",
        )(shared)
    logits = layers.Conv2D(
        2 * anchors_per_location, 1, kernel_initializer=new_kernel(init_std), name="rpn_class_raw"
    )(shared)
    logits = layers.Reshape((-1, 2))(logits)  # (B, h, w, R*2) -> (B, h*w*R, 2)
    probs = layers.Activation("softmax", dtype="float32", name="rpn_class_xxx")(logits)
    deltas = layers.Conv2D(
        4 * anchors_per_location, 1, kernel_initializer=new_kernel(init_std), name="rpn_bbox_pred"
    )(shared)
    deltas = layers.Reshape((-1, 4))(deltas)  # (B, h, w, R*4) -> (B, h*w*R, 4)
    return keras.Model(feature, [logits, probs, deltas], name="rpn_model")


def hidden_layers(specs, norm, train_bn, style):
    """Convolutions with their norm and ReLU.

    Args:
        specs: list of (name of the convolution, name of its norm, channels, kernel, padding).
        norm: bool, whether one follows each.
        train_bn: see `Config.TRAIN_BN`.
        style: `ConvStyle`: whether a convolution that a norm follows has a bias (the others always
            have one), and which norm.

    Returns:
        list of layers.
    """
    hidden = []
    for name, norm_name, channels, kernel, padding in specs:
        bias = style.use_bias or not norm
        hidden.append(layers.Conv2D(channels, kernel, padding=padding, use_bias=bias, name=name))
        if norm:
            hidden.append(norm_layer(norm_name, channels, train_bn, style))
        hidden.append(layers.ReLU())
    return hidden


def box_head(settings, style, suffix=""):
    """Classifier and box regressor of pooled ROIs.

    The first fully connected layer is a P x P convolution without padding: on P x P bins the two
    are the same; with `spp_levels` (SPP-net, arXiv:1406.4729) P x P is 1 x their bins.
    `conv_layers` normalised 3x3 convolutions come before it.

    Args:
        settings: `mrcnn.settings.BoxHead`.
        style: `ConvStyle` of the normalised convolutions.
        suffix: str, of the layers' names.

    Returns:
        function: float [B, N, P, P, C] -> dict of `mrcnn_class_logits` [B, N, K], `mrcnn_class`
        (their softmax) and `mrcnn_bbox` [B, N, K, 4].
    """
    channels, norm = settings.channels, (settings.train_bn, style)
    convs = [
        (f"mrcnn_box_conv{i}", f"mrcnn_box_bn{i}", settings.conv_channels, 3, "same")
        for i in range(1, settings.conv_layers + 1)
    ]
    kernels = [settings.grid] + [1] * (settings.fc_layers - 1)
    fcs = [
        (f"mrcnn_class_conv{i}", f"mrcnn_class_bn{i}", channels, kernel, "valid")
        for i, kernel in enumerate(kernels, 1)
    ]
    convs, fcs = ([(c + suffix, n + suffix, *x) for c, n, *x in specs] for specs in (convs, fcs))
    hidden = hidden_layers(convs, True, *norm) + hidden_layers(fcs, settings.fc_norm, *norm)
    predict = box_predictor(settings, suffix)
    squeeze = layers.Reshape((-1, channels), name="pool_squeeze" + suffix)

    def head(pooled):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        for layer in hidden:
            x = layer(x)
        x = ops.reshape(x, (-1, pooled.shape[1], 1, 1, channels))  # (B*N, ...) -> (B, N, 1, 1, .)
        return predict(squeeze(x))  # of (B, N, channels)

    return head


def box_predictor(settings, suffix=""):
    """The last layers of a box head: classes and boxes of the features of ROIs.

    With `class_agnostic` an ROI has one box: the deltas of all classes are the same.

    Args:
        settings: `mrcnn.settings.BoxHead`.
        suffix: str, of the layers' names.

    Returns:
        function: float [B, N, C] -> what the function of `box_head` returns.
    """
    num_classes, class_agnostic = settings.num_classes, settings.class_agnostic
    boxes = 1 if class_agnostic else num_classes  # of an ROI
    # In float32 under any policy: their few products cost nothing, and scores have no ties.
    options = {"dtype": "float32"}
    class_logits = layers.Dense(num_classes, **options, name="mrcnn_class_logits" + suffix)
    class_probs = layers.Activation("softmax", **options, name="mrcnn_class" + suffix)
    deltas = layers.Dense(4 * boxes, **options, name="mrcnn_bbox_fc" + suffix)
    reshape_deltas = layers.Reshape((-1, boxes, 4), **options, name="mrcnn_bbox" + suffix)

    def predict(features):
        logits, found = class_logits(features), reshape_deltas(deltas(features))
        return {
            "mrcnn_class_logits": logits,
            "mrcnn_class": class_probs(logits),
            "mrcnn_bbox": ops.repeat(found, num_classes, axis=2) if class_agnostic else found,
        }

    return predict


def mask_head(settings, style):
    """Mask of every class of pooled ROIs, twice as fine as the pooled grid.

    With `class_agnostic` an ROI has one mask for all classes: K is 1.

    Args:
        settings: `mrcnn.settings.MaskHead`.
        style: `ConvStyle` of the normalised convolutions.

    Returns:
        function: float [B, N, P, P, C] -> dict of `mrcnn_mask` (probabilities) and
        `mrcnn_mask_logits`, float [B, N, 2P, 2P, K].
    """
    specs = [
        (f"mrcnn_mask_conv{i}", f"mrcnn_mask_bn{i}", settings.channels, 3, "same")
        for i in range(1, settings.conv_layers + 1)
    ]
    hidden = hidden_layers(specs, settings.norm, settings.train_bn, style)
    hidden.append(
        layers.Conv2DTranspose(settings.channels, 2, 2, activation="relu", name="mrcnn_mask_deconv")
    )
    count = 1 if settings.class_agnostic else settings.num_classes
    predict = MaskPredictor(count, name="mrcnn_mask")

    def head(pooled):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        for layer in hidden:
            x = layer(x)
        x = ops.reshape(x, (-1, pooled.shape[1], *x.shape[1:]))  # (B, N, 2P, 2P, C)
        return {"mrcnn_mask": predict(x), "mrcnn_mask_logits": predict(x, logits=True)}

    return head


def keypoint_head(settings):
    """Heat map of every keypoint of pooled ROIs, four times as fine as the pooled grid.

    Convolutions, one transposed, and a doubling by bilinear interpolation (arXiv:1703.06870,
    section 5). New kernels are He's for the gradients (arXiv:1502.01852), as in the paper's code:
    with Glorot's the features would fade from layer to layer.

    Args:
        settings: `mrcnn.settings.KeypointHead`.

    Returns:
        function: float [B, N, P, P, C] -> dict of `mrcnn_keypoint_logits`, float32
        [B, N, 4P, 4P, J].
    """

    def initializer():  # one for each layer: it draws the same for the same shape
        return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")

    hidden = [
        layers.Conv2D(
            settings.channels,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=initializer(),
            name=f"mrcnn_keypoint_conv{i}",
        )
        for i in range(1, settings.layers + 1)
    ]
    hidden.append(
        layers.Conv2DTranspose(
            settings.num_keypoints,
            4,
            2,
            padding="same",
            kernel_initializer=initializer(),
            name="mrcnn_keypoint_deconv",
        )
    )
    # In float32 under any policy: the peak of a map lies between its bins.
    hidden.append(
        layers.UpSampling2D(
            2, interpolation="bilinear", dtype="float32", name="mrcnn_keypoint_upsample"
        )
    )

    def head(pooled):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        for layer in hidden:
            x = layer(x)
        x = ops.reshape(x, (-1, pooled.shape[1], *x.shape[1:]))  # (B, N, 4P, 4P, J)
        return {"mrcnn_keypoint_logits": x}

    return head


@keras.saving.register_keras_serializable("mrcnn")
class MaskPredictor(layers.Conv2D):
    """1x1 convolution of a feature map for each ROI: [B, N, h, w, C] -> float [B, N, h, w, K].

    It returns either form of a mask, probabilities or the logits that the loss takes: in files of
    matterport one layer, `mrcnn_mask`, has the weights and returns probabilities.

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
