"""What only the memory limiter promises: its bounds, and who makes room."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.memory.limits.identifier_table import IdentifierTable
from adapters.memory.limits.limiter import MemoryLimiter
from adapters.redis.key_names import NAMES_CACHED_MAX, KeyNames
from domain.limits import identifiers
from domain.limits.admission import Charge, Identifier, IdentifierType, Verdict
from domain.limits.bans import BanPolicy
from domain.limits.identifiers import NETWORKS_CACHED_MAX
from ports.runtime import Runtime
from tests.conformance.limiters import (
    ADDRESS,
    BAN_POLICY,
    Time,
    ask,
    policy,
)
from tests.conformance.runtimes import Driver


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
        assert (await limiter.bans(limit=10)).items == (ban,)
        time.moment_ms = ban.until_ms
        for number in range(20):
            await ask(limiter, Charge(address(number), policy()))
        assert (await limiter.bans(limit=10)).items == ()
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
            assert {ban.identifier: ban.until_ms for ban in (await limiter.bans(limit=99)).items} == in_force
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


def test_one_million_distinct_identifiers_leave_no_more_behind_than_the_table_holds() -> None:
    table, bound = IdentifierTable(identifiers_max=1_000), 1_000
    for number in range(1_000_000):
        table.touch(Identifier(IdentifierType.IP, str(number)), now_ms=number // 100)
        if number % 1_000 == 0:
            assert len(table) <= bound
            assert max(len(table._expiries), len(table._ban_ends)) <= 4 * bound + 1


def test_a_flood_of_addresses_leaves_limiter_names_and_networks_within_their_bounds() -> None:
    """IPv6, since each brings its /56 along, and a ban of a few."""
    time, bound = Time(), 100
    limiter = MemoryLimiter(clock=time, ban_policy=BanPolicy(threshold=0), identifiers_max=bound)
    names = KeyNames(key=bytes(32))

    async def flood() -> None:
        for number in range(NAMES_CACHED_MAX + 2_000):
            link = Identifier(IdentifierType.IP, f"2001:db8:{number:x}:1::/64")
            names.identifier(link)
            if number % 4 == 0:
                await limiter.decide([Charge(link, policy())], session=None, jitter=0.0)
            if number % 64 == 0:
                await limiter.violate(link, jitter=0.0)
            time.moment_ms += 1
            assert len(limiter._table) <= bound

    asyncio.run(flood())
    assert names.identifier.cache_info().currsize <= NAMES_CACHED_MAX
    assert identifiers._wider.cache_info().currsize <= NETWORKS_CACHED_MAX
