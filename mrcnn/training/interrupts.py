"""Ctrl-C and SIGTERM: asked for once, a training ends where its state is whole."""

import signal
import threading

from mrcnn.parallel import OneHost


class Interrupts:
    """Holds back the signals that end a program while a training must not be cut.

    The first is kept in `received` while `held`; a second one, or one while nothing is held, ends
    the training at once. Only the main thread can do so: in others nothing changes.

    Of several hosts the first one ends the training, whichever was sent the signal: it alone saves.

    Args:
        hosts: `mrcnn.parallel.Hosts`, or None: there is one.

    Attributes:
        held: bool, whether a signal has to wait.
        received: int, the signal that waits, or None.
    """

    _SIGNALS = signal.SIGINT, signal.SIGTERM

    def __init__(self, hosts=None):
        self.held, self.received, self._earlier = True, None, {}
        self._hosts, self._passed_on, self._asked = hosts or OneHost(), False, False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._earlier = {each: signal.signal(each, self._receive) for each in self._SIGNALS}
            self._hosts.on_signal = self._ask
        return self

    def __exit__(self, *_):
        self._hosts.on_signal = None
        for each, handler in self._earlier.items():
            # None: it was not set from Python, and cannot be set back.
            signal.signal(each, signal.SIG_DFL if handler is None else handler)

    def _ask(self, number):
        """Another host was sent a signal; this one may be, too."""
        self._asked = self.received is None
        self.received = self.received or number

    def _receive(self, number, frame):
        if not self._hosts.is_first and self.held and not self._passed_on:
            self._passed_on = True
            return self._hosts.pass_on(number)
        again, self.received = self.received is not None and not self._asked, number
        self._asked = False
        if again or not self.held:
            self.end()
        print("\nThe training ends after this step; once more ends it at once.", flush=True)

    def end(self):
        """Raises what the received signal stands for.

        Raises:
            KeyboardInterrupt: of Ctrl-C.
            SystemExit: of SIGTERM, with the exit code of a process that it ended.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.received)
