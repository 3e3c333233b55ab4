"""The feature pyramid on a backbone.

Shapes: B images, H W, C channels. The pyramid maps C2..C5 with strides 4, 8, 16, 32 to P2..P6 with
strides 4 to 64.
"""

from keras import layers

from mrcnn.network.norm import BatchNorm


def fpn(features, settings, style):
    """Feature pyramid (arXiv:1612.03144): [C2, C3, C4, C5] -> [P2, P3, P4, P5, P6].

    Args:
        features: four tensors, finest first.
        settings: `mrcnn.settings.Trunk`: channels of every level, and whether a BatchNorm follows
            each convolution.
        style: `ConvStyle` of the normalised convolutions.
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
