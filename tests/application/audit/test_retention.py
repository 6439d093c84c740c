"""Old audit events are removed in bounded steps, and only where a retention is set."""

from __future__ import annotations

import pytest

from adapters.memory.audit import MemoryAuditLog
from application.audit.retention import (
    CALLS_A_ROUND,
    EVENTS_A_CALL,
    INTERVAL_S,
    ROUND_PAUSE_S,
    AuditRetention,
)
from ports.errors import DependencyUnavailable
from tests.application.identity.use_cases import START_MS, TurnedClock
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

KEPT_MS = 1_000


class Told(MemoryAuditLog):
    """Removes as many as it is told to have; None is an outage."""

    def __init__(self, runtime: SimulatedRuntime, left: int | None) -> None:
        super().__init__()
        self._runtime = runtime
        self.left = left
        self.asked: list[tuple[float, int]] = []

    async def remove_before(self, moment_ms: int, *, limit: int) -> int:
        self.asked.append((self._runtime.monotonic(), moment_ms))
        if self.left is None:
            raise DependencyUnavailable("mongo")
        removed = min(self.left, limit)
        self.left -= removed
        return removed


def on(left: int | None, kept_ms: int | None, seconds: float) -> tuple[Told, float]:
    """The log, after so long, and when it began."""
    runtime = SimulatedRuntime(1)
    log = Told(runtime, left)
    began_s = 0.0

    async def body() -> None:
        nonlocal began_s
        async with runtime.running():
            began_s = runtime.monotonic()
            retention = AuditRetention(runtime=runtime, clock=TurnedClock(), log=log, kept_ms=kept_ms)
            await retention.start()
            await runtime.sleep(seconds)
            await retention.stop()

    runtime.run(body)
    return log, began_s


def test_without_a_retention_nothing_is_removed() -> None:
    log, _ = on(5, None, 3 * INTERVAL_S)
    assert log.asked == []


def test_what_is_older_is_removed_at_once_and_every_hour() -> None:
    log, began_s = on(5, KEPT_MS, INTERVAL_S + 1)
    assert log.left == 0
    assert [moment_ms for _, moment_ms in log.asked] == [START_MS - KEPT_MS] * 2
    assert log.asked[1][0] - began_s == pytest.approx(INTERVAL_S, abs=1)


def test_many_are_removed_in_rounds_with_a_pause_between() -> None:
    a_round = CALLS_A_ROUND * EVENTS_A_CALL
    log, _ = on(a_round + 1, KEPT_MS, ROUND_PAUSE_S / 2)
    assert (log.left, len(log.asked)) == (1, CALLS_A_ROUND)
    log, _ = on(a_round + 1, KEPT_MS, 2 * ROUND_PAUSE_S)
    assert (log.left, len(log.asked)) == (0, CALLS_A_ROUND + 1)


def test_an_outage_is_waited_out() -> None:
    log, _ = on(None, KEPT_MS, INTERVAL_S + 1)
    assert len(log.asked) == 2
