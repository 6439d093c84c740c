"""What every limiter promises: in memory and in Redis, on asyncio and trio.

Time is the test's own: the memory limiter's clock, and what the script is told instead of TIME.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.memory.limiter import MemoryLimiter
from adapters.redis.connect import connect
from adapters.redis.driver import RedisDriver
from adapters.redis.limiter import RedisLimiter
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from domain.admission import Admission, Charge, Identifier, IdentifierType, Standing, Verdict
from domain.bans import DURATION_MS_MAX, JITTER_MAX, Ban, BanPolicy
from domain.ratelimit import Algorithm, Policy
from ports.errors import DependencyUnavailable
from ports.limiter import Limiter
from ports.runtime import Runtime
from tests.conformance.runtimes import Driver
from tests.servers.redis_server import RedisServer

START_MS = 1_800_000_000_000
SEAL_MASK = 0x5A
TEST_TIMEOUT_MS_MAX = 5_000
"""The rules are tested here, not how fast a busy machine answers."""

ADDRESS = Identifier(IdentifierType.IP, "192.0.2.7")
USER = Identifier(IdentifierType.USER, "usr_1")
ACCOUNT_NAME = Identifier(IdentifierType.ACCOUNT_NAME, "ada@example.org")
BAN_POLICY = BanPolicy(threshold=2, base_ms=60_000, max_ms=600_000, half_life_ms=3_600_000)


def policy(limit: int = 3, period_ms: int = 60_000, name: str = "ip") -> Policy:
    return Policy(name, limit, period_ms, Algorithm.FIXED_WINDOW)


@dataclass
class Time:
    """A clock that stands still until it is moved."""

    moment_ms: int = START_MS

    def now_ms(self) -> int:
        return self.moment_ms


class Open(Protocol):
    """Opens a fresh limiter."""

    def __call__(
        self, runtime: Runtime, time: Time, ban_policy: BanPolicy = BAN_POLICY, /
    ) -> AbstractAsyncContextManager[Limiter]: ...


def seal(plaintext: bytes) -> bytes:
    return bytes(byte ^ SEAL_MASK for byte in plaintext)


def redis_limiter(driver: RedisDriver, time: Time | None, ban_policy: BanPolicy = BAN_POLICY) -> RedisLimiter:
    return RedisLimiter(
        driver=driver,
        ban_policy=ban_policy,
        naming_key=os.urandom(32),
        seal=seal,
        open_sealed=seal,
        now_ms=None if time is None else time.now_ms,
    )


@asynccontextmanager
async def connected(runtime: Runtime, server: RedisServer) -> AsyncIterator[RedisDriver]:
    driver = connect(
        runtime,
        url=server.url,
        password=server.password,
        decision_timeout_ms_max=TEST_TIMEOUT_MS_MAX,
        connect_timeout_ms_max=TEST_TIMEOUT_MS_MAX,
    )
    try:
        yield driver
    finally:
        await driver.close()


@pytest.fixture(params=["memory", "redis"])
def open_limiter(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":

        @asynccontextmanager
        async def in_memory(
            _runtime: Runtime, time: Time, ban_policy: BanPolicy = BAN_POLICY
        ) -> AsyncIterator[Limiter]:
            yield MemoryLimiter(clock=time, ban_policy=ban_policy)

        return in_memory
    server: RedisServer = request.getfixturevalue("redis_server")

    @asynccontextmanager
    async def in_redis(
        runtime: Runtime, time: Time, ban_policy: BanPolicy = BAN_POLICY
    ) -> AsyncIterator[Limiter]:
        async with connected(runtime, server) as driver:
            yield redis_limiter(driver, time, ban_policy)

    return in_redis


async def ask(limiter: Limiter, *charges: Charge, session: str | None = None) -> Admission:
    return await limiter.decide(charges, session=session, jitter=0.0)


async def gather(runtime: Runtime, work: Callable[[], Awaitable[Admission]], count: int) -> list[Admission]:
    tasks = [runtime.start(work, name=f"caller {number}") for number in range(count)]
    return [await task.wait() for task in tasks]


def test_a_quota_admits_exactly_its_limit_and_then_says_when_to_come_back(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        time = Time(START_MS + 1_000)
        async with open_limiter(runtime, time) as limiter:
            charge = Charge(ADDRESS, policy())
            for left in (2, 1, 0):
                assert await ask(limiter, charge) == Admission(
                    Verdict.ALLOWED, standings=(Standing(charge, left, 59_000),)
                )
            assert await ask(limiter, charge) == Admission(
                Verdict.QUOTA_EXCEEDED, 59_000, ADDRESS, (Standing(charge, 0, 59_000),)
            )
            time.moment_ms += 59_000
            assert (await ask(limiter, charge)).verdict is Verdict.ALLOWED

    run_real(body)


def test_a_refused_request_consumes_nothing_elsewhere(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            narrow, wide = Charge(ADDRESS, policy(1, name="login")), Charge(USER, policy(5, name="user"))
            assert (await ask(limiter, wide, narrow)).verdict is Verdict.ALLOWED
            refused = await ask(limiter, wide, narrow)
            assert refused.identifier == ADDRESS
            assert [standing.remaining for standing in refused.standings] == [4, 0]
            assert (await ask(limiter, wide)).standings[0].remaining == 3

    run_real(body)


def test_violations_up_to_the_threshold_are_refused_the_next_bans_and_the_second_ban_is_longer(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        time = Time()
        async with open_limiter(runtime, time) as limiter:
            charge = Charge(ADDRESS, policy(1))
            durations = []
            for _ in range(2):
                time.moment_ms += 3_600_000 - 600_000
                verdicts = [await ask(limiter, charge) for _ in range(4)]
                assert [v.verdict for v in verdicts] == [
                    Verdict.ALLOWED,
                    Verdict.QUOTA_EXCEEDED,
                    Verdict.QUOTA_EXCEEDED,
                    Verdict.BANNED,
                ]
                assert [v.newly_banned for v in verdicts] == [False, False, False, True]
                durations.append(verdicts[-1].retry_after_ms)
                time.moment_ms += 1_000
                again = await ask(limiter, charge)
                assert again == Admission(Verdict.BANNED, durations[-1] - 1_000, ADDRESS)
                time.moment_ms += durations[-1] - 1_000
            assert durations == [60_000, 120_000]
            assert (await ask(limiter, charge)).verdict is Verdict.ALLOWED

    run_real(body)


def test_a_banned_identifier_is_refused_until_its_ban_ends_whoever_it_comes_with(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        time = Time()
        async with open_limiter(runtime, time) as limiter:
            ban = await limiter.ban(ADDRESS, duration_ms=5_000, jitter=0.0, reason="spam")
            assert ban == Ban(ADDRESS, START_MS + 5_000, 1, "spam")
            charges = (Charge(USER, policy(name="user")), Charge(ADDRESS, policy()))
            time.moment_ms += 4_999
            assert await ask(limiter, *charges) == Admission(Verdict.BANNED, 1, ADDRESS)
            time.moment_ms += 1
            allowed = await ask(limiter, *charges)
            assert [standing.remaining for standing in allowed.standings] == [2, 2]

    run_real(body)


def test_a_lifted_ban_lets_in_at_once_and_is_lifted_once(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            assert not await limiter.lift(ADDRESS)
            await limiter.ban(ADDRESS, duration_ms=None, jitter=0.0)
            assert await limiter.lift(ADDRESS)
            assert not await limiter.lift(ADDRESS)
            assert await limiter.bans(limit=10) == []
            assert (await ask(limiter, Charge(ADDRESS, policy()))).verdict is Verdict.ALLOWED
            assert (await limiter.ban(ADDRESS, duration_ms=None, jitter=0.0)).level == 2

    run_real(body)


def test_bans_in_force_are_listed_with_their_reason_the_last_to_end_first(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        time = Time()
        async with open_limiter(runtime, time) as limiter:
            await limiter.ban(ADDRESS, duration_ms=10, jitter=0.0, reason="ended")
            time.moment_ms += 10
            charge = Charge(ADDRESS, policy(1))
            *_, last = [await ask(limiter, charge) for _ in range(4)]
            assert last.newly_banned
            by_hand = await limiter.ban(USER, duration_ms=1_000, jitter=0.0, reason="fraud, “quoted”")
            automatic = Ban(ADDRESS, time.moment_ms + last.retry_after_ms, 2, "violations")
            assert await limiter.bans(limit=10) == [automatic, by_hand]
            assert await limiter.bans(limit=1) == [automatic]

    run_real(body)


def test_windows_on_account_names_refuse_but_never_ban(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            charge = Charge(ACCOUNT_NAME, policy(1, name="login"))
            assert (await ask(limiter, charge)).verdict is Verdict.ALLOWED
            for _ in range(BAN_POLICY.threshold + 3):
                assert (await ask(limiter, charge)).verdict is Verdict.QUOTA_EXCEEDED
            assert await limiter.violate(ACCOUNT_NAME, jitter=0.0) is None
            status = await limiter.status(ACCOUNT_NAME, [charge])
            assert (status.windows, status.violations, status.ban) == ((("login", 1),), 0, None)

    run_real(body)


def test_a_violation_seen_elsewhere_counts_like_one_over_the_limit(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            bans = [await limiter.violate(ADDRESS, jitter=0.1) for _ in range(4)]
            assert bans == [None, None, Ban(ADDRESS, START_MS + 66_000, 1, "violations"), None]
            assert (await ask(limiter, Charge(ADDRESS, policy()))).verdict is Verdict.BANNED

    run_real(body)


def test_a_revoked_session_is_refused_for_as_long_as_its_tokens_live_and_counts_nothing(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            charge = Charge(ADDRESS, policy(1))
            await limiter.revoke_session("ses_1", ttl_ms=300_000)
            assert (await ask(limiter, charge, session="ses_1")).verdict is Verdict.REVOKED
            assert (await ask(limiter, charge, session="ses_2")).verdict is Verdict.ALLOWED
            refused = await ask(limiter, charge, session="ses_1")
            assert refused == Admission(Verdict.REVOKED, revocations_known=refused.revocations_known)
            await limiter.ban(ADDRESS, duration_ms=None, jitter=0.0)
            assert (await ask(limiter, charge, session="ses_1")).verdict is Verdict.BANNED

    run_real(body)


def test_restored_revocations_are_refused_and_known(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            await limiter.restore_revocations({"ses_1": 60_000, "ses_2": 60_000})
            charge = Charge(ADDRESS, policy())
            for session, verdict in (
                ("ses_1", Verdict.REVOKED),
                ("ses_2", Verdict.REVOKED),
                ("ses_3", Verdict.ALLOWED),
            ):
                admission = await ask(limiter, charge, session=session)
                assert (admission.verdict, admission.revocations_known) == (verdict, True)

    run_real(body)


def test_status_shows_what_is_used_and_clear_forgets_it_but_not_the_ban(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            charges = [Charge(ADDRESS, policy(2)), Charge(ADDRESS, policy(9, name="read"), cost=3)]
            for _ in range(3):
                await ask(limiter, *charges)
            status = await limiter.status(ADDRESS, [*charges, Charge(USER, policy(name="user"))])
            assert (status.windows, status.violations, status.ban) == ((("ip", 2), ("read", 6)), 1, None)
            await limiter.clear(ADDRESS, charges)
            status = await limiter.status(ADDRESS, charges)
            assert (status.windows, status.violations) == ((("ip", 0), ("read", 0)), 0)
            ban = await limiter.ban(ADDRESS, duration_ms=None, jitter=0.0, reason="why")
            await limiter.clear(ADDRESS, charges)
            assert (await limiter.status(ADDRESS, charges)).ban == ban

    run_real(body)


def test_of_64_callers_at_once_a_quota_of_10_admits_exactly_10(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time(), BanPolicy(threshold=100)) as limiter:
            charges = (Charge(ADDRESS, policy(10)), Charge(USER, policy(1_000, name="user")))
            answers = await gather(runtime, lambda: ask(limiter, *charges), 64)
            verdicts = [answer.verdict for answer in answers]
            assert verdicts.count(Verdict.ALLOWED) == 10
            assert verdicts.count(Verdict.QUOTA_EXCEEDED) == 54
            status = await limiter.status(USER, charges)
            assert status.windows == (("user", 10),)

    run_real(body)


@pytest.mark.parametrize("jitter", [-0.1, 0.2])
def test_a_jitter_out_of_bounds_is_refused(run_real: Driver, open_limiter: Open, jitter: float) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            with pytest.raises(ValueError, match="jitter"):
                await limiter.violate(ADDRESS, jitter=jitter)
            with pytest.raises(ValueError, match="jitter"):
                await limiter.ban(ADDRESS, duration_ms=None, jitter=jitter)

    run_real(body)


@pytest.mark.parametrize("duration_ms", [0, DURATION_MS_MAX + 1])
def test_a_ban_of_no_or_absurd_length_is_refused(
    run_real: Driver, open_limiter: Open, duration_ms: int
) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            with pytest.raises(ValueError, match="ban lasts"):
                await limiter.ban(ADDRESS, duration_ms=duration_ms, jitter=0.0)

    run_real(body)


def test_two_charges_of_one_window_are_refused(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            with pytest.raises(ValueError, match="same window"):
                await ask(limiter, Charge(ADDRESS, policy(3)), Charge(ADDRESS, policy(4)))

    run_real(body)


# --- Redis and the pure rules are the same


def step(action: str) -> st.SearchStrategy[tuple[str, int, int, float]]:
    return st.tuples(st.just(action), st.integers(0, 3), st.integers(0, 90_000), st.floats(0.0, JITTER_MAX))


# Mostly decisions, close together: only they reach the limits and the bans behind them.
steps = st.lists(
    st.one_of(*[step("decide")] * 8, step("violate"), step("ban"), step("lift"), step("clear")),
    min_size=1,
    max_size=40,
)
rates = st.tuples(st.integers(1, 6), st.sampled_from([1, 7, 1_000, 60_000, 86_400_000]))
wide_rates = st.tuples(st.integers(1, 10_000_000), st.sampled_from([1, 333, 60_000, 86_400_000]))
policy_sets = st.lists(
    st.tuples(st.one_of(rates, wide_rates), st.sampled_from(Algorithm)), min_size=3, max_size=3
)
ban_policies = st.builds(
    lambda threshold, base, factor, half_life, ttl: BanPolicy(threshold, base, base * factor, half_life, ttl),
    st.integers(0, 3),
    st.integers(1, 60_000),
    st.integers(1, 100),
    st.integers(1, 200_000),
    st.integers(1, 200_000),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy_sets, ban_policies, steps, st.integers(0, 86_400_000))
def test_the_script_and_the_pure_rules_give_the_same_answers(
    redis_server: RedisServer,
    rates: list[tuple[tuple[int, int], Algorithm]],
    ban_policy: BanPolicy,
    script: list[tuple[str, int, int, float]],
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
                answer: Admission | None = await limiter.decide(mixes[choice], session=None, jitter=jitter)
            case "violate":
                return await limiter.violate(identifier, jitter=jitter)
            case "ban":
                duration_ms = None if choice else 12_345
                return await limiter.ban(identifier, duration_ms=duration_ms, jitter=jitter, reason="r")
            case "lift":
                return await limiter.lift(identifier)
            case _:
                await limiter.clear(identifier, mixes[choice])
                answer = None
        statuses = [await limiter.status(i, mixes[choice]) for i in identifiers]
        return answer, statuses

    async def main() -> None:
        runtime = AsyncioRuntime()
        async with runtime.running(), connected(runtime, redis_server) as driver:
            model = MemoryLimiter(clock=time, ban_policy=ban_policy)
            limiter = redis_limiter(driver, time, ban_policy)
            for action, choice, wait_ms, jitter in script:
                time.moment_ms += wait_ms if choice else wait_ms // 1_000
                expected = await play(model, action, choice, jitter)
                assert await play(limiter, action, choice, jitter) == expected
            assert await limiter.bans(limit=9) == await model.bans(limit=9)

    asyncio.run(main())


# --- what only the memory limiter has: bounds


def address(number: int) -> Identifier:
    return Identifier(IdentifierType.IP, f"198.51.100.{number}")


def test_a_full_memory_forgets_who_was_touched_longest_ago_and_the_expired_before(run: Driver) -> None:
    async def body(_runtime: Runtime) -> None:
        time = Time()
        limiter = MemoryLimiter(clock=time, ban_policy=BAN_POLICY, identifiers_max=3)
        lasting, brief = policy(5, 60_000), policy(5, 1_000, "brief")

        async def used(number: int) -> int:
            return (await limiter.status(address(number), [Charge(address(number), lasting)])).windows[0][1]

        for number in (1, 2):
            await ask(limiter, Charge(address(number), lasting))
        await ask(limiter, Charge(address(3), brief))
        time.moment_ms += 1_000
        await ask(limiter, Charge(address(4), lasting))
        assert [await used(number) for number in (1, 2, 4)] == [1, 1, 1]
        await ask(limiter, Charge(address(1), lasting))
        await ask(limiter, Charge(address(5), lasting))
        assert [await used(number) for number in (1, 2, 4, 5)] == [2, 0, 1, 1]

    run(body)


def test_a_flood_of_addresses_does_not_wash_a_ban_away(run: Driver) -> None:
    async def body(_runtime: Runtime) -> None:
        time = Time()
        limiter = MemoryLimiter(clock=time, ban_policy=BAN_POLICY, identifiers_max=8)
        ban = await limiter.ban(ADDRESS, duration_ms=None, jitter=0.0)
        for number in range(200):
            time.moment_ms += 1
            await ask(limiter, Charge(address(number % 100), policy()))
        assert await limiter.bans(limit=10) == [ban]
        time.moment_ms = ban.until_ms
        for number in range(20):
            await ask(limiter, Charge(address(number), policy()))
        assert await limiter.bans(limit=10) == []
        # Its level went with it: the memory is full of others, and a ban that has ended is one of them.
        assert (await limiter.ban(ADDRESS, duration_ms=None, jitter=0.0)).level == 1

    run(body)


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.integers(0, 9), st.integers(0, 40_000), st.sampled_from(["ask", "ban", "lift", "clear"])
        ),
        max_size=80,
    ),
)
def test_memory_stays_within_its_bound_and_holds_every_ban_that_fits(
    identifiers_max: int, script: list[tuple[int, int, str]]
) -> None:
    time = Time()
    limiter = MemoryLimiter(clock=time, ban_policy=BAN_POLICY, identifiers_max=identifiers_max)
    in_force: dict[Identifier, int] = {}

    async def play() -> None:
        for number, wait_ms, action in script:
            time.moment_ms += wait_ms
            for ended in [i for i, until_ms in in_force.items() if until_ms <= time.moment_ms]:
                del in_force[ended]
            identifier = address(number)
            match action:
                case "ban" if len(in_force) < identifiers_max or identifier in in_force:
                    ban = await limiter.ban(identifier, duration_ms=None, jitter=0.0)
                    in_force[identifier] = ban.until_ms
                case "lift":
                    assert await limiter.lift(identifier) == (in_force.pop(identifier, None) is not None)
                case "clear":
                    await limiter.clear(identifier, [])
                case _ if len(in_force) < identifiers_max or identifier in in_force:
                    admission = await ask(limiter, Charge(identifier, policy(100)))
                    assert (admission.verdict is Verdict.BANNED) == (identifier in in_force)
                case _:
                    continue
            assert {ban.identifier: ban.until_ms for ban in await limiter.bans(limit=99)} == in_force
            assert len(limiter._table) <= identifiers_max

    asyncio.run(play())


def test_memory_of_revoked_sessions_is_bounded_and_forgets_those_that_end_first(run: Driver) -> None:
    async def body(_runtime: Runtime) -> None:
        limiter = MemoryLimiter(clock=Time(), ban_policy=BAN_POLICY, sessions_max=2)
        for session, ttl_ms in (("long", 9_000), ("short", 1_000), ("middle", 5_000)):
            await limiter.revoke_session(session, ttl_ms=ttl_ms)
        charge = Charge(ADDRESS, policy(9))
        verdicts = [(await ask(limiter, charge, session=s)).verdict for s in ("long", "short", "middle")]
        assert verdicts == [Verdict.REVOKED, Verdict.ALLOWED, Verdict.REVOKED]

    run(body)


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
            assert await limiter.bans(limit=1) == [replace(ban, reason="")]

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
