"""What is Mask R-CNN C4's own, with numbers worked out by hand."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32
from tiny import TinyConfig, tiny_of

from mrcnn import layers, settings
from mrcnn.image import compose_image_meta
from mrcnn.model import MaskRCNN, MaskRCNNC4, create
from mrcnn.network import c4
from mrcnn.network.efficientnet import lite0_names
from mrcnn.network.named_weights import named_weights
from mrcnn.settings import Settings
from mrcnn.weights import names
from mrcnn.weights.names.layouts import by_shape

PRESET = "detectron2/mask_rcnn_R_50_C4_3x"


def test_all_anchors_lie_on_one_map():
    anchors = settings.Anchors(
        scales=((2, 4),), ratios=(1.0,), strides=(16,), anchor_stride=2, box_offset=1
    )
    assert anchors.level_scales == ((2, 4),) and anchors.per_location == 2
    found = layers.Anchors(anchors)(f32(np.zeros((1, 32, 64, 3))), [f32(np.zeros((1, 2, 4, 1)))])
    # Locations (0, 0) and (0, 32); of each, a square of 2 and one of 4.
    expected = [[-1, -1, 1, 1], [-2, -2, 2, 2], [-1, 31, 1, 33], [-2, 30, 2, 34]]
    assert_array_equal(found["pixels"], [expected])
    assert len(found["levels"]) == 1
    pyramid = settings.Anchors()  # of Mask R-CNN
    assert pyramid.level_scales[0] == (32,) and pyramid.per_location == 3


def test_rois_of_any_size_are_pooled_from_c4():
    # C4 of 64 x 64 pixels, whose values are its columns.
    feature = np.broadcast_to(np.arange(4.0)[:, None], (1, 4, 4, 1))
    meta = f32([compose_image_meta(0, (64, 64, 3), (64, 64, 3), (0, 0, 64, 64), 1, [1])])
    pooled = []
    made = Settings.from_config(tiny_of(PRESET))
    head = dataclasses.replace(made.box_head, pool_size=2)
    made = dataclasses.replace(made, box_head=head)
    trunk = {"pyramid": [f32(feature)], "input_image_meta": meta}
    heads = {"stage5": lambda x: pooled.append(x) or x}
    rois = f32([[[0, 0, 1, 1], [0.25, 0.25, 0.5, 0.5]]])
    c4.roi_features(made, trunk, heads, rois, "roi_align")
    # The image is 4 places wide: bins of 2, with samples at 0.5, 1.5, 2.5 and 3.5, half a place
    # less: (0 + 1) / 2 and (2 + 3) / 2. The other ROI is one place, from 1 to 2: bins of a half,
    # a sample at 1.25 and 1.75, half a place less.
    expected = [[[0.5, 2.5]] * 2, [[0.75, 1.25]] * 2]
    assert_allclose(pooled[0][0, ..., 0], expected, rtol=1e-6)


def test_the_box_head_takes_the_mean_of_stage_5():
    head = c4.box(settings.BoxHead(num_classes=2))
    x = keras.Input((1, 2, 2, 1))
    model = keras.Model(x, head(x))
    model.get_layer("mrcnn_class_logits").set_weights([np.array([[1.0, -2.0]]), np.zeros(2)])
    # (1 + 2 + 3 + 6) / 4 = 3
    found = model.predict_on_batch(np.array([1.0, 2, 3, 6], "float32").reshape(1, 1, 2, 2, 1))
    assert_allclose(found["mrcnn_class_logits"], [[[3, -6]]])


def test_stage_5_halves_and_is_shared():
    stage5 = c4.stage5(settings.BoxHead(channels=16, train_bn=False), settings.ConvStyle())
    boxes, masks = keras.Input((5, 14, 14, 8)), keras.Input((3, 14, 14, 8))
    model = keras.Model([boxes, masks], [stage5(boxes), stage5(masks)])
    assert [x.shape for x in model.outputs] == [(None, 5, 7, 7, 16), (None, 3, 7, 7, 16)]
    kernels = {name: w.shape for name, w in named_weights(model).items() if "kernel" in name}
    assert len(kernels) == 3 * 3 + 1  # three blocks, and the shortcut of the first
    assert kernels["res5a_branch2a/kernel"] == (1, 1, 8, 4)
    assert kernels["res5c_branch2c/kernel"] == (1, 1, 4, 16)


def test_anchors_of_the_files_are_put_in_our_order():
    # Of each anchor two outputs: scale and shape. Theirs: all shapes of a scale in turn.
    theirs = np.array([[s, r] for s in (0, 1, 2) for r in (0, 1)]).reshape(-1)
    ours = [[s, r] for r in (0, 1) for s in (0, 1, 2)]
    layout = by_shape(lambda array: array, 2, 2)
    assert layout(theirs).reshape(-1, 2).tolist() == ours
    kernel = np.stack([theirs, theirs + 10], axis=1)  # [outputs, inputs]
    assert layout(kernel)[:, 1].reshape(-1, 2).tolist() == (np.array(ours) + 10).tolist()


def test_a_backbones_own_stage_5_may_be_left_out():
    pattern = names.MASK_RCNN_C4.optional(Settings.from_config(tiny_of(PRESET)))
    ours = {theirs: ours for ours, theirs, _ in lite0_names()}
    for name in ours:
        own_stage_5 = ours[name].startswith(("block6", "block7"))
        assert (re.search(pattern, name) is not None) == own_stage_5, name


def test_what_c4_cannot_work_with(tmp_path):
    config = tiny_of(PRESET)
    config.POOL_SIZE = 7
    with pytest.raises(ValueError, match=r"POOL_SIZE is 7 and MASK_POOL_SIZE 7; .* twice"):
        config.validate()
    config.USE_MASK = False
    config.validate()
    config = TinyConfig()
    config.ARCHITECTURE = "c4"
    with pytest.raises(ValueError, match=r"BACKBONE_STRIDES is .*; the architecture 'c4' has"):
        create("inference", config, tmp_path)
    config = tiny_of(PRESET)
    config.USE_KEYPOINTS = True
    with pytest.raises(ValueError, match="USE_KEYPOINTS is True; the architecture 'c4' has False"):
        MaskRCNNC4("inference", config, tmp_path)
    config = TinyConfig()
    config.BACKBONE_STRIDES = [16]
    with pytest.raises(ValueError, match=r"BACKBONE_STRIDES is \[16\]; the .* 'mask_rcnn' has"):
        MaskRCNN("inference", config, tmp_path)


def test_faster_rcnn_on_c4_has_no_mask_head(tmp_path):
    config = tiny_of(PRESET)
    config.USE_MASK = False
    model = create("inference", config, tmp_path)
    assert type(model) is MaskRCNNC4
    assert not [name for name in named_weights(model.keras_model) if "mask" in name]
    assert set(model.graphs["detection"].output) == {"detections"}
    assert ops.shape(model.keras_model.output["rois"])[1:] == (16, 4)
