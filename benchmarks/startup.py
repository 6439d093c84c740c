"""How long somebody waits who tries it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

GROUP: Final = "startup"


def ours(bench: Bench) -> Contender:
    return Contender("credit-system", (bench.python, "-m", "benchmarks.sides.startup"), {})


def rows(bench: Bench) -> Sequence[Row]:
    comparison = side_by_side([ours(bench)], rounds=bench.rounds, seconds=bench.seconds)
    return [
        row(
            comparison,
            work="`creditctl demo` to its first answer",
            figure="seconds",
            unit="s",
            group=GROUP,
            goal=Goal(Meaning.AT_MOST, 2.0),
        )
    ]
