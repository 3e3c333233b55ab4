"""Backbones by name, and the feature pyramid on them.

Shapes: B images, H W, C channels. A backbone maps images [B, H, W, C] to C1..C5 with strides
2, 4, 8, 16, 32; the pyramid maps C2..C5 to P2..P6 with strides 4 to 64.
"""

from keras import layers

from mrcnn.network.efficientnet import efficientnet_lite0_graph
from mrcnn.network.norm import BatchNorm
from mrcnn.network.resnet import resnet_graph


def build_backbone(images, settings, style):
    """Applies the backbone of a name or callable of `Config.BACKBONE` -> [C2, C3, C4, C5].

    Args:
        images: float [B, H, W, C].
        settings: `mrcnn.settings.Trunk`.
        style: `ResNetStyle`, of a backbone by name.

    Raises:
        ValueError: a callable returned anything but five feature maps of strides 2 to 32.
    """
    backbone, train_bn = settings.backbone, settings.train_bn
    if backbone == "efficientnet_lite0":
        return efficientnet_lite0_graph(images, train_bn=train_bn, epsilon=style.epsilon)[1:]
    if not callable(backbone):
        return resnet_graph(images, backbone, stage5=True, train_bn=train_bn, style=style)[1:]
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


def fpn(features, settings, style):
    """Feature pyramid (arXiv:1612.03144): [C2, C3, C4, C5] -> [P2, P3, P4, P5, P6].

    Args:
        features: four tensors, finest first.
        settings: `mrcnn.settings.Trunk`: channels of every level, and whether a BatchNorm follows
            each convolution.
        style: `ResNetStyle` of the normalised convolutions.
    """
    norm = settings.pyramid_norm

    def conv(x, kernel, name):
        bias = style.use_bias or not norm
        x = layers.Conv2D(
            settings.pyramid_channels, kernel, padding="same", use_bias=bias, name=name
        )(x)
        if not norm:
            return x
        return BatchNorm(settings.train_bn, epsilon=style.epsilon, name=f"{name}_bn")(x)

    c2, c3, c4, c5 = features
    tops = [conv(c5, 1, "fpn_c5p5")]
    for level, feature in ((4, c4), (3, c3), (2, c2)):
        above = layers.UpSampling2D(2, name=f"fpn_p{level + 1}upsampled")(tops[0])
        lateral = conv(feature, 1, f"fpn_c{level}p{level}")
        tops.insert(0, layers.Add(name=f"fpn_p{level}add")([above, lateral]))
    pyramid = [conv(top, 3, f"fpn_p{level}") for level, top in zip((2, 3, 4, 5), tops, strict=True)]
    return [*pyramid, layers.MaxPooling2D(1, 2, name="fpn_p6")(pyramid[-1])]
