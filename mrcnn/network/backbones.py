"""Backbones: those with a name, and the caller's own.

Shapes: B images, H W, C channels. A backbone maps images [B, H, W, C] to C1..C5 with strides
2, 4, 8, 16, 32.
"""

from mrcnn.config_checks import KERAS_BACKBONES
from mrcnn.network.efficientnet import efficientnet_lite0_graph
from mrcnn.network.keras_applications import keras_graph
from mrcnn.network.resnet import resnet_graph


def build_backbone(images, settings, style, stage5=True):
    """Applies `Config.BACKBONE`, a name or a callable -> [C2, C3, C4, C5].

    Names are ours, or of `keras.applications`: see `keras_graph`.

    A callable is given `(images, stage5=..., train_bn=...)` and returns [C1, ..., C5]. Nothing
    uses C1: it may be None. `mrcnn.demo.small_backbone` is a short example.

    Args:
        images: float [B, H, W, C].
        settings: `mrcnn.settings.Trunk`.
        style: `ConvStyle`, of a backbone by name.
        stage5: bool, whether C5 is wanted; else it may be None.

    Raises:
        ValueError: a callable returned anything but five feature maps of strides 2 to 32.
    """
    backbone, train_bn = settings.backbone, settings.train_bn
    if callable(backbone):
        features = list(backbone(images, stage5=stage5, train_bn=train_bn))
        _check_features(backbone, features, images)
    elif backbone == "efficientnet_lite0":
        features = efficientnet_lite0_graph(images, stage5, train_bn, style=style)
    elif backbone in KERAS_BACKBONES:
        pixels, synchronized = settings.preset_pixels, style.norm == "sync_batch"
        features = keras_graph(images, backbone, stage5, train_bn, pixels, synchronized)
    else:
        features = resnet_graph(images, backbone, stage5, train_bn, style)
    return features[1:]


def _check_features(backbone, features, images):
    if len(features) != 5:
        raise ValueError(
            f"BACKBONE {backbone} returned {len(features)} feature maps; expected [C1, ..., C5]"
        )
    for level, feature in zip((2, 3, 4, 5), features[1:], strict=True):
        if feature is None and level == 5:
            continue
        for side, got in zip(images.shape[1:3], feature.shape[1:3], strict=True):
            if None not in (side, got) and side != got * 2**level:
                raise ValueError(
                    f"BACKBONE {backbone} returned C{level} of shape {tuple(feature.shape)} for "
                    f"images {tuple(images.shape)}; expected stride {2**level}"
                )
