"""A bar for whoever waits at a terminal, and silence for everything else."""

from __future__ import annotations

from io import StringIO

from composition.commands.progress import CLEAR_LINE, WIDTH, ProgressBar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_nothing_is_drawn_where_nobody_looks() -> None:
    stream = StringIO()
    bar = ProgressBar("verifying", stream)
    bar(1, 2)
    bar.close()
    assert stream.getvalue() == ""


def test_it_shows_how_much_is_done_and_goes_away() -> None:
    stream, time = Terminal(), Time()
    bar = ProgressBar("verifying", stream, time)
    bar(1, 2)
    half = "#" * (WIDTH // 2) + "-" * (WIDTH - WIDTH // 2)
    assert stream.getvalue() == f"{CLEAR_LINE}verifying [{half}]  50%"
    bar.close()
    assert stream.getvalue().endswith(CLEAR_LINE)


def test_it_is_not_drawn_more_often_than_anybody_can_see() -> None:
    stream, time = Terminal(), Time()
    bar = ProgressBar("verifying", stream, time)
    for done in range(1_000):
        time.now_s += 0.001
        bar(done, 1_000)
    assert 5 <= stream.getvalue().count(CLEAR_LINE) <= 12
    bar(1_000, 1_000)
    assert stream.getvalue().endswith("100%")


def test_it_says_how_long_it_may_take_yet() -> None:
    stream, time = Terminal(), Time()
    bar = ProgressBar("verifying", stream, time)
    bar(0, 0)
    time.now_s = 30.0
    bar(1, 4)
    assert stream.getvalue().endswith("25%  1:30 left")
    time.now_s = 31.0
    bar(9, 4)
    assert stream.getvalue().endswith("100%")
