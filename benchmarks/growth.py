"""What the size of a ledger costs: the same work on a small and on a large one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

GROUP: Final = "growth"
CALLERS: Final = 64
SMALL: Final = (1_000, 10_000)
LARGE: Final = {"short": (100_000, 1_000_000), "full": (1_000_000, 10_000_000)}
"""Accounts, and entries in the journal. The full one takes half an hour to fill, and 5 GB."""


def rows(bench: Bench) -> Sequence[Row]:
    accounts, entries = LARGE["full" if bench.full else "short"]
    contenders = [
        _ledger(bench, "large", accounts, entries),
        _ledger(bench, "small", *SMALL),
    ]
    comparison = side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)
    size = f"{SMALL[0]:,} → {accounts:,} accounts, {SMALL[1]:,} → {entries:,} entries"
    return [
        row(
            comparison,
            work=f"{CALLERS} callers; {size}; state cache 200,000 accounts, WiredTiger 0.25 GB",
            figure="per_second",
            unit="transfers/s",
            group=GROUP,
            # A transfer at most 1.3 times as dear: at least 1 / 1.3 of the throughput.
            goal=Goal(Meaning.RATIO_AT_LEAST, 1 / 1.3),
            against=1,
        ),
        row(
            comparison,
            work=f"start: a book is opened and its head known; {size}",
            figure="start_ms",
            unit="ms",
            group=GROUP,
            against=1,
        ),
    ]


def _ledger(bench: Bench, name: str, accounts: int, entries: int) -> Contender:
    return Contender(
        f"credit-system, {name}",
        (bench.python, "-m", "benchmarks.sides.growth"),
        {
            "accounts": accounts,
            "entries": entries,
            "callers": CALLERS,
            "book": f"bench-growth-{name}",
            "mongo_url": bench.mongod.url,
            "redis_url": bench.redis.url,
            "secrets_dir": str(bench.secrets),
        },
    )
