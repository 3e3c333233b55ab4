"""The process: gradio without anything that leaves the machine, and the end."""

import contextlib
import os
import signal
import socket
import tempfile
import time

from mrcnn.page.pictures import samples_of


def free_port(host, port):
    """A port that can be had, before the model is built; 0 takes any.

    Raises:
        OSError: no such host, or the port is taken.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, port))
        except OSError as error:
            raise OSError(
                f"expected a free port, {host}:{port} cannot be had ({error.strerror}); --port 0 "
                "takes any"
            ) from None
        return opened.getsockname()[1]


@contextlib.contextmanager
def quiet_gradio():
    """Around the import and the life of gradio: no statistics, no look for versions, and what
    visitors bring lies in a folder that is removed at the end."""
    names = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryDirectory(prefix="mrcnn-page-", ignore_cleanup_errors=True) as folder:
        os.environ.update(names | {"GRADIO_TEMP_DIR": folder})
        tempfile.tempdir, before = folder, tempfile.tempdir
        try:
            yield
        finally:
            tempfile.tempdir = before


def run(models, limits, options, on_listening):
    """Shows the page until SIGTERM or Ctrl-C.

    Args:
        models: one or two `mrcnn.page.models.PageModel`.
        limits: `mrcnn.page.session.Limits`.
        options: dict of `host`, `port`, `share`, `auth` and `megabytes`.
        on_listening: function of the address, called when it can be opened.
    """
    from mrcnn.page import events, layout

    samples = samples_of(models[0])
    blocks, parts = layout.build(models, len(samples))
    events.Events(models, parts, limits, samples).connect(blocks)
    ended = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: ended.append(number))
    _, local, shared = blocks.queue(default_concurrency_limit=2).launch(
        server_name=options["host"],
        server_port=options["port"],
        share=options["share"],
        auth=options["auth"],
        max_file_size=f"{options['megabytes']}mb",
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        theme=layout.THEME,
        css=layout.CSS,
        footer_links=[],
        ssr_mode=False,
    )
    on_listening(shared or local)
    try:
        while not ended:
            time.sleep(0.2)
    finally:
        blocks.close(verbose=False)
