"""Functions that take each image of a batch by itself, on the device that has the image.

JAX splits a program over devices by rules for each of its operations. It has none for indices into
all pixels of a batch, nor for a loop that ends when every image has: there every device is sent the
images of all others. Here they are told apart.

Shapes: B images.
"""

import contextlib
import functools
import threading

import keras

_AXIS = "images"
_here = threading.local()  # `mesh`: of the devices, inside `on_devices`


@contextlib.contextmanager
def on_devices(mesh):
    """Inside it, what is traced runs on several devices, each with its part of the images.

    Args:
        mesh: `jax.sharding.Mesh` of one axis, or None for one device.
    """
    before = getattr(_here, "mesh", None)
    _here.mesh = mesh
    try:
        yield
    finally:
        _here.mesh = before


def by_image(function):
    """A function of tensors that lead with images, [B, ...], to such tensors, each image by itself.

    Its other arguments may be anything but tensors.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        mesh = getattr(_here, "mesh", None)
        if mesh is None:
            return function(*args, **kwargs)
        return _apart(function, mesh, args, kwargs)

    return call


def _apart(function, mesh, args, kwargs):
    """Each device does its images; a batch that the devices do not divide is filled up."""
    import jax

    leaves = keras.tree.flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
    count, devices = leaves[places[0]].shape[0], mesh.devices.size
    missing = -count % devices

    def local(*tensors):
        given = dict(zip(places, tensors, strict=True))
        filled = [given.get(i, leaf) for i, leaf in enumerate(leaves)]
        inner_args, inner_kwargs = keras.tree.pack_sequence_as((args, kwargs), filled)
        with on_devices(None):
            return function(*inner_args, **inner_kwargs)

    spec = jax.sharding.PartitionSpec(*mesh.axis_names)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    found = mapped(*(_filled_up(leaves[i], missing) for i in places))
    return keras.tree.map_structure(lambda x: x[:count], found) if missing else found


def _filled_up(tensor, missing):
    """A batch with its last image so many times more."""
    return keras.ops.concatenate([tensor, *[tensor[-1:]] * missing]) if missing else tensor
