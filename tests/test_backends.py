"""TensorFlow and JAX run the same code to the same numbers, each in a process of its own."""

import numpy as np

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import keras
import numpy as np
from tiny import TinyConfig, shapes
from mrcnn.data import DataGenerator
from mrcnn.model import MaskRCNN
from mrcnn.weights import named_weights

class TestConfig(TinyConfig):
    ROI_ALIGN_MODE = {mode!r}
    SEED = None
    # Nothing is drawn: every labelled anchor and every proposal takes part.
    RPN_TRAIN_ANCHORS_PER_IMAGE = 5000
    TRAIN_ROIS_PER_IMAGE = 1000
    ROI_FILL_NEGATIVES = True

assert keras.backend.backend() == {backend!r}
model = MaskRCNN("training", TestConfig(), {folder!r})
model.load_weights({weights!r})
data = shapes(2)
(batch,) = DataGenerator(data, TestConfig(), shuffle=False)[0]
model.set_trainable(".*", verbose=0)
model.compile(0.01, 0.9)
found = model.detect([data.load_image(i) for i in (0, 1)])
losses = model.keras_model.train_on_batch(batch, return_dict=True)
out = {{f"loss/{{k}}": np.asarray(v) for k, v in losses.items()}}
for i, result in enumerate(found):
    out.update({{f"detect{{i}}/{{k}}": v for k, v in result.items()}})
for name, weight in named_weights(model.keras_model).items():
    out["weight/" + name] = weight.numpy()
np.savez({output!r}, **out)
"""


def test_detection_and_a_training_step_agree(run_python, tmp_path):
    from pathlib import Path

    from tiny import TinyConfig

    from mrcnn.model import MaskRCNN

    weights = str(tmp_path / "tiny.h5")
    MaskRCNN("inference", TinyConfig(), tmp_path).save_weights(weights)
    for mode in ("crop_and_resize", "roi_align"):
        results = {}
        for backend in ("tensorflow", "jax"):
            output = str(tmp_path / f"{mode}-{backend}.npz")
            code = PROGRAM.format(
                tests=str(Path(__file__).parent),
                mode=mode,
                backend=backend,
                folder=str(tmp_path),
                weights=weights,
                output=output,
            )
            run_python(code, backend)
            results[backend] = dict(np.load(output))
        tensorflow, jax = results["tensorflow"], results["jax"]
        assert set(tensorflow) == set(jax)
        assert len(tensorflow["detect0/rois"]) > 0
        assert tensorflow["loss/mrcnn_mask_loss"] > 0
        for name, array in tensorflow.items():
            np.testing.assert_allclose(array, jax[name], atol=1e-4, rtol=1e-4, err_msg=name)
