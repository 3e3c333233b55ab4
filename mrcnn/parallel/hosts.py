"""The processes of one training on several hosts: who they are, and what they must agree on."""

import atexit
import contextlib
import ctypes
import itertools
import json
import os
import random
import secrets
import signal
import sys
import threading
import time

import keras
import numpy as np

from mrcnn.parallel.meeting import SILENCE, Member, Server

ADDRESSES, COUNT, INDEX = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
PATIENCE = 10  # seconds after which a process says whom it waits for
_LETTERS = 512  # of the greeting
# How the text of XLA's errors begins where a collective failed.
_STATUSES = ("ABORTED: ", "CANCELLED: ", "DEADLINE_EXCEEDED: ", "INTERNAL: ", "UNAVAILABLE: ")
_STATUSES += ("FAILED_PRECONDITION: ", "UNKNOWN: ")
_joined = None


def joined():
    """The `Hosts` that this process has joined, else `OneHost`."""
    return _joined or OneHost()


def are_named():
    """Whether the environment names hosts, as Keras defines it, be it incompletely."""
    return any(os.environ.get(name) for name in (ADDRESSES, COUNT, INDEX))


def join(addresses=None, index=None):
    """Joins the other processes of a training, before anything is computed.

    Without arguments the hosts are those of the environment variables that Keras defines, or those
    that `jax.distributed` knows already, as in a worker of Ray Train. All have one seed then, of
    which weights that are not loaded are drawn.

    Args:
        addresses: list of str "host:port", one for each process; the first one's port must be free.
        index: int, of this process in it.

    Returns:
        `Hosts`; what `joined` returns from here on.

    Raises:
        ValueError: the backend is not JAX, or who the hosts are is not told.
        ConnectionError: the first process cannot be reached.

    Example:

    >>> join(["10.0.0.1:1234", "10.0.0.2:1234"], index=0)  # doctest: +SKIP
    """
    global _joined
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"several hosts train on JAX; the backend is {keras.backend.backend()}. Set "
            "KERAS_BACKEND=jax"
        )
    import jax

    if jax.distributed.is_initialized():
        from jax._src.distributed import global_state  # nothing else tells it

        address = global_state.coordinator_address
    else:
        if addresses is None:
            addresses, count, index = _from_environment()
        else:
            count = len(addresses)
        _check(addresses, count, index)
        address = addresses[0]
        _connect(address, count, index)
    host = address.rpartition(":")[0].strip("[]")  # of IPv6
    _delay_abort()
    _joined = Hosts(jax.process_index(), jax.process_count(), host)
    keras.utils.set_random_seed(_joined.first("seed of weights", random.randrange(2**32)))
    _joined.tell_devices()
    return _joined


def _from_environment():
    """Addresses, their number and the index of this process, of Keras's variables."""
    given = {name: os.environ.get(name) for name in (ADDRESSES, COUNT, INDEX)}
    addresses = [text for text in (given[ADDRESSES] or "").split(",") if text]
    if given[COUNT] is None and len(addresses) > 1:
        given[COUNT] = str(len(addresses))
    missing = [name for name, text in given.items() if not text]
    if missing:
        raise ValueError(
            f"expected addresses and index, or {ADDRESSES}, {COUNT} and {INDEX} in the "
            f"environment, which lacks {', '.join(missing)}"
        )
    for name in (COUNT, INDEX):
        if not given[name].strip().isdecimal():
            raise ValueError(f"{name} is {given[name]!r}; expected a whole number")
    return addresses, int(given[COUNT]), int(given[INDEX])


