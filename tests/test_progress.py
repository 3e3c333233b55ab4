"""Progress on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from mrcnn import progress as module
from mrcnn.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A list whose only value is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def lines_of(console):
    return console.file.getvalue().splitlines()


def test_lines_in_a_log_say_the_time_left(clock):
    console = Console(file=io.StringIO(), width=20)
    with Progress("detect", 4, console, interval=10) as progress:
        progress.advance(passed_over=True)
        clock[0] += 4
        progress.advance()  # 4 s: too early for a line
        clock[0] += 60
        progress.say("skipped [bold]a_long_name_that_needs_more_than_a_line.jpg")
        progress.advance()  # 2 took 64 s, 1 is left: 32 s
        progress.grow(200)
        clock[0] += 11
        progress.advance()  # 3 took 75 s, 200 are left: 5000 s = 83 min 20 s
        progress.grow(-48)
        clock[0] += 25
        progress.advance()  # 4 took 100 s, 151 are left: 3775 s = 62 min 55 s
    assert lines_of(console) == [
        "skipped [bold]a_long_name_that_needs_more_than_a_line.jpg",
        "detect: 3 of 4, 32 s left",
        "detect: 4 of 204, 1 h 23 min left",
        "detect: 5 of 156, 1 h 02 min left",
        "detect: 5 of 156, 1 min 40 s",
    ]


def test_what_is_passed_over_tells_no_time(clock):
    console = Console(file=io.StringIO())
    with Progress("detect", 2, console, interval=0) as progress:
        progress.advance(passed_over=True)
        for _ in range(2):
            progress.advance()
    assert lines_of(console) == [
        "detect: 1 of 2, time left unknown",
        "detect: 2 of 2, 0 s left",
        "detect: 3 of 3, 0 s left",  # more than was announced
        "detect: 3 of 3, 0 s",
    ]


def test_a_bar_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Progress("detect", 2, console, interval=0) as progress:
        progress.advance()
        progress.say("skipped a.jpg")
        progress.advance()
    shown = console.file.getvalue()
    assert "2/2" in shown and "skipped a.jpg\n" in shown and "time left" not in shown
    assert "2 of 2" not in shown


def test_how_far_the_one_is_that_is_being_done(clock):
    console = Console(file=io.StringIO(), width=80)
    with Progress("detect", 2, console, interval=10) as progress:
        progress.within("slide: tile 1 of 9")
        clock[0] += 12
        progress.within("slide: tile 2 of 9")
        clock[0] += 5
        progress.within("slide: tile 3 of 9")
        progress.advance()
    assert lines_of(console) == [
        "detect: 0 of 2 (slide: tile 2 of 9)",
        "detect: 1 of 2, 17 s",
    ]
