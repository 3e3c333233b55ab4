"""Which normalisation follows a convolution."""

import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_allclose, assert_array_equal

from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.network.efficientnet import inverted_bottleneck
from mrcnn.network.folding import FoldedConv, fold_batch_norm
from mrcnn.network.fpn import top_down
from mrcnn.network.heads import box_head, mask_head
from mrcnn.network.norm import BatchNorm, norm_layer
from mrcnn.network.resnet import resnet_stage
from mrcnn.settings import BoxHead, ConvStyle, MaskHead, Trunk

GROUP = ConvStyle(norm="group")


def test_by_default_it_is_the_batch_norm_of_before():
    made = norm_layer("bn1", 8, False, ConvStyle(epsilon=1e-5))
    assert type(made) is BatchNorm
    assert made.get_config() == BatchNorm(False, epsilon=1e-5, name="bn1").get_config()


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (48, 16), (40, 8), (8, 8)])
def test_groups_divide_the_channels(channels, groups):
    made = norm_layer("bn1", channels, None, GROUP)
    assert type(made) is layers.GroupNormalization
    assert (made.groups, made.epsilon, made.name) == (groups, 1e-5, "bn1")


def test_group_norm_is_of_one_image():
    # 64 channels, two a group: of 1 and 5 in a place the mean is 3, the deviation 2.
    x = np.tile([1.0, 5.0], 32).reshape(1, 1, 1, 64)
    x = np.concatenate([x, 100 * x]).astype("float32")
    found = norm_layer("bn1", 64, None, GROUP)(x, training=True)
    assert_allclose(found, np.tile([-1.0, 1.0], (2, 1, 1, 32)), rtol=1e-5)


def network(style):
    """Every kind of part that has a normalisation."""
    images = keras.Input((8, 8, 32))
    trunk = Trunk(pyramid_channels=32, pyramid_norm=True, train_bn=None)
    x = resnet_stage(5, 2, (32, 32, 64), train_bn=None, style=style)(images)
    x = inverted_bottleneck(x, 3, 1, 2, 64, "block1a", style=style)
    x = top_down([x], trunk, style)[0][:, None]
    head = BoxHead(num_classes=2, pool_size=4, channels=64, conv_layers=1, conv_channels=32)
    outputs = box_head(head, style)(x)
    head = MaskHead(num_classes=2, channels=32, conv_layers=1, class_agnostic=True)
    outputs |= mask_head(head, style)(x)
    return keras.Model(images, outputs)


def norms(model):
    kinds = (layers.BatchNormalization, layers.GroupNormalization)
    return {x.name: type(x) for x in model.layers if isinstance(x, kinds)}


def test_all_parts_have_the_norm_under_the_same_names():
    batch, group = network(ConvStyle()), network(GROUP)
    assert set(norms(batch).values()) == {BatchNorm}
    assert set(norms(group).values()) == {layers.GroupNormalization}
    assert list(norms(batch)) == list(norms(group))
    assert {"bn5a_branch1", "block1a_expand_bn", "fpn_p5_bn"} < set(norms(group))
    assert {"mrcnn_box_bn1", "mrcnn_class_bn2", "mrcnn_mask_bn1"} < set(norms(group))
    # Both have gamma and beta; only a BatchNorm has statistics.
    missing = {x.path for x in batch.weights} - {x.path for x in group.weights}
    assert {path.rsplit("/")[-1] for path in missing} == {"moving_mean", "moving_variance"}


def test_folding_leaves_group_norm_alone():
    model = network(GROUP)
    for i, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    folded = fold_batch_norm(model)
    assert norms(folded) == norms(model)
    assert not any(isinstance(layer, FoldedConv) for layer in folded.layers)
    images = np.random.default_rng(9).normal(size=(2, 8, 8, 32)).astype("float32")
    for name, array in model.predict_on_batch(images).items():
        assert_array_equal(folded.predict_on_batch(images)[name], array)


def test_one_mask_for_all_classes_is_one_channel():
    outputs = network(GROUP).output
    assert outputs["mrcnn_mask"].shape == outputs["mrcnn_mask_logits"].shape == (None, 1, 8, 8, 1)


def test_synchronized_on_one_device_is_batch_norm():
    plain = norm_layer("bn1", 4, None, ConvStyle())
    synchronized = norm_layer("bn1", 4, None, ConvStyle(norm="sync_batch"))
    # JAX's statistics are of the whole batch, wherever its parts lie.
    assert synchronized.synchronized == (keras.backend.backend() == "tensorflow")
    x = np.random.default_rng(0).normal(3, 2, (2, 4, 4, 4)).astype("float32")
    # The variance as a mean of squares less a squared mean: of some 13 - 9, 1e-6 each.
    assert_allclose(synchronized(x, training=True), plain(x, training=True), atol=1e-5)
    again = BatchNorm.from_config(synchronized.get_config())
    assert again.synchronized == synchronized.synchronized


# ---- weights of another normalisation


class SmallConfig(Config):
    """EfficientNet-Lite0 under small heads."""

    NAME = "small"
    NUM_CLASSES = 2
    BACKBONE = "efficientnet_lite0"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    TOP_DOWN_PYRAMID_SIZE = RPN_CHANNELS = MASK_HEAD_CHANNELS = 8
    FPN_CLASSIF_FC_LAYERS_SIZE = 64


class GroupConfig(SmallConfig):
    NORM = "group"


@pytest.mark.slow
def test_weights_of_another_norm_are_refused_in_a_sentence(tmp_path):
    batch = MaskRCNN("inference", SmallConfig(), tmp_path)
    group = MaskRCNN("inference", GroupConfig(), tmp_path)
    assert BatchNorm not in norms(group.keras_model).values()
    for theirs, ours, kind, norm in [
        (batch, group, "BatchNorm", "batch"),
        (group, batch, "GroupNorm", "group"),
    ]:
        path = tmp_path / f"{norm}.h5"
        theirs.save_weights(path)
        for by_name in (False, True):
            with pytest.raises(ValueError, match="of another normalisation") as raised:
                ours.load_weights(path, by_name=by_name)
            message = str(raised.value)
            assert f"the file was trained with {kind}: set NORM = '{norm}'" in message
            assert "by_name=True" not in message and len(message) < 2000
    report = group.load_weights(tmp_path / "batch.h5", exclude=["(.*_)?bn.*"])
    assert report["missing"] == report["unexpected"] == []
    assert "stem_bn/gamma" in report["excluded"] and "stem_conv/kernel" in report["loaded"]
