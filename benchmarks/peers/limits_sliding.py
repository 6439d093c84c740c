"""`limits`, asynchronous: a hit for each of three identifiers, as Flask-Limiter and slowapi make them.

Without bans and revocation: `limits` has neither.
"""

from __future__ import annotations

import random
from importlib.metadata import version
from typing import Any

import redis
import uvloop

# Only the peers' own environment has it.
from limits import RateLimitItemPerMinute  # type: ignore[import-not-found]
from limits.aio.storage import RedisStorage  # type: ignore[import-not-found]
from limits.aio.strategies import SlidingWindowCounterRateLimiter  # type: ignore[import-not-found]

from benchmarks.rounds import Configuration, Figures, answer_rounds, closed_loop, configuration

LIMIT = RateLimitItemPerMinute(1_000_000)
CLIENTS = 1_000
KINDS = ("user", "api_key", "ip")


async def measure(config: Configuration) -> None:
    url: str = config["redis_url"]
    options: dict[str, Any] = {"password": config["redis_password"], "max_connections": config["callers"] + 8}
    storage = RedisStorage(f"async+{url}", implementation=config["implementation"], **options)
    limiter = SlidingWindowCounterRateLimiter(storage)
    statistics = redis.Redis.from_url(url, password=config["redis_password"])

    async def work(_: int, __: int) -> None:
        client = random.randrange(CLIENTS)
        for kind in KINDS:
            if not await limiter.hit(LIMIT, kind, f"{kind}-{client}"):
                raise RuntimeError("over the limit")

    def scripts() -> int:
        calls: dict[str, dict[str, int]] = statistics.info("commandstats")
        return sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))

    async def measured(seconds: float) -> Figures:
        before = scripts()
        decisions = 0

        async def counted(caller: int, index: int) -> None:
            nonlocal decisions
            await work(caller, index)
            decisions += 1

        figures = await closed_loop(counted, callers=config["callers"], seconds=seconds)
        # Every script of `limits` is a round trip of its own.
        figures["commands"] = figures["round_trips"] = (scripts() - before) / decisions
        return figures

    versions = {"limits": version("limits"), config["client"]: version(config["client"])}
    await answer_rounds(measured, versions)


if __name__ == "__main__":
    uvloop.run(measure(configuration()))
