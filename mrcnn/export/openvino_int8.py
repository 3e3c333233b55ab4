"""int8 of an OpenVINO file: its layers in 8 bits by NNCF, all around them in float32.

Layers are convolutions and products with weights. What lies between two of them, activations, sums
and pooling, may take 8 bits with them. The last ones, whose outputs are scores, boxes and masks,
the pixels before the first and the arithmetic of boxes stay float32.
"""

import contextlib
import logging
import sys

from mrcnn.export.metadata import KEY

_LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
# Operations whose first input alone is values, not places in them.
_PLACES = ("ROIAlign", "Gather", "GatherND", "GatherElements", "ScatterNDUpdate")
# Behind these come choices, sizes and places.
_CHOICES = ("TopK", "NonMaxSuppression", "ShapeOf", "NonZero")


def quantize(source, path, metadata, count, load):
    """Writes an int8 file of a float32 file of OpenVINO.

    Args:
        source: path of the float32 file.
        path: of the new one.
        metadata: text that the new file holds.
        count: int, calibration pictures.
        load: function of a number below `count` to uint8 [B, H, W, C], what the file takes.
    """
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(source)
    calibration = nncf.Dataset(range(count), lambda i: {"image_tensor": load(i)})
    with contextlib.redirect_stdout(sys.stderr):  # its progress
        quantized = nncf.quantize(
            model,
            calibration,
            preset=nncf.QuantizationPreset.MIXED,  # activations below 0 too
            subset_size=count,
            ignored_scope=nncf.IgnoredScope(names=float_operations(model), validate=False),
        )
    quantized.set_rt_info(metadata, [KEY])
    openvino.save_model(quantized, path, compress_to_fp16=False)


def float_operations(model):
    """Names of the operations of an `openvino.Model` that stay float32."""
    operations = model.get_ordered_ops()
    after = {}  # whether a layer lies before an operation
    for each in operations:
        inputs = _values(each)
        after[each.get_friendly_name()] = any(
            _is_layer(x) or after[x.get_friendly_name()] for x in inputs
        )
    before = set()  # those before a layer
    for each in reversed(operations):
        if _is_layer(each) or each.get_friendly_name() in before:
            before |= {x.get_friendly_name() for x in _values(each)}
    names = []
    for each in operations:
        name = each.get_friendly_name()
        inside = name in before and (after[name] or _is_layer(each))
        if not inside and each.get_type_name() not in ("Constant", "Parameter", "Result"):
            names.append(name)
    return names


def _values(operation):
    """The operations whose values an operation computes with."""
    kind = operation.get_type_name()
    if kind in _CHOICES:
        return []
    inputs = [x.get_node() for x in operation.input_values()]
    return inputs[:1] if kind in _PLACES else inputs


def _is_layer(operation):
    if operation.get_type_name() not in _LAYERS:
        return False
    weights = operation.input_value(1).get_node()
    while weights.get_type_name() in ("Convert", "Reshape", "Transpose", "Unsqueeze"):
        weights = weights.input_value(0).get_node()
    return weights.get_type_name() == "Constant"
