"""Models as files of other runtimes, which take uint8 images and return what `detect` finds.

- `exporting`: `export`; `int8`: `export_int8`, by `openvino_int8`.
- `formats`: what each format can; `metadata`: what a file says of itself.
- `serving`: what a file computes, of `graph_molding`, `graph_resizing`, `graph_unmold`: what
  `mrcnn.image` and `mrcnn.inference.unmold` do in NumPy, in TensorFlow's graph.
- `saved_model`, `onnx_file`, `openvino_file`, `litert_file`: each writes and opens its format;
  `onnx_kernels`, `litert_kernels`, `graph_indexing`: what their graphs have in place of functions
  of `mrcnn.ops`, see `mrcnn.ops.native`.
- `verifying`: whether a file finds what its model finds; `stages`: where it does not.
- `exported_model`: `ExportedModel`, a file in place of a model.
"""

from mrcnn.export.exported_model import ExportedModel
from mrcnn.export.exporting import check_export, export
from mrcnn.export.formats import FORMATS, format_of
from mrcnn.export.int8 import export_int8
from mrcnn.export.verifying import ExportError

__all__ = [
    "FORMATS",
    "ExportError",
    "ExportedModel",
    "check_export",
    "export",
    "export_int8",
    "format_of",
]
