"""What a process remembers of bans: for a few seconds, exactly, and within a bound."""

from __future__ import annotations

import pytest

from application.limits.denials import DENIAL_AGE_S_MAX, DENIALS_MAX
from domain.limits.admission import Admission, Verdict
from domain.limits.identifiers import Identifier, IdentifierType
from ports.runtime import Runtime
from tests.application.limits.limiter_bench import Bench, simulated
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]


def test_a_ban_is_remembered_here_for_a_few_seconds_only() -> None:
    """On the simulated runtime: seconds pass at once."""

    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        while await bench.verdict() is not Verdict.BANNED:
            pass
        asked = len(bench.limiter.asked)
        await runtime.sleep(DENIAL_AGE_S_MAX - 0.1)
        assert await bench.verdict() is Verdict.BANNED
        assert len(bench.limiter.asked) == asked
        # Lifted elsewhere: this process learns of it when its memory is too old to be believed.
        await bench.limiter.lift(Identifier(IdentifierType.IP, "203.0.113.9"))
        await runtime.sleep(0.1)
        assert await bench.verdict() is not Verdict.BANNED
        assert len(bench.limiter.asked) == asked + 1

    simulated(body)


def test_a_remembered_ban_tells_what_is_left_of_it() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        while await bench.verdict() is not Verdict.BANNED:
            pass
        before = await bench.rates.admit(address="203.0.113.9")
        await runtime.sleep(2)
        after = await bench.rates.admit(address="203.0.113.9")
        assert before.retry_after_ms - after.retry_after_ms == pytest.approx(2000, abs=2)

    simulated(body)


def test_the_memory_of_bans_is_bounded(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        for number in range(DENIALS_MAX + 50):
            identifier = Identifier(IdentifierType.IP, str(number))
            known = bench.rates._denials
            known.remember((identifier,), Admission(Verdict.BANNED, 60_000, identifier), asked=known.now())
        assert len(bench.rates._denials) == DENIALS_MAX
        # The oldest went first.
        assert await bench.verdict(address="0") is Verdict.ALLOWED
        assert await bench.verdict(address=str(DENIALS_MAX + 49)) is Verdict.BANNED

    run(body)


def test_a_ban_lifted_here_lets_in_at_once_even_when_an_answer_is_under_way() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        address = Identifier(IdentifierType.IP, "203.0.113.9")
        while await bench.verdict() is not Verdict.BANNED:
            pass
        await runtime.sleep(DENIAL_AGE_S_MAX)

        async def lift() -> None:
            assert await bench.limiter.lift(address)
            await bench.rates.lift_locally(address)

        # The limiter says "banned", and the ban is lifted before that answer is here.
        bench.limiter.amid_answer = lift
        assert await bench.verdict() is Verdict.BANNED
        assert await bench.verdict() is not Verdict.BANNED

    simulated(body)


def test_an_answer_that_took_long_is_believed_for_less_long() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        while await bench.verdict() is not Verdict.BANNED:
            pass
        await runtime.sleep(DENIAL_AGE_S_MAX)

        async def dawdle() -> None:
            await runtime.sleep(2.0)

        bench.limiter.amid_answer = dawdle
        assert await bench.verdict() is Verdict.BANNED
        await bench.limiter.lift(Identifier(IdentifierType.IP, "203.0.113.9"))
        await runtime.sleep(DENIAL_AGE_S_MAX - 2.0)
        assert await bench.verdict() is not Verdict.BANNED

    simulated(body)


def test_who_holds_two_bans_is_told_of_the_longer_one() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        user = Identifier(IdentifierType.USER, "usr_1")
        address = Identifier(IdentifierType.IP, "203.0.113.9")
        await bench.limiter.ban(user, duration_ms=10_000, jitter=0.0)
        await bench.limiter.ban(address, duration_ms=60_000, jitter=0.0)
        elsewhere = await bench.rates.admit(address="203.0.113.10", user_id="usr_1")
        assert elsewhere.retry_after_ms == 10_000
        for _ in range(2):
            here = await bench.rates.admit(address="203.0.113.9", user_id="usr_1")
            assert here.retry_after_ms == pytest.approx(60_000, abs=1)

    simulated(body)
