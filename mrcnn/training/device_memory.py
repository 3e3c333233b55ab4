"""The memory of what computes: how much there is, and how much of it was taken at most."""

import subprocess

import keras


def device_memory():
    """The memory of the first GPU, of this process where the processor computes.

    Returns:
        An object with three methods: `limit` returns the bytes that may be taken, infinite where
        the system does not say; `reset` forgets what was taken, `peak` returns the most since.
    """
    return _gpu() or _Process()


def added_memory():
    """A function that returns the most bytes that this process had since now beyond what it has
    now; None where the system does not tell."""
    memory = _Process()
    try:
        memory.reset()
        before = memory.peak()
    except (OSError, KeyError):  # not on Linux, or a container that hides it
        return lambda: None
    return lambda: memory.peak() - before


def _gpu():
    """The device that computes, None where it is the processor."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.local_devices()[0]
        return _JaxDevice(device) if device.memory_stats() else None
    import tensorflow as tf

    return _TensorFlowGPU() if tf.config.list_physical_devices("GPU") else None


class _Process:
    """The memory of this process."""

    def limit(self):
        """Bytes that this process may have: what it has and what is free."""
        try:
            own = _kilobytes("/proc/self/status", "VmRSS")
            return 1024 * (own + _kilobytes("/proc/meminfo", "MemAvailable"))
        except (OSError, KeyError):  # not on Linux, or a container that hides it
            return float("inf")

    def reset(self):
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak becomes what is there now

    def peak(self):
        return 1024 * _kilobytes("/proc/self/status", "VmHWM")


def _kilobytes(path, name):
    with open(path) as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    return int(lines[name].split()[0])


class _TensorFlowGPU:
    """The first GPU of TensorFlow."""

    def limit(self):
        command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        try:
            megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            return int(megabytes.splitlines()[0]) * 2**20
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return float("inf")  # no such program in this container, or a GPU of another maker

    def reset(self):
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")

    def peak(self):
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]


class _JaxDevice:
    """The first device of JAX; its peak is that of the whole process."""

    def __init__(self, device):
        self.device = device

    def limit(self):
        return self.device.memory_stats().get("bytes_limit", float("inf"))

    def reset(self):
        """Nothing: larger batches come later."""

    def peak(self):
        return self.device.memory_stats()["peak_bytes_in_use"]
