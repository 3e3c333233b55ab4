"""The feature pyramid on a backbone.

Shapes: B images, H W, C channels. Pn has the stride of Cn, 2^n: C2..C5 become P2..P6 with strides 4
to 64, C3..C5 become P3..P7 with strides 8 to 128.
"""

from keras import layers

from mrcnn.network.norm import norm_layer


def top_down(features, settings, style):
    """The levels of a feature pyramid (arXiv:1612.03144): [..., C4, C5] -> [..., P4, P5].

    Args:
        features: tensors, finest first, C5 last.
        settings: `mrcnn.settings.Trunk`: channels of every level, and whether a normalisation
            follows each convolution.
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
        return norm_layer(f"{name}_bn", settings.pyramid_channels, settings.train_bn, style)(x)

    *finer, c5 = features
    tops = [conv(c5, 1, "fpn_c5p5")]
    for level, feature in zip((4, 3, 2), finer[::-1], strict=False):
        above = layers.UpSampling2D(2, name=f"fpn_p{level + 1}upsampled")(tops[0])
        lateral = conv(feature, 1, f"fpn_c{level}p{level}")
        tops.insert(0, layers.Add(name=f"fpn_p{level}add")([above, lateral]))
    return [conv(top, 3, f"fpn_p{level}") for level, top in enumerate(tops, 6 - len(tops))]


def fpn(features, settings, style):
    """[C2, C3, C4, C5] -> [P2, P3, P4, P5, P6], see `top_down`; P6 is every other place of P5."""
    pyramid = top_down(features, settings, style)
    return [*pyramid, layers.MaxPooling2D(1, 2, name="fpn_p6")(pyramid[-1])]


def retinanet_fpn(features, settings, style):
    """[C3, C4, C5] -> [P3, P4, P5, P6, P7] (arXiv:1708.02002), see `top_down`.

    P6 is a strided convolution of C5 or P5, as `settings.p6_from` says, and P7 one of P6.
    """
    pyramid = top_down(features, settings, style)

    def conv(x, name):
        padding = "same"
        if style.symmetric_padding:
            x, padding = layers.ZeroPadding2D(1)(x), "valid"
        return layers.Conv2D(settings.pyramid_channels, 3, 2, padding=padding, name=name)(x)

    p6 = conv({"C5": features[-1], "P5": pyramid[-1]}[settings.p6_from], "fpn_p6")
    return [*pyramid, p6, conv(layers.ReLU()(p6), "fpn_p7")]
