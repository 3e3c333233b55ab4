"""The processes of one training on several hosts: who they are, and what they must agree on."""

import atexit
import itertools
import json
import os
import secrets
import socket
import sys
import time

import keras
import numpy as np

from mrcnn.parallel.meeting import SILENCE, Member, Server

ADDRESSES, COUNT, INDEX = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
_LETTERS = 512  # of the greeting
# How the text of XLA's errors begins where a collective failed.
_STATUSES = ("ABORTED: ", "CANCELLED: ", "DEADLINE_EXCEEDED: ", "INTERNAL: ", "UNAVAILABLE: ")
_STATUSES += ("FAILED_PRECONDITION: ", "UNKNOWN: ")
_joined = None


def joined():
    """The `Hosts` that this process has joined, else `OneHost`."""
    return _joined or OneHost()


def are_named():
    """Whether the environment names hosts, as Keras defines it."""
    return COUNT in os.environ


def join(addresses=None, index=None):
    """Joins the other processes of a training, before anything is computed.

    Without arguments the hosts are those of the environment variables that Keras defines, or those
    that `jax.distributed` knows already, as in a worker of Ray Train.

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

    if not jax.distributed.is_initialized():
        _connect(addresses, index)
    first = (addresses or os.environ.get(ADDRESSES, "").split(","))[0]
    _joined = Hosts(jax.process_index(), jax.process_count(), first.rpartition(":")[0])
    return _joined


def _connect(addresses, index):
    if addresses is None and not (ADDRESSES in os.environ and INDEX in os.environ and are_named()):
        raise ValueError(f"expected addresses and index, or {ADDRESSES}, {COUNT} and {INDEX}")
    if addresses is not None:
        _check(addresses, index)
    try:
        if addresses is None:
            keras.distribution.initialize()
        else:
            keras.distribution.initialize(",".join(addresses), len(addresses), index)
    except RuntimeError as error:
        if "before any JAX calls" in str(error):
            raise
        where = (addresses or os.environ[ADDRESSES].split(","))[0]
        raise ConnectionError(
            f"not all processes met at {where}: is the first one running, is its port free, and "
            f"can the others reach it? ({error})"
        ) from error


def _check(addresses, index):
    """Raises ValueError where addresses are none, or a process is not among them."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"address {address!r} of a host; expected HOST:PORT, as 10.0.0.1:4000")
    if not isinstance(index, int) or not 0 <= index < len(addresses):
        raise ValueError(
            f"this is process {index}; expected one of 0 to {len(addresses) - 1}, its place among "
            f"{', '.join(addresses)}"
        )


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
        address: str, of the first process's host, or "" where the first one finds out.
    """

    def __init__(self, index, count, address=""):
        self.index, self.count = index, count
        self._numbers, self._failed = itertools.count(), False
        place = self._server(address) if index == 0 else [address, 0, ""]
        host, port, password = json.loads(_broadcast(json.dumps(place)))
        self._member = Member((host, port), password, index, self._end, self._signal)
        atexit.register(self._at_exit)

    def _server(self, address):
        password = secrets.token_hex(16)
        self._meeting = Server(self.count, password)
        host = address or socket.gethostbyname(socket.gethostname())
        return [host, self._meeting.port, password]

    @property
    def devices(self):
        """int, devices of all hosts."""
        import jax

        return jax.device_count()

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
        self._failed = True
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
        if error is not None and not self._failed:
            self.settle(error)
            self.fail(error)
        if self._failed:
            sys.stdout.flush()
            os._exit(1)  # without waiting for the others, as JAX would
        self._member.leave()


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
