"""Reference models with reproducible weights, in the file formats of their sources.

A recipe lists the tensors of a model with a distribution each; `golden/<name>.npz` holds what the
reference implementation computed with these weights for a picture of scikit-image. See
`golden/README.md`.
"""

import json
from pathlib import Path

import h5py
import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def recipe_weights(path):
    """Draws the tensors of a recipe: tensor i of seed s comes from default_rng([s, i])."""
    recipe = json.loads(path.read_text())
    for i, tensor in enumerate(recipe["tensors"]):
        rng, shape = np.random.default_rng([recipe["seed"], i]), tensor["shape"]
        if tensor["dist"] == "normal":
            array = rng.standard_normal(shape) * tensor["b"] + tensor["a"]
        else:
            array = rng.uniform(tensor["a"], tensor["b"], shape)
        yield tensor["name"], array.astype("float32")


def write_keras2_file(path, tensors):
    """Writes `group/weight name` tensors as Keras 2 does: attributes are bytes."""
    groups = {}
    with h5py.File(path, "w") as file:
        for name, array in tensors:
            group, weight = name.split("/", 1)
            groups.setdefault(group, []).append(weight.encode())
            file[name] = array
        file.attrs["layer_names"] = [group.encode() for group in groups]
        for group, names in groups.items():
            file[group].attrs["weight_names"] = names
