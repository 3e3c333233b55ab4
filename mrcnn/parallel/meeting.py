"""Where the processes of a training meet: a line of JSON to all, and word of one that is gone.

The first process listens; each, the first among them, has one connection to it. A process that is
killed is known at once, as its connection breaks, a host that is cut off after `SILENCE` seconds.
JAX has neither soon enough: its collectives wait for ever, or end the program without a word of
why. The systems of both ends ask each other: a process that writes a large file for a minute shows
no sign of life of its own.
"""

import json
import socket
import threading

IDLE, PROBES, INTERVAL = 8, 4, 3  # seconds until a quiet end is asked, how often, how long apart
SILENCE = IDLE + PROBES * INTERVAL  # seconds after which a host is gone


class Channel:
    """Messages, each a JSON object on a line, to and from the other end of a socket.

    Args:
        connection: `socket.socket`.
    """

    def __init__(self, connection):
        connection.settimeout(None)
        _keep_asking(connection)
        self._socket, self._lock = connection, threading.Lock()
        self._lines = connection.makefile("r", encoding="utf-8")

    def send(self, **message):
        """Sends a message; to an end that is gone it goes nowhere."""
        line = f"{json.dumps(message)}\n".encode()
        try:
            with self._lock:
                self._socket.sendall(line)
        except OSError:
            return

    def __iter__(self):
        """The messages, until the other end is gone."""
        try:
            for line in self._lines:
                yield json.loads(line)
        except (OSError, ValueError):  # cut off; or within a line
            return

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Server:
    """The first process's part: it hands on what all have given, and who is gone.

    Args:
        count: int, processes.
        password: str, without which nobody is let in.

    Attributes:
        port: int, where it listens.
    """

    def __init__(self, count, password):
        self.count, self._password = count, password
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._listening = socket.create_server(
            ("", 0), family=family, backlog=count, dualstack_ipv6=both
        )
        self.port = self._listening.getsockname()[1]
        self._channels, self._given, self._lock = {}, {}, threading.Lock()
        _thread(self._accept)

    def _accept(self):
        while True:
            connection, _ = self._listening.accept()
            _thread(self._serve, Channel(connection))

    def _serve(self, channel):
        messages = iter(channel)
        greeting = next(messages, {})
        if not isinstance(greeting, dict) or greeting.get("password") != self._password:
            return channel.close()
        index = greeting["index"]
        with self._lock:
            self._channels[index] = channel
        for message in messages:
            if "left" in message:
                return
            if "failed" in message:
                return self._tell(gone=index, why=message["failed"])
            if "signal" in message:
                self._channels[0].send(signal=message["signal"])
            else:
                self._gather(index, message["name"], message["value"])
        self._tell(gone=index, why=None)

    def _gather(self, index, name, value):
        with self._lock:
            given = self._given.setdefault(name, {})
            given[index] = value
            complete = len(given) == self.count
            if complete:
                del self._given[name]
        if complete:
            self._tell(name=name, values=[given[i] for i in range(self.count)])

    def _tell(self, **message):
        with self._lock:
            channels = list(self._channels.values())
        for channel in channels:
            channel.send(**message)


class Member:
    """A process's connection to the first one.

    Args:
        address: (host, port) of the `Server`.
        password: str, the server's.
        index: int, of this process.
        on_gone: function of the index of a process that is gone and of why, a str or None; called
            in a thread.
        on_signal: function of a signal that another process was sent; called in a thread.

    Raises:
        ConnectionError: the server cannot be reached.
    """

    def __init__(self, address, password, index, on_gone, on_signal):
        try:
            connection = socket.create_connection(address, timeout=SILENCE)
        except OSError as error:
            host, port = address
            raise ConnectionError(
                f"process {index} cannot reach the first one at {host}, port {port} ({error}): "
                "each host must reach the first one's on any port, through firewalls too"
            ) from error
        self._channel = Channel(connection)
        self._on_gone, self._on_signal, self._left = on_gone, on_signal, False
        self._answers, self._arrived = {}, threading.Condition()
        self._channel.send(index=index, password=password)
        _thread(self._listen)

    def gather(self, name, value):
        """What all processes gave under a name, a list in their order; waits for the last one."""
        self._channel.send(name=name, value=value)
        with self._arrived:
            self._arrived.wait_for(lambda: name in self._answers)
            return self._answers.pop(name)

    def pass_on(self, signal):
        """Has the first process end the training."""
        self._channel.send(signal=signal)

    def fail(self, why):
        """Says why this process ends."""
        self._left = True
        self._channel.send(failed=why)

    def leave(self):
        """Ends when all processes have done their work."""
        self.gather("leave", None)
        self._left = True
        self._channel.send(left=True)

    def _listen(self):
        for message in self._channel:
            if "gone" in message:
                if not self._left:
                    self._on_gone(message["gone"], message["why"])
            elif "signal" in message:
                self._on_signal(message["signal"])
            else:
                with self._arrived:
                    self._answers[message["name"]] = message["values"]
                    self._arrived.notify_all()
        if not self._left:
            self._on_gone(0, None)


def _keep_asking(connection):
    """Has the system break a connection whose other end is cut off for `SILENCE` seconds."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": IDLE,
        "TCP_KEEPINTVL": INTERVAL,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": 1000 * SILENCE,  # of what was sent and not received
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _thread(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()
