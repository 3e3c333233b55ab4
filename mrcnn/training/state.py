"""The state of a training: all that it needs to go on with the same bits.

A file `training_state.hdf5` in the folder of the run: the variables of the model (seeds of layers
among them), of the optimizer (its moments, the schedule's position, averages, gathered gradients)
and of the metrics, in their order; where it is in its epochs and data; and what its callbacks
remember. It replaces itself whole.
"""

import dataclasses
import json

import h5py
import keras

from mrcnn.files.replacing import replaced

FILE = "training_state.hdf5"
_VERSION = 1

# What Keras's callbacks remember from epoch to epoch; others may have `get_state`, `set_state`.
_REMEMBERED = {
    keras.callbacks.EarlyStopping: ("best", "best_epoch", "wait", "stopped_epoch"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
}


@dataclasses.dataclass
class Position:
    """Where a training is, in what can be written as JSON.

    Attributes:
        facts: dict, what makes another training of it: layers, rates, batches, data.
        first_epoch: int, where this call of `train` began.
        epoch: int, epochs that are done.
        step: int, steps of the next epoch that are done.
        seed: int, of the order of the data.
        finished: bool, whether it ended by itself, at its last epoch or by early stopping.
        callbacks: list of (name of the class, dict) of what callbacks remember.
    """

    facts: dict
    first_epoch: int = 0
    epoch: int = 0
    step: int = 0
    seed: int = 0
    finished: bool = False
    callbacks: list = dataclasses.field(default_factory=list)


def save_state(path, model, position):
    """Writes the state of a compiled keras.Model, whole or not at all.

    Raises:
        OSError: the file cannot be written; what was at `path` is untouched.
    """
    with replaced(path) as unfinished, h5py.File(unfinished, "w") as file:
        file.attrs["version"] = _VERSION
        file.attrs["position"] = json.dumps(dataclasses.asdict(position))
        for kind, variables in _variables(model).items():
            group = file.create_group(kind)
            for i, variable in enumerate(variables):
                group[f"{i}"] = keras.ops.convert_to_numpy(variable)
                group[f"{i}"].attrs["path"] = variable.path


def read_position(path):
    """The `Position` of a file of a state.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["version"] != _VERSION:
                raise ValueError("it is of another version")
            return Position(**json.loads(file.attrs["position"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the state of a training, as `train` writes it ({error})"
        ) from error


def restore_state(path, model, kinds=("model", "optimizer", "metrics")):
    """Assigns what a file has to the variables of a compiled model.

    Args:
        path: of the file.
        model: keras.Model.
        kinds: which variables.

    Raises:
        ValueError: the model is another one; nothing is assigned then.
    """
    variables = _variables(model)
    with h5py.File(path, "r") as file:
        for kind in kinds:
            _check(path, kind, file[kind], variables[kind])
        for kind in kinds:
            for i, variable in enumerate(variables[kind]):
                variable.assign(file[kind][f"{i}"][()])


def _variables(model):
    optimizer = getattr(model, "optimizer", None)  # a model that is not compiled has none
    return {
        "model": model.variables,
        "optimizer": optimizer.variables if optimizer else [],
        "metrics": model.metrics_variables,
    }


def _check(path, kind, group, variables):
    """Raises ValueError unless a file's arrays have the number and the shapes of variables."""
    told = f"{path} is of another network or optimizer"
    if len(group) != len(variables):
        raise ValueError(f"{told}: expected {len(variables)} {kind} variables, found {len(group)}")
    for i, variable in enumerate(variables):
        shape = tuple(group[f"{i}"].shape)
        if shape != tuple(variable.shape):
            name = group[f"{i}"].attrs["path"]
            raise ValueError(
                f"{told}: {variable.path} is {list(variable.shape)}, {name} there {list(shape)}"
            )


def remembered(callbacks):
    """What callbacks remember, ready for JSON: a list of (name of the class, dict)."""
    states = [(type(callback).__name__, _remembered(callback)) for callback in callbacks]
    return [state for state in states if state[1]]


def _remembered(callback):
    if hasattr(callback, "get_state"):
        return callback.get_state()
    names = [name for name in _names(callback) if hasattr(callback, name)]  # some come later
    return {name: _plain(getattr(callback, name)) for name in names}


def remind(callbacks, states):
    """Gives callbacks back what `remembered` returned, once their training has begun."""
    states = list(states)
    for callback in callbacks:
        kind = type(callback).__name__
        found = next((state for state in states if state[0] == kind), None)
        if found is None:
            continue
        states.remove(found)
        if hasattr(callback, "set_state"):
            callback.set_state(found[1])
        else:
            vars(callback).update(found[1])


def _names(callback):
    return next((names for kind, names in _REMEMBERED.items() if isinstance(callback, kind)), ())


def _plain(value):
    return value if value is None or isinstance(value, (bool, int, str)) else float(value)
