"""What others feel of many who log in at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

GROUP: Final = "login"


def rows(bench: Bench) -> Sequence[Row]:
    where = {
        "mongo_url": bench.mongod.url,
        "redis_url": bench.redis.url,
        "secrets_dir": str(bench.secrets),
    }
    ours = Contender("credit-system", (bench.python, "-m", "benchmarks.sides.login_flood"), where)
    comparison = side_by_side([ours], rounds=bench.rounds, seconds=bench.seconds)
    return [
        row(
            comparison,
            work="p99 of reads while 32 log in at once, beside quiet",
            figure="p99_growth",
            unit="times",
            group=GROUP,
            goal=Goal(Meaning.AT_MOST, 2.0),
        )
    ]
