"""Heads and pyramids of the few settings that a test is about, the rest as small as it can be."""

from mrcnn import settings
from mrcnn.network import fpn as pyramid
from mrcnn.network import heads


def rpn_head(ratios, anchor_stride, in_channels, channels, conv_layers=1, init_std=None):
    trunk = settings.Trunk(
        rpn_channels=channels,
        rpn_conv_layers=conv_layers,
        rpn_init_std=init_std,
    )
    anchors = settings.Anchors(ratios=(1.0,) * ratios, anchor_stride=anchor_stride)
    return heads.rpn_head(trunk, anchors, in_channels)


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
    head = settings.BoxHead(
        num_classes=num_classes,
        pool_size=pool_size,
        channels=channels,
        train_bn=train_bn,
        conv_layers=conv_layers,
        conv_channels=conv_channels,
        fc_layers=fc_layers,
        fc_norm=fc_norm,
    )
    return heads.box_head(head, settings.ConvStyle(use_bias=use_bias, epsilon=epsilon))


def mask_head(num_classes, channels, train_bn, norm=True, use_bias=True, epsilon=1e-3):
    head = settings.MaskHead(
        num_classes=num_classes, channels=channels, train_bn=train_bn, norm=norm
    )
    made = heads.mask_head(head, settings.ConvStyle(use_bias=use_bias, epsilon=epsilon))
    return lambda pooled: made(pooled)["mrcnn_mask"]


def fpn(features, channels, norm=False, train_bn=None, style=None):
    trunk = settings.Trunk(pyramid_channels=channels, pyramid_norm=norm, train_bn=train_bn)
    return pyramid(features, trunk, style or settings.ConvStyle())
