"""The gauges of active sessions and users follow the store, and never cost much of its time."""

from __future__ import annotations

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from adapters.memory.metrics import MemoryMetrics
from application.identity.active_sessions import ActiveSessions
from ports.errors import DependencyUnavailable
from ports.identity.sessions import ActiveCount
from tests.application.identity.use_cases import START_MS, TurnedClock
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime


class Counted(MemorySessions):
    """Says what it is told to, after as long as it is told to; None is an outage."""

    def __init__(self, runtime: SimulatedRuntime) -> None:
        audit = MemoryAuditLog()
        super().__init__(users=MemoryUsers(audit=audit), audit=audit)
        self._runtime = runtime
        self.answer: ActiveCount | None = ActiveCount(sessions=3, users=2)
        self.takes_s = 0.0
        self.asked_s: list[float] = []

    async def count_active(self, now_ms: int) -> ActiveCount:
        assert now_ms == START_MS
        self.asked_s.append(self._runtime.monotonic())
        await self._runtime.sleep(self.takes_s)
        if self.answer is None:
            raise DependencyUnavailable("mongo")
        return self.answer


def counting(runtime: SimulatedRuntime) -> tuple[ActiveSessions, Counted, MemoryMetrics]:
    sessions, metrics = Counted(runtime), MemoryMetrics()
    active = ActiveSessions(sessions=sessions, runtime=runtime, clock=TurnedClock(), metrics=metrics)
    return active, sessions, metrics


def test_it_counts_at_once_and_at_intervals_until_it_is_stopped() -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            active, sessions, metrics = counting(runtime)
            await active.start()
            await runtime.sleep(0.1)
            assert metrics.value("credit_sessions_active") == 3
            assert metrics.value("credit_users_active") == 2
            sessions.answer = ActiveCount(0, 0)
            await runtime.sleep(1)
            assert metrics.value("credit_sessions_active") == 0
            assert metrics.value("credit_users_active") == 0
            await active.stop()
            asked = len(sessions.asked_s)
            await runtime.sleep(60)
            assert len(sessions.asked_s) == asked == 2
            await active.stop()

    runtime.run(body)


def test_a_count_that_takes_long_is_made_less_often() -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            active, sessions, _ = counting(runtime)
            sessions.takes_s = 2.0
            await active.start()
            await runtime.sleep(250)
            first, second, third = sessions.asked_s
            assert second - first == third - second == pytest.approx(102.0)
            await active.stop()

    runtime.run(body)


def test_an_outage_leaves_the_last_numbers_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            active, sessions, metrics = counting(runtime)
            await active.start()
            await runtime.sleep(1)
            sessions.answer = None
            await runtime.sleep(50)
            assert metrics.value("credit_sessions_active") == 3
            sessions.answer = ActiveCount(7, 1)
            await runtime.sleep(5)
            assert metrics.value("credit_sessions_active") == 7
            await active.stop()

    runtime.run(body)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
