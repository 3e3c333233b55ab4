"""The formats of exported files: what each can, needs, and is written and read by."""

import dataclasses
import importlib
import importlib.util
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        runtime: str, what runs its files, as messages name it.
        suffix: str, of its files; "" where it is a folder.
        module: str, the module of this package with `write(model, path, metadata, stages=False)`
            and `open_file(path)`: see `mrcnn.export.saved_model`.
        packages: dict of the modules that it needs: what they are called to pip.
        reads: names of those that reading needs.
        parts: str, what belongs to a file beside it, as messages name it.
        any_size: bool, whether a file can take images of any size.
        most_sizes: int, how many listed sizes a file can have instead; 0: it always takes any.
        full_masks: bool, whether it can paste masks into the image.
        half_precision: bool, whether it holds networks of another `PRECISION` than float32.
        loops: bool, whether it holds loops, whose ends depend on values.
        adaptive_pooling: bool, whether it holds RoIAlign with as many samples as each box needs:
            searches, and sums at indices that repeat.
        int8: str, the module of this package that makes a file of 8 bits of one of float32, by
            `quantize(source, path, metadata, count, load)`; "" where there is none.
    """

    runtime: str
    suffix: str
    module: str
    packages: dict = dataclasses.field(default_factory=dict)
    reads: tuple = ()
    parts: str = ""
    any_size: bool = True
    most_sizes: int = 1
    full_masks: bool = False
    half_precision: bool = False
    loops: bool = True
    adaptive_pooling: bool = True
    int8: str = ""

    def load(self):
        """The module that writes and reads it."""
        return importlib.import_module(f"mrcnn.export.{self.module}")

    def load_int8(self):
        """The module of its int8."""
        return importlib.import_module(f"mrcnn.export.{self.int8}")


FORMATS = {
    "saved_model": Format(
        "TensorFlow", "", "saved_model", most_sizes=0, full_masks=True, half_precision=True
    ),
    "onnx": Format(
        "ONNX Runtime",
        ".onnx",
        "onnx_file",
        {"onnx": "onnx", "tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
        ("onnxruntime",),
        full_masks=True,
    ),
    "openvino": Format(
        "OpenVINO",
        ".xml",
        "openvino_file",
        {"onnx": "onnx", "tf2onnx": "tf2onnx", "openvino": "openvino"},
        ("openvino",),
        " with its .bin beside it",
        loops=False,
        int8="openvino_int8",
    ),
    "litert": Format(
        "LiteRT",
        ".tflite",
        "litert_file",
        {"ai_edge_litert": "ai-edge-litert"},
        ("ai_edge_litert",),
        any_size=False,
        most_sizes=100,
        adaptive_pooling=False,
    ),
}


def format_of(path):
    """The name of the format of what lies at a path, by its suffix or content; None: of none."""
    path = Path(path)
    if path.is_dir():
        return "saved_model" if (path / "saved_model.pb").is_file() else None
    suffixes = {each.suffix: name for name, each in FORMATS.items() if each.suffix}
    return suffixes.get(path.suffix) if path.is_file() else None


def check_packages(name, reading=False, int8=False):
    """Raises ImportError where packages that a format needs are missing."""
    wanted = FORMATS[name].packages | ({"nncf": "nncf"} if int8 else {})
    modules = FORMATS[name].reads if reading else wanted
    missing = [wanted[each] for each in modules if importlib.util.find_spec(each) is None]
    if missing:
        extras = "export,int8" if int8 else "export"
        raise ImportError(
            f"format {name} needs {', '.join(missing)}: pip install 'mrcnn[{extras}]', or "
            f"pip install '.[{extras}]' in a clone",
            name=missing[0],
        )
