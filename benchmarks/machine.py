"""The pure state machine: how much of the ledger's speed the rules themselves allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

GROUP: Final = "machine"


def ours(bench: Bench) -> Contender:
    return Contender("credit-system", (bench.python, "-m", "benchmarks.sides.machine"), {})


def rows(bench: Bench) -> Sequence[Row]:
    comparison = side_by_side([ours(bench)], rounds=bench.rounds, seconds=bench.seconds)
    return [
        row(
            comparison,
            work="pure state machine, no I/O, one core",
            figure="per_second",
            unit="transfers/s",
            group=GROUP,
            goal=Goal(Meaning.AT_LEAST, 250_000),
        ),
        row(
            comparison,
            work="the same, with the hashed document of it",
            figure="sealed_per_second",
            unit="transfers/s",
            group=GROUP,
        ),
    ]
