"""One decision: bans, revocation and the windows of an address, a user and an API key."""

from __future__ import annotations

import random

import uvloop

from adapters.redis.driver.connect import connect
from adapters.redis.limits.limiter import RedisLimiter
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from benchmarks.rounds import Configuration, Figures, answer_rounds, closed_loop, configuration
from composition.wiring.live_store import DECISION_LANES
from domain.limits.admission import Charge, Verdict
from domain.limits.bans import BanPolicy
from domain.limits.identifiers import Identifier, IdentifierType
from domain.limits.windows import Algorithm, Policy

LIMIT, PERIOD_MS = 1_000_000, 60_000
CLIENTS = 1_000
PATIENCE_MS_MAX = 5_000
"""The service's own 50 ms would end the measurement on a busy machine; the peer waits without a bound."""
KINDS = (IdentifierType.USER, IdentifierType.API_KEY, IdentifierType.IP)


def _charges(client: int) -> tuple[Charge, ...]:
    return tuple(
        Charge(
            Identifier(kind, f"{kind.value}-{client}"),
            Policy(kind.value, LIMIT, PERIOD_MS, Algorithm.SLIDING_WINDOW),
        )
        for kind in KINDS
    )


async def measure(config: Configuration) -> None:
    runtime = AsyncioRuntime("uvloop")
    async with runtime.running():
        driver = connect(
            runtime,
            url=config["redis_url"],
            password=config["redis_password"],
            decision_timeout_ms_max=PATIENCE_MS_MAX,
            lanes=DECISION_LANES,
        )
        limiter = RedisLimiter(
            driver=driver,
            ban_policy=BanPolicy(),
            naming_key=b"benchmark" * 4,
            seal=bytes,
            open_sealed=bytes,
        )
        charges = [_charges(client) for client in range(CLIENTS)]
        # The revocations of a server that is new are known: there are none.
        await limiter.restore_revocations({})

        async def work(_: int, __: int) -> None:
            client = random.randrange(CLIENTS)
            admission = await limiter.decide(charges[client], session=f"session-{client}", jitter=0.0)
            if admission.verdict is not Verdict.ALLOWED or not admission.revocations_known:
                raise RuntimeError(f"decided {admission.verdict.value}")

        async def measured(seconds: float) -> Figures:
            pipelines, commands = driver.pipelines, driver.commands
            figures = await closed_loop(work, callers=config["callers"], seconds=seconds)
            decisions = driver.commands - commands
            # The script is the one command of a decision, so commands count decisions.
            figures["commands"] = 1.0
            figures["round_trips"] = (driver.pipelines - pipelines) / decisions
            return figures

        try:
            await answer_rounds(measured, {})
        finally:
            await driver.close()


if __name__ == "__main__":
    uvloop.run(measure(configuration()))
