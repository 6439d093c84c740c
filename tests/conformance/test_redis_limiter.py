"""What only the Redis limiter promises: one script, few round trips, no names, the pure rules' answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from domain.limits.admission import Charge, Identifier, IdentifierType, Verdict
from domain.limits.windows import Policy
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.limiters import (
    ACCOUNT_NAME,
    ADDRESS,
    USER,
    ask,
    connected,
    gather,
    policy,
    redis_limiter,
)
from tests.conformance.runtimes import Driver
from tests.servers.redis_server import RedisServer


def daily(limit: int) -> Policy:
    """With a window of a day: by Redis's own clock, one of a minute ends within a test once in a while."""
    return policy(limit, period_ms=86_400_000)


def test_many_decisions_at_once_share_few_round_trips(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, daily(1_000))
            await ask(limiter, charge)
            pipelines, commands = driver.pipelines, driver.commands
            await gather(runtime, lambda: ask(limiter, charge), 256)
            assert driver.commands - commands == 256
            assert driver.pipelines - pipelines <= 8

    run_real(body)


def test_a_script_that_the_server_lost_is_loaded_again(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, daily(100))
            await ask(limiter, charge)
            await driver.execute("SCRIPT", "FLUSH")
            answers = await gather(runtime, lambda: ask(limiter, charge), 20)
            assert sorted(a.standings[0].remaining for a in answers) == list(range(79, 99))

    run_real(body)


@pytest.mark.parametrize("command", [("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH"), ("FLUSHALL",)])
def test_whatever_is_flushed_the_next_decision_loads_what_it_needs(
    run_real: Driver, redis_server: RedisServer, command: tuple[str, ...]
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, daily(100))
            await limiter.restore_revocations({})
            await ask(limiter, charge)
            await driver.execute(*command)
            admission = await ask(limiter, charge, session="ses_1")
            assert admission.verdict is Verdict.ALLOWED
            assert admission.revocations_known == (command != ("FLUSHALL",))

    run_real(body)


def test_after_a_restart_the_script_is_loaded_again_and_what_was_counted_still_counts(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, daily(100))
            ban = await limiter.ban(ADDRESS, duration_ms=600_000, jitter=0.0, reason="kept")
            for _ in range(10):
                await ask(limiter, charge)
            redis_server.restart()
            with suppress(DependencyUnavailable):
                await ask(limiter, charge)
            assert (await ask(limiter, charge)).standings[0].remaining in (88, 89)
            assert (await limiter.status(ADDRESS, [])).ban == ban

    run_real(body)


def test_without_a_test_clock_the_server_tells_the_time(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            before = await driver.execute("TIME")
            ban = await limiter.ban(USER, duration_ms=1_000_000, jitter=0.0)
            after = await driver.execute("TIME")
            assert isinstance(before, list)
            assert isinstance(after, list)
            earliest, latest = (int(t[0]) * 1_000 + int(t[1]) // 1_000 for t in (before, after))  # type: ignore[arg-type]  # TIME answers two texts
            assert earliest <= ban.until_ms - 1_000_000 <= latest
            assert (await limiter.bans(limit=1)).items == (replace(ban, reason=""),)

    run_real(body)


def test_no_name_stands_in_redis_and_every_key_expires(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> Sequence[bytes]:
        async with connected(runtime, redis_server) as driver:
            await driver.execute("FLUSHDB")
            limiter = redis_limiter(driver, None)
            for identifier in (ADDRESS, ACCOUNT_NAME):
                for _ in range(5):
                    await ask(limiter, Charge(identifier, daily(1)))
            await limiter.ban(USER, duration_ms=None, jitter=0.0, reason="told by ada@example.org")
            await limiter.violate(Identifier(IdentifierType.USER, "usr_2"), jitter=0.0)
            await limiter.revoke_session("ses_1", ttl_ms=1_000)
            await limiter.restore_revocations({"ses_2": 1_000})
            keys = await driver.execute("KEYS", "*")
            assert isinstance(keys, list)
            stored = b"\n".join(key for key in keys if isinstance(key, bytes))
            for key in keys:
                assert isinstance(key, bytes)
                time_left_ms = await driver.execute("PTTL", key)
                assert isinstance(time_left_ms, int)
                assert time_left_ms > 0, key
                kind = await driver.execute("TYPE", key)
                value = await driver.execute(*(("GET", key) if kind == b"string" else ("ZRANGE", key, 0, -1)))
                stored += repr(value).encode()
            for name in (b"192.0.2.7", b"usr_", b"ses_", b"ada", json.dumps("told by").encode()):
                assert name not in stored
            return stored.split(b"\n")

    stored = run_real(body)
    kinds = {line.split(b":")[0] for line in stored}
    assert kinds >= {b"ratelimit", b"violations", b"banned", b"bans", b"revoked", b"revocations"}


def test_a_flushed_redis_is_not_trusted_for_revocations_until_they_are_restored(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, daily(100))
            assert not (await ask(limiter, charge, session="ses_1")).revocations_known
            assert (await ask(limiter, charge)).revocations_known
            await limiter.restore_revocations({})
            assert (await ask(limiter, charge, session="ses_1")).revocations_known
            await driver.execute("FLUSHDB")
            assert not (await ask(limiter, charge, session="ses_1")).revocations_known
            await limiter.restore_revocations({})
            await driver.close()
            # A new connection may have found a replica that never heard of the last revocations.
            assert not (await ask(limiter, charge, session="ses_1")).revocations_known

    run_real(body)


def test_a_stopped_redis_raises_and_its_return_is_enough(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, daily(100))
            await ask(limiter, charge)
            redis_server.kill()
            try:
                for _ in range(3):
                    with pytest.raises(DependencyUnavailable, match="redis"):
                        await ask(limiter, charge)
            finally:
                redis_server.start()
            assert (await ask(limiter, charge)).standings[0].remaining == 98

    run_real(body)
