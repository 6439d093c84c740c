"""Whoever is over a limit is told of in the log, and a flood of refusals is no flood of lines."""

from __future__ import annotations

import logging

import pytest

from application.limits.refusal_log import INTERVAL_S, NAMED_MAX, RefusalLog
from domain.limits.admission import Verdict
from domain.limits.identifiers import Identifier, IdentifierType
from ports.runtime import Runtime
from tests.application.limits.limiter_bench import Bench, simulated

ADDRESS = "203.0.113.9"
LIMIT = 100


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(each.levelname, each.getMessage()) for each in caplog.records if "refusal_log" in each.name]
    caplog.clear()
    return found


def test_a_key_over_its_limit_is_told_of_at_once_and_then_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)

        async def ask(count: int) -> set[Verdict]:
            return {
                (await bench.rates.admit(address=ADDRESS, api_key_id="key_1")).verdict for _ in range(count)
            }

        assert await ask(LIMIT) == {Verdict.ALLOWED}
        assert told(caplog) == []
        assert await ask(50) == {Verdict.QUOTA_EXCEEDED}
        assert told(caplog) == [
            ("WARNING", "limit or ban: API key key_1, 1 refused, 0 new bans, now; more is told once a minute")
        ]
        await runtime.sleep(INTERVAL_S + 1)
        assert told(caplog) == [("WARNING", "limit or ban: API key key_1, 49 refused, 0 new bans, in 60 s")]
        await runtime.sleep(3 * INTERVAL_S)
        assert told(caplog) == []
        # It is quiet again: the next one is told of at once.
        assert await ask(LIMIT + 1) == {Verdict.ALLOWED, Verdict.QUOTA_EXCEEDED}
        assert len(told(caplog)) == 1
        assert bench.metrics.value("credit_bans_total", "api_key") == 0
        assert bench.metrics.value("credit_ratelimit_decisions_total", "api_key", "quota_exceeded") == 51

    simulated(body)


def test_a_ban_is_told_of_whoever_was_banned_and_no_address_is_written_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        for _ in range(20):
            await bench.rates.admit(address=ADDRESS)
        await runtime.sleep(INTERVAL_S + 1)
        lines = told(caplog)
        assert [level for level, _ in lines] == ["INFO", "WARNING"]
        assert lines[1][1] == "limit or ban: addresses, 18 refused, 1 new bans, in 60 s"
        assert not any(ADDRESS in text for _, text in lines)

    simulated(body)


def test_as_many_keys_as_there_may_be_have_a_line_and_all_others_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def body(runtime: Runtime) -> None:
        refusals = RefusalLog(runtime)
        for _ in range(3):
            for number in range(10 * NAMED_MAX):
                refusals.add(Identifier(IdentifierType.API_KEY, f"key_{number}"), refused=1)
        assert len(refusals._tallies) == NAMED_MAX + 1
        assert len(told(caplog)) == NAMED_MAX + 1
        await runtime.sleep(INTERVAL_S + 1)
        lines = dict(text.split(", ")[:2] for _, text in told(caplog))
        assert len(lines) == NAMED_MAX + 1
        assert lines["limit or ban: API key key_0"] == "2 refused"
        assert lines["limit or ban: other API keys"] == f"{27 * NAMED_MAX - 1} refused"

    simulated(body)


def test_what_was_not_told_yet_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def body(runtime: Runtime) -> None:
        refusals = RefusalLog(runtime)
        for _ in range(3):
            refusals.add(Identifier(IdentifierType.USER, "usr_1"), refused=1)
        # Until the task that tells has begun to wait: it is cancelled with the runtime.
        await runtime.sleep(1)

    simulated(body)
    assert told(caplog)[-1] == ("INFO", "limit or ban: user usr_1, 2 refused, 0 new bans, before the end")
