"""Progress of long work: a bar on a terminal, lines elsewhere."""

from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Says how much is done and how long the rest will take.

    Args:
        title: str, what is done.
        total: int, how many there are.
        console: `rich.console.Console`, or None for that of the standard error.
        interval: float, seconds between two lines where it is no terminal.

    Example:

    >>> with Progress("detect", 2) as progress:
    ...     progress.advance()
    ...     progress.advance()
    """

    def __init__(self, title, total, console=None, interval=10.0):
        self.title, self.total, self.done = title, total, 0
        self._console = console or Console(stderr=True)
        self._interval, self._passed_over = interval, 0
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._bar = Bar(
            *columns,
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self):
        self._started = self._said = monotonic()
        self._bar.start()
        self._task = self._bar.add_task(self.title, total=self.total)
        return self

    def __exit__(self, *_):
        self._bar.stop()
        if self._bar.disable:
            self.say(f"{self._state()}, {duration(monotonic() - self._started)}")

    def grow(self, more):
        """More are to be done than was known."""
        self.total += more
        self._bar.update(self._task, total=self.total)

    def advance(self, count=1, passed_over=False):
        """More are done; `passed_over`: in no time, which tells nothing about the rest."""
        self.done += count
        self.grow(max(0, self.done - self.total))
        self._passed_over += count if passed_over else 0
        self._bar.update(self._task, advance=count, description=self.title)
        now = monotonic()
        if self._bar.disable and now - self._said >= self._interval:
            self._said = now
            self.say(f"{self._state()}, {self._time_left(now)}")

    def within(self, text):
        """Says how far the one is that is being done, as a text."""
        self._bar.update(self._task, description=f"{self.title} ({text})")
        now = monotonic()
        if self._bar.disable and now - self._said >= self._interval:
            self._said = now
            self.say(f"{self._state()} ({text})")

    def say(self, text):
        """Prints a line, above the bar."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def _state(self):
        return f"{self.title}: {self.done} of {self.total}"

    def _time_left(self, now):
        worked = self.done - self._passed_over
        if not worked:
            return "time left unknown"
        seconds = (now - self._started) / worked * max(0, self.total - self.done)
        return f"{duration(seconds)} left"


def duration(seconds):
    """Seconds as people read them.

    >>> duration(42), duration(200), duration(7500)
    ('42 s', '3 min 20 s', '2 h 05 min')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