def _check(addresses, count, index):
    """Raises ValueError where addresses are none, or a process is not among them."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"address {address!r} of a host; expected HOST:PORT, as 10.0.0.1:4000")
    if len(addresses) not in (1, count):
        raise ValueError(
            f"{ADDRESSES} has {len(addresses)} addresses and {COUNT} is {count}; expected the "
            "first one's, or one of each"
        )
    if not isinstance(index, int) or not 0 <= index < count:
        raise ValueError(
            f"this is process {index}; expected one of 0 to {count - 1}, its place among "
            f"{', '.join(addresses)}"
        )


def _connect(address, count, index):
    import jax

    try:
        with _waiting(f"process {index} of {count} waits for the others to come to {address}"):
            # Else JAX asks SLURM and Open MPI, and takes one GPU of all those of a task.
            jax.distributed.initialize(address, count, index, cluster_detection_method="deactivate")
    except RuntimeError as error:
        if "before any JAX calls" in str(error):
            raise
        raise ConnectionError(
            f"not all processes met at {address}: is the first one running, is its port free, and "
            f"can the others reach it? ({error})"
        ) from error


def _delay_abort():
    """Has SIGABRT sleep for its number of seconds, 6, before it ends the process.

    JAX aborts as soon as it misses the first process; the thread of `Member`, which says who is
    gone, may come a moment later on a busy machine.
    """
    library = ctypes.CDLL(None)
    library.signal(signal.SIGABRT, ctypes.cast(library.sleep, ctypes.c_void_p))


@contextlib.contextmanager
def _waiting(text):
    """Says what is waited for, where that takes long."""
    told = threading.Timer(PATIENCE, print, [f"mrcnn: {text}"], {"flush": True})
    told.daemon = True
    told.start()
    try:
        yield
    finally:
        told.cancel()


class OneHost:
    """The only process of a training.

    Attributes:
        index, count: int, which process this is, and of how many.
        on_signal: function of a signal that another process was sent, or None.
    """

    index, count, on_signal = 0, 1, None

    @property
    def is_first(self):
        """Whether this process is the one that writes."""
        return self.index == 0

    def first(self, name, value):
        """The value of the first process."""
        return value

    def check_same(self, name, value):
        """Raises ValueError where another process has another value."""

    def fail(self, error):
        """Tells the others that this process ends by an exception, so that they end too."""

    def settle(self, error):
        """Waits for word of another process, whose end may be why a step failed."""


class Hosts(OneHost):
    """Several processes. What is agreed on is asked for in the same order by all of them.

    Args:
        index, count: see `OneHost`.
        address: str, of the first process's host.
    """

    def __init__(self, index, count, address):
        self.index, self.count = index, count
        self._numbers, self._code = itertools.count(), None  # of a failed process's exit
        place = self._server(address) if index == 0 else [address, 0, ""]
        host, port, password = json.loads(_broadcast(json.dumps(place)))
        self._member = Member((host, port), password, index, self._end, self._signal)
        atexit.register(self._at_exit)

    def _server(self, address):
        password = secrets.token_hex(16)
        self._meeting = Server(self.count, password)
        return [address, self._meeting.port, password]

    @property
    def devices(self):
        """int, devices of all hosts."""
        import jax

        return jax.device_count()

    def tell_devices(self):
        """Has the first process say how many devices each has."""
        import jax

        counts = self.gather("devices", jax.local_device_count())
        if self.is_first:
            each = counts[0] if len(set(counts)) == 1 else ", ".join(map(str, counts))
            print(f"{self.count} hosts of {each} devices", flush=True)

    def gather(self, name, value):
        """What all processes gave, a list in their order, of what JSON can say.

        Args:
            name: str, which all of them give it.
            value: this process's.
        """
        return self._member.gather(name, value)

    def first(self, name, value):
        return self.gather(f"{name} {next(self._numbers)}", value if self.is_first else None)[0]

    def check_same(self, name, value):
        values = self.gather(f"{name} {next(self._numbers)}", value)
        others = [i for i, other in enumerate(values) if other != values[0]]
        if others:
            raise ValueError(
                f"expected the same {name} in all {self.count} processes; process 0 has "
                f"{values[0]}, process {others[0]} {values[others[0]]}"
            )

    def settle(self, error):
        if _is_status(error):
            time.sleep(SILENCE + 5)

    def pass_on(self, signal):
        """Has the first process end the training after its step, which ends the others."""
        self._member.pass_on(signal)

    def fail(self, error):
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        why = "it was interrupted" if interrupted else f"{type(error).__name__}: {error}"
        self._code = _exit_code(error)
        self._member.fail(why)

    def _signal(self, signal):
        if self.on_signal is not None:
            self.on_signal(signal)

    def _end(self, index, why):
        ended = f"ended: {why}" if why else "is gone"
        print(
            f"\nmrcnn: process {index} of {self.count} {ended}. This one, process {self.index}, "
            "ends too. A training goes on from its last saved state when it is resumed, on as many "
            "hosts or others",
            file=sys.stderr,
            flush=True,
        )
        sys.stdout.flush()
        os._exit(1)  # the main thread may wait for a collective that never ends

    def _at_exit(self):
        error = getattr(sys, "last_value", None)
        if error is not None and self._code is None:
            self.settle(error)
            self.fail(error)
        if self._code is not None:
            sys.stdout.flush()
            os._exit(self._code)  # without waiting for the others, as JAX would
        self._member.leave()


def _exit_code(error):
    """What Python's exit code is after an exception."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else 1
    return code if isinstance(code, int) else 1


def _is_status(error):
    """Whether it is a status of XLA's, as of a collective that failed: "UNKNOWN: Gloo ..."."""
    import jax

    if isinstance(error, jax.errors.JaxRuntimeError):
        return True
    # What compiled functions raise when they are called again.
    return isinstance(error, ValueError) and str(error).startswith(_STATUSES)


def _broadcast(text):
    """The text of the first process, in all."""
    from jax.experimental import multihost_utils

    letters = np.frombuffer(text.encode().ljust(_LETTERS), np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(letters))).decode()
