import sys

import keras
import numpy as np
import pytest
from keras import ops as kops
from numpy.testing import assert_allclose
from tensors import f32

from mrcnn import utils
from mrcnn.config import Config
from mrcnn.ops import box_area
from mrcnn.utils import batch_slice

# ---- the module


def test_utils_holds_no_code_of_its_own():
    for name in utils.__all__:
        value = getattr(utils, name)
        if name != "COCO_MODEL_URL":
            assert value.__module__ != "mrcnn.utils"
            assert getattr(sys.modules[value.__module__], name) is value
    public = {name for name in vars(utils) if not name.startswith("_")}
    assert public == set(utils.__all__)


def test_utils_needs_no_more_than_keras(run_python):
    output = run_python(
        "import sys, keras; before = set(sys.modules); from mrcnn import utils\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - {'mrcnn'})\n"
        "print(*{name for name in sys.modules if name.startswith('mrcnn.')})"
    )
    new, ours = (set(line.split()) for line in output.splitlines()[-2:])
    assert not new & {"matplotlib", "tensorboard", "imgaug"}  # as `pycocotools.coco` would bring
    assert "mrcnn.image.masks" in ours and not ours & {
        "mrcnn.model",
        "mrcnn.network",
        "mrcnn.visualize",
    }


def test_utils_loads_the_xml_reader_that_scripts_rely_on(run_python):
    code = "import mrcnn.utils, xml\nprint(xml.etree.ElementTree.fromstring('<a/>').tag)"
    assert run_python(code) == "a\n"


# ---- batch_slice


def area_and_top(boxes, shift):
    return box_area(boxes), boxes[:, 0] + shift


def test_batch_slice_of_one_result():
    # 2 x 3 and 1 x 1 in the first image, 4 x 5 and nothing in the second
    boxes = f32([[[0, 0, 2, 3], [1, 1, 2, 2]], [[0, 0, 4, 5], [0, 0, 0, 0]]])
    for inputs in (boxes, [boxes], (boxes,)):
        found = kops.convert_to_numpy(batch_slice(inputs, box_area, 2))
        assert found.tolist() == [[6, 1], [20, 0]]
    alone = batch_slice(boxes, lambda image: [box_area(image)], 2, names=["area"])
    assert kops.convert_to_numpy(alone).tolist() == [[6, 1], [20, 0]]


def test_batch_slice_of_two_inputs_and_results():
    boxes = f32([[[0, 0, 2, 3]], [[1, 0, 4, 5]]])
    areas, tops = batch_slice([boxes, f32([10, 20])], area_and_top, 2, names=["areas", "tops"])
    assert kops.convert_to_numpy(areas).tolist() == [[6], [15]]
    assert kops.convert_to_numpy(tops).tolist() == [[10], [21]]


def test_batch_slice_in_a_functional_model():
    inputs = [keras.Input((3, 4), batch_size=2), keras.Input((), batch_size=2)]
    outputs = batch_slice(inputs, area_and_top, 2)
    assert [tuple(output.shape) for output in outputs] == [(2, 3), (2, 3)]
    boxes = np.tile([[0.0, 0, 2, 3]], (2, 3, 1))
    areas, tops = keras.Model(inputs, outputs)([f32(boxes), f32([1, 2])])
    assert kops.convert_to_numpy(areas).tolist() == [[6] * 3] * 2
    assert kops.convert_to_numpy(tops).tolist() == [[1] * 3, [2] * 3]


# ---- refinement

NONE = np.zeros((0, 4))

# From the box of 2 x 4 at (0, 0) to 4 x 4 at (1, 2): centers (1, 2) and (3, 4), so dy = 2 / 2,
# dx = 2 / 4, dh = log(4 / 2), dw = log(4 / 4).
BOX, TARGET, DELTAS = [[0, 0, 2, 4]], [[1, 2, 5, 6]], [[1, 0.5, np.log(2), 0]]


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float64"])
def test_box_refinement(dtype):
    found = utils.box_refinement(np.array(BOX, dtype), np.array(TARGET, dtype))
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    assert_allclose(found, DELTAS, rtol=1e-6)


def test_apply_box_deltas():
    found = utils.apply_box_deltas(np.array(BOX), np.array(DELTAS))
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    assert_allclose(found, TARGET, rtol=1e-6)


def test_apply_box_deltas_inverts_box_refinement():
    rng = np.random.default_rng(4)
    low = rng.integers(0, 50, (2, 10, 2))
    boxes, targets = np.concatenate([low, low + rng.integers(1, 40, low.shape)], axis=2)
    found = utils.apply_box_deltas(boxes, utils.box_refinement(boxes, targets))
    assert_allclose(found, targets, atol=1e-4)


def test_refinement_of_no_boxes():
    assert utils.box_refinement(NONE, NONE).shape == (0, 4)
    assert utils.apply_box_deltas(NONE, NONE).shape == (0, 4)


def test_box_refinement_graph_of_integers():
    found = utils.box_refinement_graph(kops.convert_to_tensor(BOX), kops.convert_to_tensor(TARGET))
    assert kops.is_tensor(found)
    assert_allclose(kops.convert_to_numpy(found), DELTAS, rtol=1e-6)


def test_box_refinement_graph_in_a_functional_model():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, utils.box_refinement_graph(*inputs))
    assert_allclose(kops.convert_to_numpy(model([f32(BOX), f32(TARGET)])), DELTAS, rtol=1e-6)


# ---- masks


def test_mold_mask():
    class Mini(Config):
        MINI_MASK_SHAPE = (2, 2)

    class Whole(Config):
        USE_MINI_MASK = False

    mask = np.zeros((6, 8, 1), np.uint8)
    mask[1:5, 2:4] = 1
    mask[1:3, 4:6] = 1  # an L in the box (1, 2, 5, 6): three of its quarters
    assert utils.mold_mask(mask, Mini())[:, :, 0].tolist() == [[True, True], [True, False]]
    whole = utils.mold_mask(mask, Whole())
    assert whole.dtype == bool
    np.testing.assert_array_equal(whole, mask == 1)
    with pytest.raises(ValueError, match=r"received \[0, 0, 0, 0\] for instance 0"):
        utils.mold_mask(np.zeros((6, 8, 1), bool), Mini())
