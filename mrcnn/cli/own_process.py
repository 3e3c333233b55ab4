"""A function in a process of its own, whose memory and crashes are not the caller's."""

import multiprocessing
import signal


def in_own_process(function, *arguments):
    """Calls a function in a new process of Python and returns what it returns.

    Args:
        function: of a module.
        *arguments: as the result, such as `pickle` takes.

    Raises:
        RuntimeError: what the function raised, as a text, or how the process ended.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        error, result = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"its process {_end(process.exitcode)}") from None
    process.join()
    if error:
        raise RuntimeError(error)
    return result


def _answer(sender, function, arguments):
    try:
        sender.send((None, function(*arguments)))
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        sender.send((first or type(error).__name__, None))


def _end(code):
    if code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")
    return f"ended with exit code {code}"
