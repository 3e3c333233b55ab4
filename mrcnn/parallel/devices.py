"""The devices that a model computes on.

Variables are the same on all of them, as `keras.distribution.DataParallel` places them. A batch is
split; the program is one for the whole batch, so that losses, BatchNorm and random numbers are
those of one device. Detection is each host's own, on its own devices.

Shapes: B images of a batch, S those that this host reads; R rows that its devices have of it,
images and then padding.
"""

import contextlib

import keras
import numpy as np

from mrcnn.ops.by_image import on_devices
from mrcnn.parallel.hosts import joined
from mrcnn.parallel.shares import Share

AXIS = "images"


def devices_for(count):
    """The devices that `GPU_COUNT` asks for.

    Args:
        count: int; all those of all hosts, where there are several.

    Returns:
        `OneDevice` for 1, else `Devices`.

    Raises:
        ValueError: the backend computes on one device only, or has another number of them.
    """
    hosts = joined()
    if hosts.count > 1:
        return Devices(_of_all_hosts(count, hosts), hosts)
    if count == 1:
        return OneDevice()
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"GPU_COUNT is {count} and the backend {keras.backend.backend()}, which computes on "
            "one device here: TensorFlow's MirroredStrategy divides the losses of each device by "
            "what this device has, so that a training would depend on their number. Set "
            "KERAS_BACKEND=jax for several devices, or GPU_COUNT = 1 and a larger IMAGES_PER_GPU"
        )
    import jax

    found = jax.devices()
    if len(found) < count:
        raise ValueError(
            f"GPU_COUNT is {count}; expected at most the {len(found)} of this machine that JAX "
            f"sees: {', '.join(map(str, found[:8]))}"
        )
    return Devices(found[:count], hosts)


def _of_all_hosts(count, hosts):
    """The devices of several hosts, in the order of the hosts."""
    import jax

    found = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if len(found) != count or len(jax.local_devices()) * hosts.count != count:
        raise ValueError(
            f"GPU_COUNT is {count}; expected {len(found)}, all devices of {hosts.count} hosts, "
            f"each with as many as the others; this one has {len(jax.local_devices())}"
        )
    return found


def available(count):
    """As many of so many devices as this process has: of another backend than JAX one."""
    if count == 1 or keras.backend.backend() != "jax":
        return 1
    import jax

    return min(count, jax.device_count())


class OneDevice:
    """The device that Keras chooses: nothing is split.

    Attributes:
        count: int, 1.
        share: None: all images of a batch are read here.
    """

    count, share = 1, None

    def scope(self):
        """A context in which a model is built and compiled."""
        return contextlib.nullcontext()

    def tracing(self):
        """A context in which a model's steps are run."""
        return contextlib.nullcontext()

    def prepare(self, model):
        """Nothing: Keras makes the steps of a compiled model when it needs them."""

    def batches(self, generator):
        """What `fit` takes for a `DataGenerator`: itself."""
        return generator

    def place(self, inputs, count):
        """A batch as a step takes it: (inputs,)."""
        return (inputs,)

    def predict(self, graph, inputs):
        """The outputs of a `keras.Model` for a dict of arrays, as arrays."""
        return graph.predict_on_batch(inputs)


