"""The weights of a model by name, and how they are written."""

import h5py
import keras

from mrcnn.files.hdf5 import WHOLE_NAMES
from mrcnn.files.replacing import replaced


def named_weights(model):
    """Weights of a model and the models inside it, by `layer/variable`, in the model's order.

    Raises:
        ValueError: two weights have one name.
    """
    weights = {}
    for layer in model.layers:
        inner = named_weights(layer) if isinstance(layer, keras.Model) else _layer_weights(layer)
        for name, weight in inner.items():
            if name in weights:
                raise ValueError(f"two weights are called {name!r}; give each layer its own name")
            weights[name] = weight
    return weights


def _layer_weights(layer):
    return {weight.path: weight for weight in layer.weights}


def read_saved_model(path):
    """The weights of a whole model as Keras saves it: name -> NumPy array.

    Args:
        path: str, a `.keras` file, which asks for no code but that of installed packages.

    Raises:
        ValueError: Keras cannot build the model.
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} is a Keras model that cannot be built again: {reason}") from error
    return {
        name: keras.ops.convert_to_numpy(weight) for name, weight in named_weights(model).items()
    }


def save_weights(model, path, **attributes):
    """Writes all weights of a model to an HDF5 file, whole or not at all.

    Args:
        model: keras.Model.
        path: str; an existing file is replaced once the new one is complete.
        attributes: str values that `read_attribute` finds again.

    Raises:
        OSError: the file cannot be written; what was at `path` is untouched.
    """
    with replaced(path) as unfinished, h5py.File(unfinished, "w") as file:
        _write(model, file)
        file.attrs.update(attributes)


def _write(model, file):
    file.attrs["keras_version"] = keras.__version__
    file.attrs["backend"] = keras.backend.backend()
    file.attrs[WHOLE_NAMES] = True
    layers = [layer for layer in model.layers if layer.weights]
    file.attrs["layer_names"] = [layer.name for layer in layers]
    for layer in layers:
        nested = isinstance(layer, keras.Model)
        weights = named_weights(layer) if nested else _layer_weights(layer)
        group = file.create_group(layer.name)
        group.attrs["weight_names"] = [f"{name}:0" for name in weights]
        for name, weight in weights.items():
            group[f"{name}:0"] = weight.numpy()
