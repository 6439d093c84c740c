"""The guard's decision on a real Redis, beside `limits`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.contenders import Comparison, Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

CALLERS: Final = 64
GROUP: Final = "guard"
CLIENTS: Final = (("redispy", "redis", "redispy"), ("coredis", "coredis", "coredis, its default"))
"""As `limits` calls its two clients, what their packages are called, and what the table calls them."""


def rows(bench: Bench) -> Sequence[Row]:
    many = _compared(bench, CALLERS)
    alone = _compared(bench, 1)
    work = "decisions, three identifiers"
    return [
        *(_rate(many, f"{work}, {CALLERS} tasks", peer, Goal(Meaning.RATIO_AT_LEAST, 10)) for peer in (1, 2)),
        *(_rate(alone, f"{work}, one at a time", peer, None) for peer in (1, 2)),
        row(
            many,
            work=f"p99 of a decision, {CALLERS} tasks",
            figure="p99_ms",
            unit="ms",
            group=GROUP,
            against=1,
        ),
        _per_decision(many, f"Redis scripts a decision, {CALLERS} tasks", "commands"),
        _per_decision(many, f"Redis round trips a decision, {CALLERS} tasks", "round_trips"),
        _per_decision(alone, "Redis round trips a decision, one at a time", "round_trips"),
    ]


def _rate(comparison: Comparison, work: str, peer: int, goal: Goal | None) -> Row:
    return row(
        comparison, work=work, figure="per_second", unit="decisions/s", group=GROUP, goal=goal, against=peer
    )


def _per_decision(comparison: Comparison, work: str, figure: str) -> Row:
    goal = Goal(Meaning.AT_MOST, 1.0)
    return row(comparison, work=work, figure=figure, unit="", group=GROUP, goal=goal, against=1)


def ours(bench: Bench, callers: int) -> Contender:
    return Contender("credit-system", (bench.python, "-m", "benchmarks.sides.guard"), _redis(bench, callers))


def _redis(bench: Bench, callers: int) -> dict[str, Any]:
    return {"redis_url": bench.redis.url, "redis_password": bench.redis.password, "callers": callers}


def _compared(bench: Bench, callers: int) -> Comparison:
    redis = _redis(bench, callers)
    peers = str(bench.python_with_peers())
    contenders = [
        ours(bench, callers),
        *(
            Contender(
                f"limits over {name}",
                (peers, "-m", "benchmarks.peers.limits_sliding"),
                {**redis, "implementation": client, "client": package},
            )
            for client, package, name in CLIENTS
        ),
    ]
    return side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)
