"""Going on with a training that was interrupted, and with no other one."""

import json
import os

import keras

from mrcnn.files.folders import open_folder
from mrcnn.settings import plain
from mrcnn.training.runs import run_folders
from mrcnn.training.state import FILE, read_position

_BATCH = "images of a batch"  # a fact


def training_facts(layer_regex, learning_rate, settings, generator, epochs):
    """What makes another training of it, ready for JSON.

    Args:
        layer_regex: str.
        learning_rate: float or `LearningRateSchedule`, as the user gave it.
        settings: `mrcnn.settings.Settings`.
        generator: `DataGenerator` of the training.
        epochs: int, the total, which counts where a schedule depends on it.

    Returns:
        dict; numbers and strings by what the user calls them.
    """
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = keras.saving.serialize_keras_object(learning_rate)
    optimization = settings.optimization
    constant = optimization.schedule == "constant"
    facts = {
        "layers": layer_regex,
        "epochs": None if constant else epochs,
        "learning_rate": learning_rate,
        **{name: plain(value) for name, value in optimization.by_key().items()},
        "SEED": settings.runtime.seed,
        _BATCH: generator.batch_size,
        "steps of an epoch": len(generator),
        "images": len(generator.image_ids),
        "classes": list(generator.dataset.class_names),
    }
    return json.loads(json.dumps(facts, default=float))


def find_state(folder, model_dir, name):
    """The folder of the training that is to go on.

    Args:
        folder: str, where the model writes: if it has a state, it is this one.
        model_dir: str, folder of the runs' folders.
        name: str, of the experiment, in lower case.

    Returns:
        str, the newest run that has a state, or None.
    """
    for each in (folder, *run_folders(model_dir, name)):
        if open_folder(each).has(FILE):
            return each
    return None


def check_same(path, position, facts):
    """Raises ValueError where a training that has not ended is another one."""
    differing = [
        f"{name} {earlier!r}, now {facts.get(name)!r}"
        for name, earlier in position.facts.items()
        if facts.get(name) != earlier
    ]
    if differing:
        batch = position.facts.get(_BATCH)
        other = facts.get(_BATCH) != batch  # GPU_COUNT, which may change, counts in it
        raise ValueError(
            f"{path} is of another training ({'; '.join(differing)}): resume with what it was "
            f"given{f', BATCH_SIZE = {batch}' if other else ''}, or train without resume from the "
            "weights beside it"
        )


def read_state(folder):
    """The path of the state in a folder, and its `Position`."""
    path = os.path.join(folder, FILE)
    return path, read_position(path)
