"""What training steps need in memory: what is said before the first, and what XLA plans.

KERAS_BACKEND=jax python benchmarks/step_memory.py

ResNet-50 in torchvision's numerics, and the balloon configuration of benchmarks/train_balloon.py.
XLA tells what a compiled step will have at its peak besides the weights; on a GPU as elsewhere.
"""

import argparse

import machine
import keras

from mrcnn.data.generator import DataGenerator
from mrcnn.data.shapes import ShapesDataset
from mrcnn.model import MaskRCNN
from mrcnn.presets import PRESETS
from mrcnn.training.freezing import layer_regex_of
from mrcnn.training.step_memory import step_bytes

SMALL = {
    "BACKBONE": "efficientnet_lite0",
    "BATCH_NORM_EPSILON": 1e-3,
    "TOP_DOWN_PYRAMID_SIZE": 128,
    "RPN_CHANNELS": 128,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 512,
    "MASK_HEAD_CHANNELS": 128,
    "TRAIN_ROIS_PER_IMAGE": 128,
}
CASES = (  # keys, layers, images
    ({"IMAGE_MAX_DIM": 256, "TRAIN_ROIS_PER_IMAGE": 32}, "all", 2),
    ({"IMAGE_MAX_DIM": 512}, "all", 1),
    ({"IMAGE_MAX_DIM": 512}, "all", 2),
    ({"IMAGE_MAX_DIM": 512}, "heads", 2),
    ({"IMAGE_MAX_DIM": 512, "PRECISION": "mixed_bfloat16"}, "all", 2),
    ({"IMAGE_MAX_DIM": 1024}, "all", 1),
    ({"IMAGE_MAX_DIM": 512, **SMALL}, "all", 2),
)


def planned(model, batch):
    """Bytes of a compiled training step beside its weights and its batch, as XLA plans them."""
    import jax

    network = model.keras_model
    network.jax_state_sharding = None
    state = network._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
        purge_model_variables=False,
    )
    compiled = jax.jit(network.train_step, donate_argnums=0).lower(state, batch).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def measure(keys, layers, images):
    """Bytes that are said and that are planned, both beside weights and optimizer."""
    base = PRESETS["torchvision/maskrcnn_resnet50_fpn"]
    fixed = {"NAME": "x", "NUM_CLASSES": 4, "IMAGE_RESIZE_MODE": "square", "IMAGE_MIN_DIM": None}
    config = type("StepMemoryConfig", (base,), {**fixed, "IMAGES_PER_GPU": images, **keys})()
    model, side = MaskRCNN("training", config, "logs"), config.IMAGE_MAX_DIM
    model.set_trainable(layer_regex_of(layers), verbose=0)
    model.compile(0.001, 0.9)
    dataset = ShapesDataset()
    dataset.load_shapes(images, side, side)
    dataset.prepare()
    said = step_bytes(model.keras_model, images, (side, side))
    batch = DataGenerator(dataset, model.settings)[0]
    return said["gradients"] + said["features"], planned(model, batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    if keras.backend.backend() != "jax":
        parser.error("KERAS_BACKEND=jax is needed")
    print(machine.describe())
    for case in CASES:
        said, plan = (number / 2**20 for number in measure(*case))
        print(f"{case}: said {said:.0f} MiB, planned {plan:.0f} ({said / plan:.2f})", flush=True)


if __name__ == "__main__":
    main()
