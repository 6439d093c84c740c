"""The script and the pure rules are the same: one sequence of everything that a limiter does, two answers.

On one server, where a decision is one call, and on a cluster, where it is one call a slot.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.memory.limits.limiter import MemoryLimiter
from adapters.redis.driver.resp import frame
from adapters.redis.key_names import KeyNames
from adapters.redis.limits.decision import Calls
from adapters.redis.limits.script import Script
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from domain.limits.admission import Admission, Charge, Identifier, IdentifierType, Verdict
from domain.limits.bans import JITTER_MAX, BanPolicy
from domain.limits.windows import UNUSED, Algorithm, Policy, peek, refund, take
from ports.limits.limiter import Limiter
from tests.conformance.limiters import (
    ACCOUNT_NAME,
    ADDRESS,
    API_KEY,
    BAN_POLICY,
    START_MS,
    USER,
    Time,
    connected,
    redis_limiter,
)
from tests.seeds import examples
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer

SESSION_MS = 10 * 366 * 86_400_000
"""Longer than any sequence: revocations end by Redis's own clock, which the test does not move."""
LINKS = [Identifier(IdentifierType.IP, f"2001:db8:0:1{number:02x}::/64") for number in range(5)]
"""Five /64s of one /56."""
NEIGHBOUR = Identifier(IdentifierType.IP, "2001:db8:0:200::/64")
NETWORK = Identifier(IdentifierType.IP, "2001:db8:0:100::/56")
IDENTIFIERS = [ADDRESS, USER, ACCOUNT_NAME, API_KEY, *LINKS, NEIGHBOUR, NETWORK]


@dataclass(frozen=True)
class Step:
    action: str
    choice: int
    other: int
    wait_ms: int
    """Below zero: until the last refusal said that it would pass, and one less or exactly."""
    jitter: float


# Mostly decisions, close together or at the edge of a refusal: only they reach limits and bans.
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            ["decide"] * 16 + ["violate"] * 4 + ["ban", "lift", "clear", "revoke", "restore", "status"]
        ),
        st.integers(0, 99),
        st.integers(0, 99),
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
    lambda threshold, base, factor, half_life, ttl, keys: BanPolicy(
        threshold, base, base * factor, half_life, ttl, keys
    ),
    st.sampled_from([0, 0, 1, 3, 1_000, 1_000]),
    st.one_of(st.integers(1, 50), st.integers(1, 60_000)),
    st.integers(1, 100),
    st.one_of(st.integers(1, 100), st.integers(1, 200_000)),
    st.one_of(st.integers(1, 100), st.integers(1, 200_000)),
    st.booleans(),
)


