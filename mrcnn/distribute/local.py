"""Workers that are processes of this machine, each with a model of its own."""

import contextlib
import multiprocessing
import os
import pickle
import signal
from multiprocessing.connection import wait

from mrcnn.distribute.jobs import portable
from mrcnn.startup.quiet import call_quietly

_DEATHS = 3  # of workers that had not yet built their model, one after another


def run_local(job, blocks, workers=None):
    """Yields the `Done` of each block. A worker that dies is replaced, and its block done again.

    Args:
        job: `mrcnn.distribute.jobs.Job`.
        blocks: list of int.
        workers: int, processes; None: one.

    Raises:
        ChildProcessError: workers die before they can begin.
        Exception: what a worker raised.
    """
    to_do, unready = list(reversed(blocks)), 0
    team = [_Worker(job) for _ in range(min(workers or 1, len(blocks)))]
    try:
        while to_do or any(worker.block is not None for worker in team):
            for place in wait([worker.pipe for worker in team]):
                worker = next(each for each in team if each.pipe is place)
                told = worker.listen()
                if told is None:  # it died
                    unready = 0 if worker.ready else unready + 1
                    if unready == _DEATHS:
                        raise ChildProcessError(
                            f"workers end before their model is built ({worker.end()}): give them "
                            "more memory, or take fewer (--workers)"
                        )
                    to_do += [] if worker.block is None else [worker.block]
                    worker.stop()
                    team[team.index(worker)] = _Worker(job)
                    continue
                unready = 0
                worker.give(to_do.pop() if to_do else None)
                if told is not True:
                    yield told
    finally:
        for worker in team:
            worker.stop()


class _Worker:
    """A process, and what it is doing.

    Attributes:
        pipe: to it; it can be waited for.
        block: int that it is doing, or None.
        ready: bool, whether its model is built.
    """

    def __init__(self, job):
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.block, self.ready = None, False
        call = pickle.dumps((_work, job))
        self._process = context.Process(target=call_quietly, args=(call, end), daemon=True)
        self._process.start()
        end.close()

    def listen(self):
        """What it tells: True when it is ready, a `Done`, or None where it died.

        Raises:
            Exception: what it raised.
        """
        try:
            told = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(told, Exception):
            raise told
        self.ready, self.block = True, None
        return told

    def give(self, block):
        """Gives it a block to do, or None: it waits."""
        self.block = block
        if block is not None:
            with contextlib.suppress(OSError):  # it died, and `listen` says so
                self.pipe.send(block)

    def end(self):
        """How it ended, as a text."""
        self._process.join(timeout=10)
        code = self._process.exitcode
        return f"by {signal.Signals(-code).name}" if code and code < 0 else f"with code {code}"

    def stop(self):
        """Ends it now: a block in halves is not written."""
        self._process.terminate()
        self._process.join()
        self.pipe.close()


def _work(job, pipe):
    """The process: builds the model, then does blocks until nobody is there to give more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has the terminal ends it
    # Several may share a device.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        from mrcnn.distribute.blocks import BlockDetector

        detector = BlockDetector(job)
        pipe.send(True)
        while True:
            pipe.send(detector.detect(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        pipe.send(portable(error))
