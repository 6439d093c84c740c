"""Who is charged, what is remembered locally, and what happens when the limiter is away or forgets."""

from __future__ import annotations

import pytest

from application.identity.revocations import REVOCATION_MS
from application.limits import rate_limiter
from application.limits.rate_limiter import (
    RESTORE_INTERVAL_S_MIN,
)
from domain.audit import AuditAction, AuditFilter
from domain.limits.admission import Verdict
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.application.limits.limiter_bench import START_MS, Bench, simulated
from tests.conformance.identity import an_event
from tests.conformance.runtimes import Driver, run
from tests.conformance.test_api_keys import a_key

__all__ = ["run"]


@pytest.mark.parametrize(
    ("names", "charged", "session"),
    [
        ({}, ["ip:ip"], None),
        ({"user_id": "u", "session_id": "s"}, ["user:user", "ip:ip"], "s"),
        ({"api_key_id": "k"}, ["api_key:api_key"], "k"),
        ({"policies": ("login",)}, ["ip:ip", "ip:login"], None),
        ({"api_key_id": "k", "policies": ("login",)}, ["api_key:api_key", "ip:login"], "k"),
    ],
)
def test_the_verified_are_charged_by_name_and_everybody_else_by_address(
    run: Driver, names: dict[str, object], charged: list[str], session: str | None
) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        await bench.rates.admit(address="203.0.113.9", **names)  # type: ignore[arg-type] # one table for all
        ((asked, about, jitter),) = bench.limiter.asked
        assert (asked, about) == (charged, session)
        assert 0 <= jitter <= 0.1

    run(body)


