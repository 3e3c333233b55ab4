"""Exports beside `detect` on 20 pictures of five sizes, each run by its runtime alone.

python benchmarks/exported.py torchvision/maskrcnn_resnet50_fpn=weights.pth --out DIR

A model is PRESET=FILE. Each format is written without its own comparison, and a process that
imports the runtime and NumPy, not this package, runs the file; what it finds is compared here.
Equal is what `mrcnn export` calls equal, see `mrcnn.export.verifying`. The exit code is 1 where a
picture is not, or a row failed.
"""

import argparse
import json
import subprocess
import sys
import warnings
from pathlib import Path

import machine
import keras
import numpy as np
from skimage import data, transform

from mrcnn.config_values import apply_assignments
from mrcnn.export import FORMATS, export
from mrcnn.export.verifying import difference, paired
from mrcnn.image.pasting import PASTERS
from mrcnn.model import create
from mrcnn.presets import PRESETS

SIZES = [(480, 640), (640, 480), (427, 640), (512, 512), (301, 451)]
# Of a file, its format and the pictures in argv, to what was found.
RUN = """
import sys
import numpy as np
path, name, given, out = sys.argv[1:]
if name == "saved_model":
    import tensorflow as tf
    model = tf.saved_model.load(path)
    signature = model.signatures["serving_default"]
    def run(images):
        found = signature(image_tensor=tf.constant(images))
        return {key: value.numpy() for key, value in found.items()}
elif name == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    def run(images):
        return dict(zip(names, session.run(names, {"image_tensor": images})))
elif name == "openvino":
    import openvino
    model = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    def run(images):
        found = model({"image_tensor": images}).items()
        return {key: array.copy() for output, array in found for key in output.names}
else:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path)
    def run(images):
        height, width = images.shape[1:3]
        return interpreter.get_signature_runner(f"detect_{height}x{width}")(image_tensor=images)
found = {}
with np.load(given) as pictures:
    for key, image in pictures.items():
        found |= {f"{key}/{name}": array[0] for name, array in run(image[None]).items()}
np.savez(out, **found)
assert not {"mrcnn", "keras"} & set(sys.modules) or name == "saved_model"
assert "mrcnn" not in sys.modules
"""


def pictures(count):
    """Photos of scikit-image, each of the five sizes in turn: uint8 [H, W, 3]."""
    photos = [data.astronaut(), data.coffee(), data.chelsea(), data.astronaut()[::-1]]
    found = []
    for i in range(count):
        size, photo = SIZES[i % len(SIZES)], photos[i // len(SIZES) % len(photos)]
        scaled = transform.resize(photo, size, anti_aliasing=True)
        found.append(np.rint(255 * scaled).astype(np.uint8))
    return found


def build(preset, weights, assignments):
    config = PRESETS[preset]()
    config.IMAGES_PER_GPU = 1
    apply_assignments(config, assignments)
    model = create("inference", config, "logs")
    model.load_weights(weights)
    return model


def result_of(outputs, shape, paste):
    """What a file found in a picture, as `detect` returns it.

    Args:
        outputs: dict of arrays, a row of each output of the file.
        shape: (height, width) of the picture.
        paste: key of `PASTERS`.
    """
    count = int(outputs["num_detections"])
    found = {name: outputs[f"detection_{name}"][:count] for name in ("boxes", "scores", "classes")}
    found["class_ids"] = found.pop("classes")
    if "detection_masks" in outputs:
        found["masks"] = np.zeros((*shape, count), bool)
        for i, box in enumerate(found["boxes"]):
            place = np.around(box).astype(int) if paste == "resize" else box
            PASTERS[paste](found["masks"][:, :, i], outputs["detection_masks"][i], place)
    return found


def compare(model, images, name, folder):
    """Writes a file and compares it: a dict of its numbers, or of the error."""
    path = folder / f"model{FORMATS[name].suffix}"
    sizes = list(dict.fromkeys(x.shape[:2] for x in images)) if name == "litert" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not compared
        export(model, path, name, sizes=sizes, verify=False)
    given, out = folder / "pictures.npz", folder / f"{name}.npz"
    np.savez(given, *images)
    subprocess.run([sys.executable, "-c", RUN, path, name, given, out], check=True)
    settings = model.settings.detections
    numbers = {"pictures": len(images), "equal_pictures": 0, "detections": 0, "without_equal": 0}
    with np.load(out) as found:
        for i, image in enumerate(images):
            prefix = f"arr_{i}/"
            outputs = {k[len(prefix) :]: x for k, x in found.items() if k.startswith(prefix)}
            (wanted,) = model.detect([image])
            result = result_of(outputs, image.shape[:2], settings.mask_paste)
            numbers["equal_pictures"] += difference(wanted, result, settings) is None
            numbers["detections"] += max(len(x["scores"]) for x in (wanted, result))
            numbers["without_equal"] += paired(wanted, result, settings)[1]
    return numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="PRESET=FILE|KEY=VALUE")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--out", default="exported", help="folder of the files")
    args = parser.parse_args()

    images = pictures(args.pictures)
    models = [text for text in args.models if text.partition("=")[0] in PRESETS]
    assignments = [text for text in args.models if text not in models]
    print(json.dumps(machine.describe()), flush=True)
    failed = False
    for text in models:
        preset, _, weights = text.partition("=")
        model = build(preset, weights, assignments)
        folder = Path(args.out) / preset.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for name in args.formats:
            try:
                found = compare(model, images, name, folder)
            except Exception as error:  # each runtime has exceptions of its own
                found = {"failed": f"{type(error).__name__}: {error}"}
            print(preset, name, json.dumps(found), flush=True)
            failed |= found.get("equal_pictures") != len(images)
        keras.backend.clear_session()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
