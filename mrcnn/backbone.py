"""Backbones and the feature pyramid, under matterport's layer names.

Shapes: B images, H W, C channels. A backbone maps images [B, H, W, C] to C1..C5 with strides
2, 4, 8, 16, 32; the pyramid maps C2..C5 to P2..P6 with strides 4 to 64.
"""

from keras import layers

# Blocks of stage 4; the other stages have 3, 4 and 3.
_STAGE4_BLOCKS = {"resnet50": 6, "resnet101": 23}


class BatchNorm(layers.BatchNormalization):
    """A BatchNormalization that can keep its statistics while gamma and beta train.

    Keras freezes all four together (`trainable = False`), and a model's own `training` argument
    overrules one that was given when its layers were called.

    Args:
        train_bn: False: always the moving averages; None or True: Keras's rule, batch statistics
            while the layer trains.
    """

    def __init__(self, train_bn=None, **kwargs):
        super().__init__(**kwargs)
        self.train_bn = train_bn

    def call(self, inputs, training=None, mask=None):
        training = False if self.train_bn is False else training
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {**super().get_config(), "train_bn": self.train_bn}


def identity_block(input_tensor, kernel_size, filters, stage, block, use_bias=True, train_bn=True):
    """A bottleneck block (arXiv:1512.03385) whose shortcut is its input.

    Args:
        input_tensor: float [B, h, w, filters[2]].
        kernel_size: int, of the middle convolution.
        filters: three ints, channels of the convolutions.
        stage: int, for the layer names.
        block: str, letter for the layer names.
        use_bias: bool, biases of the convolutions.
        train_bn: see `Config.TRAIN_BN`.

    Returns:
        float [B, h, w, filters[2]].
    """
    x = _branch(input_tensor, kernel_size, filters, stage, block, 1, use_bias, train_bn)
    x = layers.Add()([x, input_tensor])
    return layers.ReLU(name=f"res{stage}{block}_out")(x)


def conv_block(
    input_tensor,
    kernel_size,
    filters,
    stage,
    block,
    strides=(2, 2),
    use_bias=True,
    train_bn=True,
):
    """As `identity_block`, with a strided convolution as shortcut; the first 1x1 has the stride."""
    x = _branch(input_tensor, kernel_size, filters, stage, block, strides, use_bias, train_bn)
    shortcut = layers.Conv2D(
        filters[2], 1, strides, use_bias=use_bias, name=f"res{stage}{block}_branch1"
    )(input_tensor)
    shortcut = BatchNorm(train_bn, name=f"bn{stage}{block}_branch1")(shortcut)
    x = layers.Add()([x, shortcut])
    return layers.ReLU(name=f"res{stage}{block}_out")(x)


def _branch(x, kernel_size, filters, stage, block, strides, use_bias, train_bn):
    kernels = zip("abc", filters, (1, kernel_size, 1), (strides, 1, 1), strict=True)
    for letter, channels, kernel, stride in kernels:
        name = f"{stage}{block}_branch2{letter}"
        x = layers.Conv2D(
            channels, kernel, stride, padding="same", use_bias=use_bias, name="res" + name
        )(x)
        x = BatchNorm(train_bn, name="bn" + name)(x)
        if letter != "c":
            x = layers.ReLU()(x)
    return x


def resnet_graph(input_image, architecture, stage5=False, train_bn=True):
    """ResNet-50 or ResNet-101 (arXiv:1512.03385).

    Args:
        input_image: float [B, H, W, C].
        architecture: "resnet50" or "resnet101".
        stage5: bool, whether to build C5.
        train_bn: see `Config.TRAIN_BN`.

    Returns:
        list of five tensors, C1 to C5; C5 is None without `stage5`.
    """
    x = layers.ZeroPadding2D(3)(input_image)
    x = layers.Conv2D(64, 7, 2, name="conv1")(x)
    x = BatchNorm(train_bn, name="bn_conv1")(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    features = [x]
    blocks = {2: 3, 3: 4, 4: _STAGE4_BLOCKS[architecture], 5: 3}
    for stage in (2, 3, 4, 5) if stage5 else (2, 3, 4):
        width = 64 * 2 ** (stage - 2)
        filters = (width, width, 4 * width)
        strides = 1 if stage == 2 else 2
        x = conv_block(x, 3, filters, stage, "a", strides, train_bn=train_bn)
        for i in range(1, blocks[stage]):
            x = identity_block(x, 3, filters, stage, chr(ord("a") + i), train_bn=train_bn)
        features.append(x)
    return features if stage5 else [*features, None]


def build_backbone(backbone, images, train_bn):
    """Applies the backbone of a name or callable of `Config.BACKBONE` -> [C2, C3, C4, C5].

    Raises:
        ValueError: a callable returned anything but five feature maps of strides 2 to 32.
    """
    if not callable(backbone):
        return resnet_graph(images, backbone, stage5=True, train_bn=train_bn)[1:]
    features = list(backbone(images, stage5=True, train_bn=train_bn))
    if len(features) != 5:
        raise ValueError(
            f"BACKBONE {backbone} returned {len(features)} feature maps; expected [C1, ..., C5]"
        )
    for level, feature in zip((2, 3, 4, 5), features[1:], strict=True):
        for side, got in zip(images.shape[1:3], feature.shape[1:3], strict=True):
            if None not in (side, got) and side != got * 2**level:
                raise ValueError(
                    f"BACKBONE {backbone} returned C{level} of shape {tuple(feature.shape)} for "
                    f"images {tuple(images.shape)}; expected stride {2**level}"
                )
    return features[1:]


def fpn(features, channels):
    """Feature pyramid (arXiv:1612.03144): [C2, C3, C4, C5] -> [P2, P3, P4, P5, P6].

    Args:
        features: four tensors, finest first.
        channels: int, channels of every level.
    """
    c2, c3, c4, c5 = features
    p5 = layers.Conv2D(channels, 1, name="fpn_c5p5")(c5)
    tops = [p5]
    for level, feature in ((4, c4), (3, c3), (2, c2)):
        above = layers.UpSampling2D(2, name=f"fpn_p{level + 1}upsampled")(tops[0])
        lateral = layers.Conv2D(channels, 1, name=f"fpn_c{level}p{level}")(feature)
        tops.insert(0, layers.Add(name=f"fpn_p{level}add")([above, lateral]))
    pyramid = [
        layers.Conv2D(channels, 3, padding="same", name=f"fpn_p{level}")(top)
        for level, top in zip((2, 3, 4, 5), tops, strict=True)
    ]
    return [*pyramid, layers.MaxPooling2D(1, 2, name="fpn_p6")(pyramid[-1])]
