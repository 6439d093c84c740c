"""What only the Redis limiter promises: one script, few round trips, no names, the pure rules' answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.memory.limiter import MemoryLimiter
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from domain.admission import Admission, Charge, Identifier, IdentifierType
from domain.bans import JITTER_MAX, BanPolicy
from domain.ratelimit import Algorithm, Policy
from ports.errors import DependencyUnavailable
from ports.limiter import Limiter
from ports.runtime import Runtime
from tests.conformance.limiters import (
    ACCOUNT_NAME,
    ADDRESS,
    START_MS,
    USER,
    Time,
    ask,
    connected,
    gather,
    policy,
    redis_limiter,
)
from tests.conformance.runtimes import Driver
from tests.servers.redis_server import RedisServer

# --- Redis and the pure rules are the same


@dataclass(frozen=True)
class Step:
    action: str
    choice: int
    wait_ms: int
    """Below zero: until the last refusal said that it would pass, and one less or exactly."""
    jitter: float


# Mostly decisions, close together or at the edge of a refusal: only they reach limits and bans.
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["decide"] * 16 + ["violate", "ban", "lift", "clear"]),
        st.integers(0, 3),
        st.one_of(
            st.just(0),
            st.sampled_from([-1, -2]),
            st.integers(0, 9),
            st.integers(0, 900),
            st.integers(0, 90_000),
        ),
        st.floats(0.0, JITTER_MAX),
    ),
    min_size=20,
    max_size=60,
)
rates = st.tuples(st.integers(1, 4), st.sampled_from([7, 50, 1_000, 60_000, 86_400_000]))
wide_rates = st.tuples(st.integers(5, 10_000_000), st.sampled_from([1, 333, 60_000, 86_400_000]))
policy_sets = st.lists(
    st.tuples(st.one_of(rates, rates, wide_rates), st.sampled_from(Algorithm)), min_size=3, max_size=3
)
# A high threshold leaves the windows to themselves; a low one leads into bans again and again.
ban_policies = st.builds(
    lambda threshold, base, factor, half_life, ttl: BanPolicy(threshold, base, base * factor, half_life, ttl),
    st.sampled_from([0, 1, 3, 1_000, 1_000]),
    st.one_of(st.integers(1, 50), st.integers(1, 60_000)),
    st.integers(1, 100),
    st.one_of(st.integers(1, 100), st.integers(1, 200_000)),
    st.one_of(st.integers(1, 100), st.integers(1, 200_000)),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy_sets, ban_policies, steps, st.integers(0, 86_400_000))
def test_the_script_and_the_pure_rules_give_the_same_answers(
    redis_server: RedisServer,
    rates: list[tuple[tuple[int, int], Algorithm]],
    ban_policy: BanPolicy,
    script: list[Step],
    offset_ms: int,
) -> None:
    policies = [
        Policy(name, limit, period_ms, algorithm)
        for name, ((limit, period_ms), algorithm) in zip(("a", "b", "c"), rates, strict=True)
    ]
    identifiers = [ADDRESS, USER, ACCOUNT_NAME]
    mixes = [
        [Charge(ADDRESS, policies[0])],
        [Charge(ADDRESS, policies[0]), Charge(USER, policies[1], max(1, policies[1].limit // 2))],
        [Charge(ACCOUNT_NAME, policies[2]), Charge(ADDRESS, policies[1]), Charge(ADDRESS, policies[0])],
        [Charge(USER, p, max(1, p.limit // 3)) for p in policies],
    ]
    time = Time(START_MS + offset_ms)

    async def play(limiter: Limiter, action: str, choice: int, jitter: float) -> object:
        identifier = identifiers[choice % 3]
        match action:
            case "decide":
                return await limiter.decide(mixes[choice], session=None, jitter=jitter)
            case "violate":
                return await limiter.violate(identifier, jitter=jitter)
            case "ban":
                duration_ms = None if choice else 12_345
                return await limiter.ban(identifier, duration_ms=duration_ms, jitter=jitter, reason="r")
            case "lift":
                return await limiter.lift(identifier)
            case _:
                await limiter.clear(identifier, mixes[choice])
                return None

    async def main() -> None:
        runtime = AsyncioRuntime()
        async with runtime.running(), connected(runtime, redis_server) as driver:
            model = MemoryLimiter(clock=time, ban_policy=ban_policy)
            limiter = redis_limiter(driver, time, ban_policy)
            retry_after_ms = 0
            for step in script:
                at_the_edge_ms = max(0, retry_after_ms + step.wait_ms + 1)
                time.moment_ms += step.wait_ms if step.wait_ms >= 0 else at_the_edge_ms
                expected = await play(model, step.action, step.choice, step.jitter)
                answer = await play(limiter, step.action, step.choice, step.jitter)
                assert answer == expected
                if isinstance(answer, Admission):
                    retry_after_ms = answer.retry_after_ms
                for identifier in identifiers:
                    looked = await limiter.status(identifier, mixes[step.choice])
                    assert looked == await model.status(identifier, mixes[step.choice])
            # Bans that end together have no order.
            assert set((await limiter.bans(limit=9)).items) == set((await model.bans(limit=9)).items)

    asyncio.run(main())


# --- what only Redis has


def test_many_decisions_at_once_share_few_round_trips(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            limiter = redis_limiter(driver, None)
            charge = Charge(USER, policy(1_000))
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
            charge = Charge(USER, policy(100))
            await ask(limiter, charge)
            await driver.execute("SCRIPT", "FLUSH")
            answers = await gather(runtime, lambda: ask(limiter, charge), 20)
            assert sorted(a.standings[0].remaining for a in answers) == list(range(79, 99))

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
                    await ask(limiter, Charge(identifier, policy(1)))
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
            charge = Charge(USER, policy(100))
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
            charge = Charge(USER, policy(100))
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