def mixes(policies: list[Policy]) -> list[list[Charge]]:
    a, b, c = policies
    return [
        [Charge(ADDRESS, a)],
        [Charge(ADDRESS, a), Charge(USER, b, max(1, b.limit // 2))],
        [Charge(ACCOUNT_NAME, c), Charge(ADDRESS, b), Charge(ADDRESS, a)],
        [Charge(USER, p, max(1, p.limit // 3)) for p in policies],
        [Charge(USER, b), Charge(NEIGHBOUR, c), Charge(NETWORK, a)],
        [Charge(LINKS[0], a), Charge(LINKS[1], a), Charge(NEIGHBOUR, b)],
        *([Charge(USER, c), Charge(link, a)] for link in LINKS),
        [Charge(API_KEY, a)],
        [Charge(API_KEY, a), Charge(ADDRESS, b)],
        [],
    ]


async def play(limiter: Limiter, step: Step, charges: list[Charge]) -> object:
    identifier = IDENTIFIERS[step.choice % len(IDENTIFIERS)]
    session = f"ses_{step.other % 4}"
    match step.action:
        case "decide":
            asked = session if step.other % 2 else None
            return await limiter.decide(charges, session=asked, jitter=step.jitter)
        case "violate":
            return await limiter.violate(identifier, jitter=step.jitter)
        case "ban":
            duration_ms = None if step.other % 3 else 12_345
            return await limiter.ban(identifier, duration_ms=duration_ms, jitter=step.jitter, reason="r")
        case "lift":
            return await limiter.lift(identifier)
        case "clear":
            await limiter.clear(identifier, charges)
        case "revoke":
            await limiter.revoke_session(session, ttl_ms=SESSION_MS)
        case "restore":
            await limiter.restore_revocations({session: SESSION_MS})
        case _:
            return await limiter.status(identifier, charges)
    return None


async def compare(
    server: RedisServer | RedisCluster,
    policies: list[Policy],
    ban_policy: BanPolicy,
    script: list[Step],
    time: Time,
) -> None:
    runtime = AsyncioRuntime()
    async with runtime.running(), connected(runtime, server) as driver:
        model = MemoryLimiter(clock=time, ban_policy=ban_policy)
        limiter = redis_limiter(driver, time, ban_policy)
        await limiter.restore_revocations({})
        chosen = mixes(policies)
        retry_after_ms = 0
        for step in script:
            at_the_edge_ms = max(0, retry_after_ms + step.wait_ms + 1)
            time.moment_ms += step.wait_ms if step.wait_ms >= 0 else at_the_edge_ms
            charges = chosen[step.choice % len(chosen)]
            expected = await play(model, step, charges)
            answer = await play(limiter, step, charges)
            assert answer == expected, step
            if isinstance(answer, Admission):
                retry_after_ms = answer.retry_after_ms
            for identifier in {charge.identifier for charge in charges}:
                assert await limiter.status(identifier, charges) == await model.status(identifier, charges)
        # Bans that end together have no order.
        assert set((await limiter.bans(limit=99)).items) == set((await model.bans(limit=99)).items)
        assert await limiter.bans_in_force() == await model.bans_in_force()
        for identifier in IDENTIFIERS:
            assert await limiter.status(identifier, []) == await model.status(identifier, [])


@settings(
    deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(policy_sets, ban_policies, steps, st.integers(0, 86_400_000))
@pytest.mark.parametrize("server", ["redis_server", "redis_cluster"])
def test_the_script_and_the_pure_rules_give_the_same_answers(
    request: pytest.FixtureRequest,
    server: str,
    rates: list[tuple[tuple[int, int], Algorithm]],
    ban_policy: BanPolicy,
    script: list[Step],
    offset_ms: int,
) -> None:
    policies = [
        Policy(name, limit, period_ms, algorithm)
        for name, ((limit, period_ms), algorithm) in zip(("a", "b", "c"), rates, strict=True)
    ]
    redis: RedisServer | RedisCluster = request.getfixturevalue(server)
    asyncio.run(compare(redis, policies, ban_policy, script, Time(START_MS + offset_ms)))


@settings(
    deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.tuples(rates, st.sampled_from(Algorithm)),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 4), st.booleans()), min_size=1, max_size=20),
    st.integers(-20, 200),
)
def test_the_script_gives_back_what_the_pure_rule_gives_back(
    redis_server: RedisServer,
    rate: tuple[tuple[int, int], Algorithm],
    script: list[tuple[int, int, bool]],
    late_ms: int,
) -> None:
    (limit, period_ms), algorithm = rate
    policy, time = Policy("a", limit, period_ms, algorithm), Time()

    async def main() -> None:
        runtime = AsyncioRuntime()
        async with runtime.running(), connected(runtime, redis_server) as driver:
            names = KeyNames(key=str(id(script)).encode() * 16)
            await driver.execute("FLUSHDB")
            calls = Calls(
                script=Script(driver=driver, name="limiter.lua"),
                names=names,
                ban_policy=BAN_POLICY,
                now_ms=time.now_ms,
            )
            keys, state = [names.identifier(USER)], UNUSED
            for wait_ms, wished, kept in script:
                time.moment_ms += wait_ms
                charges = [Charge(USER, policy, min(wished, limit))]
                said = await calls.decide(charges, keys, None, frame(0), blames=False)
                decision, state = take(policy, state, time.moment_ms, charges[0].cost)
                assert (said.verdict is Verdict.ALLOWED) == decision.allowed
                assert list(said.numbers[:2]) == [decision.remaining, decision.reset_ms]
                if decision.allowed and not kept:
                    assert said.numbers[2] == state.since_ms
                    taken_ms = state.since_ms
                    time.moment_ms = max(0, time.moment_ms + late_ms)
                    state = refund(policy, state, taken_ms, charges[0].cost)
                    standing = peek(policy, state, time.moment_ms)
                    answered = await calls.refund(charges, keys, [taken_ms])
                    assert list(answered) == [standing.remaining, standing.reset_ms]

    asyncio.run(main())