def test_an_exempt_address_is_asked_about_its_session_only(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        assert (await bench.rates.admit(address=None, policies=("login",))).verdict is Verdict.ALLOWED
        assert bench.limiter.asked == []
        await bench.rates.revoke_session("s", ttl_ms=1000)
        admission = await bench.rates.admit(address=None, user_id="u", session_id="s")
        assert admission.verdict is Verdict.REVOKED

    run(body)


def test_an_account_name_is_counted_but_never_banned(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        verdicts = [(await bench.rates.admit_account_name("login", "ada")).verdict for _ in range(20)]
        assert verdicts == [Verdict.ALLOWED] * 2 + [Verdict.QUOTA_EXCEEDED] * 18
        assert (await bench.rates.admit_account_name("unknown", "ada")).verdict is Verdict.ALLOWED

    run(body)


def test_without_the_limiter_who_must_not_guess_is_refused(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        bench.limiter.is_away = True
        with pytest.raises(DependencyUnavailable):
            await bench.rates.admit(address="203.0.113.9", fail_closed=True)
        with pytest.raises(DependencyUnavailable):
            await bench.rates.admit_account_name("login", "ada")
        assert await bench.verdict() is Verdict.ALLOWED

    run(body)


def test_an_outage_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        bench.limiter.is_away = True
        for _ in range(130):
            await bench.verdict()
            await runtime.sleep(1)

    simulated(body)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


def test_a_limiter_that_forgot_is_told_again_and_nobody_slips_through_meanwhile(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        ended, active = await bench.open_session("ada"), await bench.open_session("bob")
        await bench.end(ended)
        bench.limiter.has_forgotten = True
        assert await bench.verdict(session=ended.id) is Verdict.REVOKED
        assert await bench.verdict(session=active.id) is Verdict.ALLOWED
        assert await bench.verdict(session="ses_unknown") is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        assert bench.limiter.restored == [{ended.id: REVOCATION_MS}]
        assert await bench.verdict(session=ended.id) is Verdict.REVOKED

    run(body)


def test_a_revoked_key_is_refused_and_told_again_though_the_limiter_forgot_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        revoked, good = a_key("shop", now_ms=START_MS), a_key("game", now_ms=START_MS)
        for key in (revoked, good):
            await bench.api_keys.add(key, an_event())
        await bench.api_keys.revoke(revoked.id, now_ms=bench.clock.now_ms(), event=an_event())
        bench.limiter.has_forgotten = True

        async def verdict(key_id: str) -> Verdict:
            return (await bench.rates.admit(address="203.0.113.9", api_key_id=key_id)).verdict

        assert await verdict(revoked.id) is Verdict.REVOKED
        assert await verdict(good.id) is Verdict.ALLOWED
        assert await verdict("key_unknown") is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        assert bench.limiter.restored == [{revoked.id: REVOCATION_MS}]
        assert await verdict(revoked.id) is Verdict.REVOKED
        bench.limiter.is_away = True
        assert await verdict(revoked.id) is Verdict.REVOKED
        assert await verdict(good.id) is Verdict.ALLOWED

    run(body)


def test_a_revocation_that_the_limiter_missed_is_caught_up(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        session = await bench.open_session("ada")
        await bench.end_unheard(session)
        assert await bench.verdict(session=session.id) is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        # From now on the limiter knows by itself.
        admission = await bench.limiter.decide([], session=session.id, jitter=0.0)
        assert admission.verdict is Verdict.REVOKED

    run(body)


def test_a_revocation_missed_while_another_is_restored_is_not_forgotten() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        first, second = await bench.open_session("ada"), await bench.open_session("bob")

        async def amid() -> None:
            await bench.end_unheard(second)
            # The first is read but not yet told: nobody slips through in between.
            assert await bench.verdict(session=first.id) is Verdict.REVOKED

        bench.limiter.amid_restore = amid
        await bench.end_unheard(first)
        assert await bench.verdict(session=first.id) is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        assert bench.limiter.restored == [{first.id: REVOCATION_MS}]
        assert await bench.verdict(session=second.id) is Verdict.REVOKED
        while len(bench.limiter.restored) == 1:
            await runtime.sleep(1)
            await bench.verdict(session=second.id)
        assert second.id in bench.limiter.restored[1]

    simulated(body)


def test_too_many_revocations_are_neither_read_nor_warned_of_at_each_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rate_limiter, "RESTORED_MAX", 2)
    requests, apart_s = 100, 1.0

    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        ended = [await bench.open_session(name) for name in ("ada", "bob")]
        for session in ended:
            await bench.end(session)
        bench.limiter.has_forgotten = True
        for _ in range(requests):
            assert await bench.verdict(session=ended[0].id) is Verdict.REVOKED
            await runtime.sleep(apart_s)
        assert 2 <= bench.sessions.reads <= requests * apart_s / RESTORE_INTERVAL_S_MIN + 1
        assert bench.limiter.restored == []

    simulated(body)
    assert len(caplog.records) == 2


def test_a_ban_that_escalates_counts_as_two_and_both_are_in_the_audit_log(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        links = [f"2001:db8:0:{number}::/64" for number in range(1, 5)]
        for link in links[:3]:
            while await bench.verdict(address=link) is not Verdict.BANNED:
                pass
        for _ in range(6):
            await bench.rates.violate_address(links[3])
        assert await bench.verdict(address="2001:db8:0:ff::/64") is Verdict.BANNED
        assert bench.metrics.value("credit_bans_total", "ip") == 5
        await bench.trail.flush()
        page = await bench.audit.find(AuditFilter(action=AuditAction.BAN_ADDED), limit=9, cursor=None)
        banned = {event.resource: event.detail["reason"] for event in page.items}
        assert banned == {
            **{f"ip:{link}": "violations" for link in links},
            "ip:2001:db8::/56": "escalation",
        }

    run(body)


def test_an_address_is_blamed_for_what_was_seen_elsewhere(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        for _ in range(5):
            await bench.rates.violate_address("203.0.113.9")
        assert await bench.verdict() is Verdict.ALLOWED
        await bench.rates.violate_address("203.0.113.9")
        assert await bench.verdict() is Verdict.BANNED
        assert bench.metrics.value("credit_bans_total", "ip") == 1

    run(body)
