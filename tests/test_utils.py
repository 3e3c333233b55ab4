import sys

import keras
import numpy as np
import pytest
from keras import ops as kops
from tensors import f32

from mrcnn import utils
from mrcnn.data import Dataset
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
    assert not new & {"matplotlib", "pycocotools", "tensorboard", "imgaug"}
    assert "mrcnn.image.masks" in ours and not ours & {
        "mrcnn.model",
        "mrcnn.network",
        "mrcnn.visualize",
    }


def test_utils_loads_the_xml_reader_that_scripts_rely_on(run_python):
    code = "import mrcnn.utils, xml\nprint(xml.etree.ElementTree.fromstring('<a/>').tag)"
    assert run_python(code) == "a\n"


def test_image_ids_cannot_be_set_past_prepare():
    dataset = Dataset()
    for i in range(3):
        dataset.add_image("a", i, f"{i}.png")
    dataset.prepare()
    assert dataset.image_ids.tolist() == [0, 1, 2]
    with pytest.raises(AttributeError):
        dataset.image_ids = [1]


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
