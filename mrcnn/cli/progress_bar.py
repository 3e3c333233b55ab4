"""A bar for what tells how many pictures are done."""


def shown_on(name, stack):
    """A function (done, count) that shows how far a command has come.

    Args:
        name: str, of the bar.
        stack: `contextlib.ExitStack` that closes it.
    """
    from mrcnn.progress import Progress

    bars = []

    def show(done, count):
        if not bars:
            bars.append(stack.enter_context(Progress(name, count)))
        bars[0].advance()

    return show