class Devices:
    """Several devices of JAX.

    Args:
        devices: list of `jax.Device`.
        hosts: `mrcnn.parallel.Hosts` or `OneHost`; each has as many of them.

    Attributes:
        count: int, how many, of all hosts.
        share: `mrcnn.parallel.shares.Share` of this host in a batch, None where it is all.

    Example:

    >>> devices = devices_for(config.GPU_COUNT)
    >>> with devices.scope():
    ...     model = build()
    """

    def __init__(self, devices, hosts):

        self.count = len(devices)
        own = self.count // hosts.count
        self.share = Share(hosts, own) if hosts.count > 1 else None
        names = [f"{device.platform}:{device.id}" for device in devices]
        self._distribution = keras.distribution.DataParallel(
            devices=names, auto_shard_dataset=False
        )
        self._all = _Mesh(devices)
        self._own = _Mesh(devices[own * hosts.index : own * (hosts.index + 1)])
        self._steps = {}  # of detection, by the id of a graph

    def scope(self):
        """A context in which a model is built and compiled: its variables are on all devices."""
        return self._distribution.scope()

    def tracing(self):
        """A context in which a model's steps are run."""
        return on_devices(self._all.mesh)

    def prepare(self, model):
        """Makes the steps of a compiled model inside of `scope`, to leave variables as they are.

        `fit` itself runs outside of it: there Keras would split batches, all like the first one.
        """
        model.make_train_function()
        model.make_test_function()

    def batches(self, generator):
        """What `fit` takes for a `DataGenerator`: its batches on the devices."""
        return _Placed(generator, self)

    def place(self, inputs, count):
        """A batch on the devices.

        Args:
            inputs: dict of arrays [S, ...].
            count: int, images of the batch (B).

        Returns:
            (dict of `jax.Array`,) where the devices divide the batch. Else also float [B, 0], whose
            length tells a `TrainingModel` how many rows are images: those behind are zeros.
        """
        placed = self._all.split(inputs, count)
        return (placed,) if count % self.count == 0 else (placed, self._all.copy(count))

    def predict(self, graph, inputs):
        """The outputs of a `keras.Model` for a dict of arrays [B, ...], as arrays [B, ...]."""
        count = len(inputs["input_image"])
        with on_devices(self._own.mesh):
            outputs = self._step(graph)(
                [self._own.view(variable.value) for variable in graph.trainable_variables],
                [self._own.view(variable.value) for variable in graph.non_trainable_variables],
                self._own.split(inputs, count),
            )
        return keras.tree.map_structure(lambda x: np.asarray(x)[:count], outputs)

    def _step(self, graph):
        """The compiled function of a graph's variables and inputs."""
        import jax

        def step(trained, others, inputs):
            return graph.stateless_call(trained, others, inputs, training=False)[0]

        return self._steps.setdefault(id(graph), jax.jit(step))


class _Placed(keras.utils.PyDataset):
    """The batches of a `DataGenerator`, placed by the threads that make them."""

    def __init__(self, generator, devices):
        super().__init__(generator.workers, max_queue_size=generator.max_queue_size)
        self.generator, self.devices = generator, devices

    def __len__(self):
        return len(self.generator)

    def __getitem__(self, index):
        return self.devices.place(*self.generator[index], self.generator.images_of(index))

    def on_epoch_begin(self):
        self.generator.on_epoch_begin()

    def on_epoch_end(self):
        self.generator.on_epoch_end()


class _Mesh:
    """Devices side by side.

    Args:
        devices: list of `jax.Device`.
    """

    def __init__(self, devices):
        import jax

        self.mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
        self._split, self._copied = (
            jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec(*axes))
            for axes in ((AXIS,), ())
        )
        self._own = len(self._copied.addressable_devices)  # devices of this host

    def split(self, arrays, count):
        """The images of a batch, a dict of this host's [S, ...], a part on each device: [R, ...] of
        all hosts."""
        import jax

        each = -(-count // self.mesh.devices.size)

        def put(array):
            missing = each * self._own - len(array)
            if missing:
                padding = np.zeros((missing, *array.shape[1:]), array.dtype)
                array = np.concatenate([array, padding])
            shape = (each * self.mesh.devices.size, *array.shape[1:])
            return jax.make_array_from_process_local_data(self._split, array, shape)

        return {name: put(array) for name, array in arrays.items()}

    def copy(self, count):
        """float [count, 0] on each device."""
        import jax

        empty = np.zeros((count, 0), np.float32)
        return jax.make_array_from_process_local_data(self._copied, empty, empty.shape)

    def view(self, array):
        """An array that all devices of all hosts have, as one of these devices alone."""
        import jax

        if array.sharding.is_equivalent_to(self._copied, array.ndim):
            return array
        parts = [shard.data for shard in array.addressable_shards]
        return jax.make_array_from_single_device_arrays(array.shape, self._copied, parts)
