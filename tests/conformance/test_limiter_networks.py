"""What every limiter promises about IPv6: several banned /64s ban their /56."""

from __future__ import annotations

from domain.limits.admission import Admission, Charge, Verdict
from domain.limits.bans import ESCALATION_NETWORKS, Ban
from domain.limits.identifiers import Identifier, IdentifierType
from ports.limits.limiter import Limiter
from ports.runtime import Runtime
from tests.conformance.limiters import BAN_POLICY, START_MS, USER, Open, Time, ask, policy
from tests.conformance.runtimes import Driver

NETWORK = Identifier(IdentifierType.IP, "2001:db8:0:100::/56")
STRANGER = Identifier(IdentifierType.IP, "2001:db8:0:1ff::/64")
OUTSIDER = Identifier(IdentifierType.IP, "2001:db8:0:200::/64")


def link(number: int) -> Identifier:
    return Identifier(IdentifierType.IP, f"2001:db8:0:1{number:02x}::/64")


async def misbehave(limiter: Limiter, identifier: Identifier) -> Admission:
    """Requests until it is banned; the answer that said so."""
    while True:
        admission = await ask(
            limiter, Charge(USER, policy(1_000, name="user")), Charge(identifier, policy(1))
        )
        if admission.verdict is Verdict.BANNED:
            return admission


def test_the_fourth_banned_64_bans_its_56_and_every_other_64_of_it(
    run_real: Driver, open_limiter: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        time = Time()
        async with open_limiter(runtime, time) as limiter:
            told = [await misbehave(limiter, link(number)) for number in range(ESCALATION_NETWORKS)]
            assert [(one.newly_banned, one.escalated) for one in told] == [(True, False)] * 3 + [(True, True)]
            stranger, outsider = Charge(STRANGER, policy()), Charge(OUTSIDER, policy())
            time.moment_ms += 1_000
            assert await ask(limiter, stranger) == Admission(Verdict.BANNED, 59_000, NETWORK)
            assert (await ask(limiter, outsider)).verdict is Verdict.ALLOWED
            ban = Ban(NETWORK, START_MS + 60_000, 1, "escalation")
            assert (await limiter.status(STRANGER, [])).ban == ban
            assert ban in (await limiter.bans(limit=10)).items
            assert await limiter.bans_in_force() == ESCALATION_NETWORKS + 1
            time.moment_ms += 59_000
            assert (await ask(limiter, stranger)).verdict is Verdict.ALLOWED

    run_real(body)


def test_the_network_of_a_64_is_lifted_by_its_own_name(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            for number in range(ESCALATION_NETWORKS):
                await misbehave(limiter, link(number))
            assert not await limiter.lift(STRANGER)
            assert await limiter.lift(NETWORK)
            assert (await ask(limiter, Charge(STRANGER, policy()))).verdict is Verdict.ALLOWED
            assert (await ask(limiter, Charge(link(0), policy()))).identifier == link(0)

    run_real(body)


def test_a_56_banned_by_hand_refuses_its_64s_and_nobody_else(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            ban = await limiter.ban(NETWORK, duration_ms=5_000, jitter=0.0, reason="botnet")
            assert (await limiter.status(NETWORK, [])).ban == ban
            assert (await limiter.status(link(3), [])).ban == ban
            assert (await limiter.bans(limit=9)).items == (ban,)
            refused = await ask(limiter, Charge(USER, policy(name="user")), Charge(link(3), policy()))
            assert refused == Admission(Verdict.BANNED, 5_000, NETWORK)
            assert await limiter.violate(link(3), jitter=0.0) is None
            assert (await ask(limiter, Charge(OUTSIDER, policy()))).verdict is Verdict.ALLOWED
            longer = await limiter.ban(link(3), duration_ms=9_000, jitter=0.0, reason="itself")
            assert (await limiter.status(link(3), [])).ban == longer
            assert (await ask(limiter, Charge(link(3), policy()))).identifier == link(3)

    run_real(body)


def test_64s_banned_by_hand_do_not_ban_their_56(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            for number in range(2 * ESCALATION_NETWORKS):
                await limiter.ban(link(number), duration_ms=None, jitter=0.0)
            assert (await ask(limiter, Charge(STRANGER, policy()))).verdict is Verdict.ALLOWED

    run_real(body)


def test_bans_within_the_memory_of_violations_count_and_a_cleared_56_starts_anew(
    run_real: Driver, open_limiter: Open
) -> None:
    async def violated(limiter: Limiter, number: int) -> Ban:
        ban = None
        while ban is None:
            ban = await limiter.violate(link(number), jitter=0.0)
        return ban

    async def body(runtime: Runtime) -> None:
        time = Time()
        async with open_limiter(runtime, time) as limiter:
            first = await violated(limiter, 0)
            assert first == Ban(link(0), START_MS + 60_000, 1, "violations")
            time.moment_ms += BAN_POLICY.violations_ttl_ms
            bans = [await violated(limiter, number) for number in (1, 2, 3)]
            assert not any(ban.escalated for ban in bans)
            await limiter.clear(NETWORK, [])
            bans = [await violated(limiter, number) for number in (4, 5, 6, 7)]
            assert [ban.escalated for ban in bans] == [False, False, False, True]
            assert (await limiter.status(STRANGER, [])).ban == Ban(
                NETWORK, time.moment_ms + 60_000, 1, "escalation"
            )

    run_real(body)
