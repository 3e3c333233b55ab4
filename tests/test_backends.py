"""TensorFlow, its XLA compiler and JAX run the same code to the same numbers, each in a process
of its own."""

import functools
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyConfig, tiny_of, with_keypoints

from mrcnn.model import create

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import keras
import numpy as np
from test_backends import numerics_of
from tiny import corners
from mrcnn.network.norm import BatchNorm
from mrcnn.data import DataGenerator
from mrcnn.model import create
from mrcnn.network.named_weights import named_weights

KEYS = {{
    # The statistics of 2 x 2 features of two images amplify rounding a thousandfold in gradients.
    "TRAIN_BN": False,
    "SEED": None,
    "JIT_COMPILE": {jit},
    # Nothing is drawn: every labelled anchor and every proposal takes part.
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 5000,
    "TRAIN_ROIS_PER_IMAGE": 1000,
    "ROI_FILL_NEGATIVES": True,
}}
assert keras.backend.backend() == {backend!r}
data = corners(2)
for numerics in {numerics!r}:
    config = numerics_of(numerics)
    vars(config).update(KEYS)
    model = create("training", config, {folder!r})
    model.load_weights({folder!r} + "/" + numerics.replace("/", "-") + ".h5")
    (batch,) = DataGenerator(data, config, shuffle=False)[0]
    model.set_trainable(".*", verbose=0)
    model.compile(0.01, 0.9)
    found = model.detect([data.load_image(i) for i in (0, 1)])
    losses = model.keras_model.train_on_batch(batch, return_dict=True)
    out = {{f"loss/{{k}}": np.asarray(v) for k, v in losses.items()}}
    for i, result in enumerate(found):
        out.update({{f"detect{{i}}/{{k}}": v for k, v in result.items()}})
    for name, weight in named_weights(model.keras_model).items():
        out["weight/" + name] = weight.numpy()
    norm = BatchNorm()
    pixels = np.random.default_rng(0).normal(2, 5, (4, 8, 8, 3)).astype("float32")
    out["norm/output"] = np.asarray(norm(pixels, training=True))
    out.update({{"norm/" + w.name: w.numpy() for w in norm.weights}})
    np.savez({output!r} + numerics.replace("/", "-"), **out)
"""
# Each group is built in one process of a backend.
GROUPS = [
    ("matterport",),
    (
        "torchvision/maskrcnn_resnet50_fpn",
        "detectron2/cascade_mask_rcnn_R_50_FPN_3x",
        "detectron2/mask_rcnn_R_50_C4_3x",
        "torchvision/retinanet_resnet50_fpn_v2",
    ),
]
CASES = [
    pytest.param(i, numerics, id=numerics, marks=[pytest.mark.thorough] * i)
    for i, group in enumerate(GROUPS)
    for numerics in group
]


def numerics_of(name):
    """matterport's with masks; of the others, those that can have keypoints have them too."""
    if name == "matterport":
        return TinyConfig()
    config = tiny_of(name)
    takes_keypoints = config.ARCHITECTURE in ("mask_rcnn", "cascade_rcnn")
    return with_keypoints(config) if takes_keypoints else config


@pytest.fixture(scope="module")
def outcomes(run_python, tmp_path_factory):
    """Function of a group's index to arrays by name of TensorFlow, its XLA and JAX, by numerics."""

    @functools.cache
    def run(i):
        group, folder = GROUPS[i], tmp_path_factory.mktemp("backends")
        for each in group:
            model = create("inference", numerics_of(each), folder)
            model.save_weights(folder / f"{each.replace('/', '-')}.h5")
        runs = [("tensorflow", False), ("tensorflow", True), ("jax", False)]
        for backend, jit in runs:
            code = PROGRAM.format(
                tests=str(Path(__file__).parent),
                backend=backend,
                jit=jit,
                numerics=group,
                folder=str(folder),
                output=str(folder / f"{backend}-{jit}-"),
            )
            run_python(code, backend)
        files = [[f"{run[0]}-{run[1]}-{x.replace('/', '-')}.npz" for run in runs] for x in group]
        found = ([dict(np.load(folder / name)) for name in names] for names in files)
        return dict(zip(group, found, strict=True))

    return run


@pytest.mark.parametrize(("group", "numerics"), CASES)
def test_detection_and_a_training_step_agree(outcomes, group, numerics):
    plain, xla, jax = outcomes(group)[numerics]
    assert len(plain["detect0/rois"]) > 0
    assert plain["loss/loss"] > 0
    for other in (xla, jax):
        assert set(other) == set(plain)
        for name, array in plain.items():
            np.testing.assert_allclose(array, other[name], atol=1e-4, rtol=1e-4, err_msg=name)


THREADS = """
import sys
sys.path.insert(0, {tests!r})
import threading
import keras
import numpy as np
from tiny import TinyConfig
from mrcnn.model import MaskRCNN

assert keras.backend.backend() == {backend!r}
model = MaskRCNN("inference", TinyConfig(), {folder!r})
rng = np.random.default_rng(0)
images = [rng.integers(0, 256, (8 * i + 30, 60, 3), np.uint8) for i in range(8)]
alone = [model.detect([image])[0] for image in images]
right, errors = [], []

def serve(i):
    for _ in range(3):
        try:
            found = model.detect([images[i]])[0]
            right.append(all(np.array_equal(found[key], alone[i][key]) for key in found))
        except Exception as error:
            errors.append(repr(error))

threads = [threading.Thread(target=serve, args=(i,)) for i in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(right), sum(right), errors, len(alone[0]["rois"]) > 0)
"""


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.thorough)])
def test_eight_threads_detect_what_one_does(run_python, tmp_path, backend):
    tests = str(Path(__file__).parent)
    code = THREADS.format(tests=tests, backend=backend, folder=str(tmp_path))
    assert run_python(code, backend).splitlines()[-1] == "24 24 [] True"


@pytest.mark.thorough
def test_detectron2_detects_on_jax(run_python, tmp_path):
    # Adaptive samples, open sides and per-class detections, compiled by XLA.
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import keras
from tiny import shapes, tiny_of
from mrcnn.model import MaskRCNN

assert keras.backend.backend() == "jax"
image = shapes(1).load_image(0)
model = MaskRCNN("inference", tiny_of("detectron2/mask_rcnn_R_50_FPN_3x"), {str(tmp_path)!r})
print(model.settings.pooling.sampling_ratio, len(model.detect([image])[0]["rois"]) > 0)
"""
    assert run_python(code, "jax").splitlines()[-1] == "0 True"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("file", "tests", "passed"),
    [
        ("test_golden_torch.py", "maskrcnn_resnet50_fpn and not v2", 6),
        ("test_max_deeplab.py", "deeplab2s", 2),
    ],
)
def test_published_weights_give_their_numbers_on_jax(run_python, file, tests, passed):
    path = str(Path(__file__).parent / file)
    code = f"""
import sys
import keras
import pytest
assert keras.backend.backend() == "jax"
only = ["-k", {tests!r}]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *only, {path!r}]))
"""
    assert f"{passed} passed" in run_python(code, "jax")


def test_losses_by_overlap_and_hard_rois_on_jax(run_python):
    files = [str(Path(__file__).parent / f"test_{name}.py") for name in ("hard_rois", "box_losses")]
    code = f"""
import sys
import keras
import pytest
assert keras.backend.backend() == "jax"
only = ["-k", "chosen or others_do_not or finite_differences or boxes_of_rois"]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *only, *{files!r}]))
"""
    assert "19 passed" in run_python(code, "jax")
