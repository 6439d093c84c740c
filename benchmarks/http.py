"""Whole HTTP answers of the service, by the processor's time that they cost its process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

GROUP: Final = "http"
BANNED_GOAL: Final = 1.8
BARE_GOAL: Final = round(1 / 1.35, 2)
"""Our layers may cost 1.35 times the bare framework's processor time."""


def rows(bench: Bench) -> Sequence[Row]:
    def side(kind: str) -> Contender:
        configuration: dict[str, Any] = {
            "kind": kind,
            "mongo_url": bench.mongod.url,
            "redis_url": bench.redis.url,
            "secrets": str(bench.secrets),
        }
        return Contender(
            f"credit-system, {kind}", (bench.python, "-m", "benchmarks.sides.http"), configuration
        )

    bare = Contender("bare Quart", (bench.python, "-m", "benchmarks.sides.http"), {"kind": "bare"})
    banned = side_by_side([side("banned"), side("allowed")], rounds=bench.rounds, seconds=bench.seconds)
    plain = side_by_side([side("plain"), bare], rounds=bench.rounds, seconds=bench.seconds)
    allowed = side_by_side([side("allowed"), bare], rounds=bench.rounds, seconds=bench.seconds)
    return [
        row(
            banned,
            work="a banned client's requests beside an allowed one's, Hypercorn on uvloop",
            figure="per_cpu_second",
            unit="answers/CPU s",
            group=GROUP,
            goal=Goal(Meaning.RATIO_AT_LEAST, BANNED_GOAL),
            against=1,
        ),
        row(
            plain,
            work="`GET /`, limited in Redis, beside a route of bare Quart, Hypercorn on uvloop",
            figure="per_cpu_second",
            unit="answers/CPU s",
            group=GROUP,
            goal=Goal(Meaning.RATIO_AT_LEAST, BARE_GOAL),
            against=1,
        ),
        row(
            allowed,
            work="a balance read with a token beside a route of bare Quart, Hypercorn on uvloop",
            figure="per_cpu_second",
            unit="answers/CPU s",
            group=GROUP,
            against=1,
        ),
    ]
