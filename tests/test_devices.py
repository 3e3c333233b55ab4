"""Several devices: the losses, weights and detections of one."""

import json
import os

import keras
import pytest
from tiny import TinyConfig

from mrcnn.model import MaskRCNN
from mrcnn.parallel import devices_for

HERE = os.path.dirname(__file__)
DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


def test_tensorflow_refuses_several_devices_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    assert devices_for(1).count == 1
    with pytest.raises(ValueError, match=r"GPU_COUNT is 2 and the backend tensorflow.*depend on"):
        devices_for(2)
    config = TinyConfig()
    config.GPU_COUNT = 2
    with pytest.raises(ValueError, match=r"Set KERAS_BACKEND=jax for several devices, or GPU_C"):
        MaskRCNN("inference", config, tmp_path)


BY_IMAGE = """
import re
import jax, keras, numpy as np
from mrcnn.ops import gather, nms, top_k
from mrcnn.ops.by_image import on_devices
from mrcnn.parallel import devices_for

try:
    devices_for(9)
except ValueError as error:
    assert "GPU_COUNT is 9; expected at most the 8 of this machine" in str(error), error

# Two of three columns of each of three images, on two devices: one of them has an image more.
values = np.arange(9, dtype="float32").reshape(3, 3)
index = np.array([[2, 0], [1, 1], [0, 2]], "int32")
boxes = np.array([[[0, 0, 2, 2], [0, 0, 2, 1.9], [4, 4, 5, 5]]] * 3, "float32")
mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("images",))

def run(values, index, boxes):
    return gather(values, index), top_k(values, 2), nms(boxes, values, 3, 0.5)

with on_devices(mesh):
    taken, (best, place), kept = jax.jit(run)(values, index, boxes)
np.testing.assert_array_equal(taken, [[2, 0], [4, 4], [6, 8]])
np.testing.assert_array_equal(best, [[2, 1], [5, 4], [8, 7]])
np.testing.assert_array_equal(place, [[2, 1]] * 3)
# The third box has the best score, then the second, whose IoU with the first is 3.8 / 4.
np.testing.assert_array_equal(kept, [[2, 1, -1]] * 3)

# No device is sent what another one has.
split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("images"))
four = [np.concatenate([x, x[:1]]) for x in (values, index, boxes)]
with on_devices(mesh):
    text = jax.jit(run, in_shardings=split).lower(*four).compile().as_text()
assert not re.search("all-gather|all-reduce|all-to-all|collective-permute", text)
print("as one")
"""


def test_an_image_is_taken_by_the_device_that_has_it(run_python):
    assert "as one" in run_python(BY_IMAGE, backend="jax", **DEVICES)


STEPS = """
import json, sys
sys.path.insert(0, HERE)
import keras, numpy as np
from test_max_deeplab import TinyConfig as TinyMaXDeepLab
from test_panoptic_data import grounds
from test_panoptic_models import config_of
from tiny import TinyConfig, corners, tiny_of
from mrcnn.model import create

PANOPTIC = {"panoptic_fpn": lambda: config_of("panoptic_fpn"), "max_deeplab": TinyMaXDeepLab}

BASE, KEYS, STEPS = json.loads(OPTIONS)

def train(count):
    # Fifteen images in batches of eight: the last has seven, one fewer than there are devices.
    keys = {"GPU_COUNT": count, "BATCH_SIZE": 8, "INCLUDE_EMPTY_IMAGES": True, **KEYS}
    config = {"tiny": TinyConfig, **PANOPTIC}.get(BASE, lambda: tiny_of(BASE))()
    vars(config).update(keys)
    model = create("training", config, "unused")
    model.set_trainable(".*", verbose=0)
    model.compile(0.01, 0.9)
    data = (grounds if BASE in PANOPTIC else corners)(15)
    for image_id in range(0, 15, 3):  # images without objects
        data.image_info[image_id]["shapes"] = []
    generator = model.generator_type(data, model.settings)
    losses = []
    with model.devices.tracing():
        for step in range(STEPS):
            generator.epoch, index = divmod(step, len(generator))
            (inputs,) = generator[index]
            placed = model.devices.place(inputs, generator.images_of(index))
            losses.append(model.keras_model.train_on_batch(*placed, return_dict=True))
    weights = [(v.path, np.array(v)) for v in model.keras_model.variables]
    found = model.detect([data.load_image(i) for i in (1, 2, 4)])
    return losses, weights, found

one, many = train(1), train(8)
for step, (a, b) in enumerate(zip(one[0], many[0], strict=True)):
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-4, err_msg=f"{name} {step}")
for (path, a), (_, b) in zip(one[1], many[1], strict=True):
    # A bias before BatchNorm has a gradient of rounding errors alone.
    np.testing.assert_allclose(b, a, rtol=1e-4, atol=ATOL * max(1, abs(a).max()), err_msg=path)
for a, b in zip(one[2], many[2], strict=True):
    assert a.keys() == b.keys()
    np.testing.assert_array_equal(a["class_ids"], b["class_ids"])
    np.testing.assert_allclose(a["boxes"], b["boxes"], atol=1e-2)
    np.testing.assert_allclose(a["scores"], b["scores"], atol=1e-4)
    if "segmentation" in a:
        assert np.mean(a["segmentation"] == b["segmentation"]) > 0.999
    if "keypoints" in a:
        np.testing.assert_allclose(b["keypoints"], a["keypoints"], atol=1e-2)
print("as one")
"""


# Losses are as one to 2e-6 until the order of a sum decides which ROI is taken: of hard ones in the
# ninth step, of Panoptic FPN in the tenth.
BEFORE_A_TIE = 8


def steps(run_python, base="tiny", count=10, atol=1e-5, **keys):
    code = STEPS.replace("HERE", repr(HERE)).replace("ATOL", str(atol))
    code = code.replace("OPTIONS", repr(json.dumps([base, keys, count])))
    quick = f"{DEVICES['XLA_FLAGS']} --xla_backend_optimization_level=0"
    return run_python(code, backend="jax", XLA_FLAGS=quick)


@pytest.mark.slow
def test_ten_steps_on_eight_devices_are_those_on_one(run_python):
    assert "as one" in steps(run_python)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("base", "keys"),
    [
        ("tiny", {"TRAIN_BN": True, "NORM": "sync_batch"}),
        ("tiny", {"count": BEFORE_A_TIE, "OHEM_ROIS_PER_IMAGE": 6}),
        ("tiny", {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_BUCKETS": ((64, 64), (64, 128))}),
        ("detectron2/mask_rcnn_R_50_FPN_3x", {}),
        ("detectron2/cascade_mask_rcnn_R_50_FPN_3x", {}),
        ("detectron2/keypoint_rcnn_R_50_FPN_3x", {}),
        ("torchvision/retinanet_resnet50_fpn_v2", {}),
        ("panoptic_fpn", {"count": BEFORE_A_TIE}),
        ("max_deeplab", {}),
    ],
)
def test_so_are_they_of_other_networks(base, keys, run_python):
    assert "as one" in steps(run_python, base, **keys)
