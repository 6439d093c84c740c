"""What every limiter promises: in memory and in Redis, on asyncio and trio.

Time is the test's own: the memory limiter's clock, and what the script is told instead of TIME.
"""

from __future__ import annotations

import pytest

from domain.limits.admission import Admission, Charge, Standing, Verdict
from domain.limits.bans import DURATION_MS_MAX, Ban, BanPolicy
from domain.limits.identifiers import Identifier, IdentifierType
from ports.limits.limiter import BanPosition
from ports.runtime import Runtime
from tests.conformance.limiters import (
    ACCOUNT_NAME,
    ADDRESS,
    BAN_POLICY,
    START_MS,
    USER,
    Open,
    Time,
    ask,
    gather,
    policy,
)
from tests.conformance.runtimes import Driver


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
            assert (await limiter.bans(limit=10)).items == ()
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
            assert (await limiter.bans(limit=10)).items == (automatic, by_hand)
            assert (await limiter.bans(limit=1)).items == (automatic,)

    run_real(body)


def test_bans_are_listed_in_pages_also_those_that_end_together(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time()) as limiter:
            ends = {}
            for number in range(23):
                identifier = Identifier(IdentifierType.IP, f"192.0.2.{number}")
                ban = await limiter.ban(identifier, duration_ms=1_000 * (number // 9 + 1), jitter=0.0)
                ends[identifier] = ban.until_ms
            assert await limiter.bans_in_force() == 23
            place: BanPosition | None = None
            listed: list[Ban] = []
            for _ in range(4):
                page = await limiter.bans(limit=6, after=place)
                listed += page.items
                # Who is banned meanwhile changes nothing for the pages to come.
                await limiter.ban(USER, duration_ms=99_000, jitter=0.0)
                place = page.next_position
            assert place is None
            assert {ban.identifier: ban.until_ms for ban in listed} == ends
            assert len(listed) == 23
            assert [ban.until_ms for ban in listed] == sorted(ends.values(), reverse=True)

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


def test_of_800_callers_at_once_a_quota_of_10_admits_exactly_10(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_limiter(runtime, Time(), BanPolicy(threshold=1_000)) as limiter:
            charges = (Charge(ADDRESS, policy(10)), Charge(USER, policy(1_000, name="user")))
            answers = await gather(runtime, lambda: ask(limiter, *charges), 800)
            verdicts = [answer.verdict for answer in answers]
            assert verdicts.count(Verdict.ALLOWED) == 10
            assert verdicts.count(Verdict.QUOTA_EXCEEDED) == 790
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


def test_the_banned_among_many_are_told(run_real: Driver, open_limiter: Open) -> None:
    async def body(runtime: Runtime) -> None:
        time = Time()
        async with open_limiter(runtime, time) as limiter:
            users = [Identifier(IdentifierType.USER, f"usr_{number}") for number in range(20)]
            assert list(await limiter.banned_among(users)) == []
            for user in users[::7]:
                await limiter.ban(user, duration_ms=60_000, jitter=0.0)
            await limiter.lift(users[7])
            assert list(await limiter.banned_among(users)) == [users[0], users[14]]
            assert list(await limiter.banned_among([])) == []
            time.moment_ms += 60_000
            assert list(await limiter.banned_among(users)) == []

    run_real(body)
