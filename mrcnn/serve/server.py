"""The process: a port, signals, and the end."""

import signal
import socket

import uvicorn


def open_socket(host, port):
    """A socket that is bound and does not listen yet, so that a port in use is told at once.

    Raises:
        OSError: no such host, or the port is taken.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise OSError(
            f"expected a free port, {host}:{port} cannot be had ({error.strerror}); --port 0 takes "
            "any"
        ) from None
    return opened


class _Server(uvicorn.Server):
    """A server that tells when it listens."""

    def __init__(self, config, on_listening):
        super().__init__(config)
        self.on_listening = on_listening

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.on_listening()


def run(app, opened, grace, on_listening):
    """Answers until SIGTERM or Ctrl-C, then what was accepted before; returns at the end.

    Args:
        app: an ASGI app.
        opened: socket of `open_socket`.
        grace: int, seconds after a signal in which answers may be taken; after these their
            connections are closed.
        on_listening: function without arguments, called when connections are taken.
    """
    _allow_connections()
    # uvicorn raises the signal again at the end: an orderly stop is no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=grace,
    )
    _Server(config, on_listening).run(sockets=[opened])


def _allow_connections():
    """As many open files as the system lets a process have: each connection is one."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
