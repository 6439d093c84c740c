"""The ledger's clock against a primary whose network, clock and life are drawn or set by the test."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from adapters.mongo.ledger.server_clock import (
    DRIFT,
    INTERVAL_S,
    QUESTIONS_A_SAMPLE_MAX,
    RETRY_INTERVAL_S,
    UNCERTAINTY_MS_MAX,
    ClockProbe,
    ServerClock,
    sample,
)
from application.ledger.book_ports import BookPorts
from application.ledger.orders import AccountOrder, Caller
from application.ledger.service import Ledger
from domain.ledger.outcomes import Posted
from ports.errors import DependencyUnavailable
from tests.simulation.runtime.simulated_runtime import EPOCH_MS, SeededEntropy, SimulatedRuntime

HOUR_S = 3_600
YEAR_MS = 365 * 24 * HOUR_S * 1000
TRIP_S = 0.002


class Primary:
    """Answers `hello` after a while, by a clock of its own."""

    def __init__(self, runtime: SimulatedRuntime, *, ahead_ms: float = 0.0, drift: float = 0.0) -> None:
        self._runtime = runtime
        self.ahead_ms = ahead_ms
        self.drift = drift
        self.election = 1
        self.there_s = self.back_s = TRIP_S / 2
        self.failure: Exception | None = None
        self.answer: Mapping[str, Any] = {}
        self.asked = 0

    def time_ms(self) -> float:
        return EPOCH_MS + self.ahead_ms + self._runtime.monotonic() * 1000 * (1 + self.drift)

    def trip(self, seconds: float) -> None:
        self.there_s = self.back_s = seconds / 2

    async def command(
        self, command: Mapping[str, Any], *, timeout_ms_max: int | None = None
    ) -> dict[str, Any]:
        assert command == {"hello": 1}
        self.asked += 1
        left_s = 5.0 if timeout_ms_max is None else timeout_ms_max / 1000
        if self.there_s + self.back_s > left_s:
            await self._runtime.sleep(left_s)
            raise DependencyUnavailable("mongo", "timed out")
        await self._runtime.sleep(self.there_s)
        told = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(self.time_ms()))
        hello = {
            "isWritablePrimary": True,
            "me": "db-1:27017",
            "electionId": self.election,
            "localTime": told.replace(tzinfo=None),
            **self.answer,
        }
        await self._runtime.sleep(self.back_s)
        if self.failure is not None:
            raise self.failure
        return hello


Body = Callable[[SimulatedRuntime, Primary, ServerClock], Awaitable[None]]


def play(body: Body, *, seed: int = 0) -> None:
    """A failure of a task that nobody waited for fails the test."""
    unheard: list[BaseException] = []
    runtime = SimulatedRuntime(seed, report=lambda _, error: unheard.append(error))

    async def main() -> None:
        async with runtime.running():
            primary = Primary(runtime)
            clock = ServerClock(driver=primary, runtime=runtime)
            await body(runtime, primary, clock)
            await clock.stop()

    runtime.run(main)
    assert unheard == []


def off_ms(clock: ServerClock, primary: Primary) -> float:
    return abs(clock.now_ms() - primary.time_ms())


def test_the_time_is_unknown_before_the_first_sample() -> None:
    async def body(_runtime: SimulatedRuntime, _primary: Primary, clock: ServerClock) -> None:
        with pytest.raises(DependencyUnavailable, match="ledger clock"):
            clock.now_ms()

    play(body)


def test_a_host_a_year_ahead_tells_the_primary_s_time() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        host = runtime.simulation.clock(offset_ms=YEAR_MS)
        await clock.start()
        assert off_ms(clock, primary) <= TRIP_S * 1000 / 2 + 1
        assert host.now_ms() - clock.now_ms() == pytest.approx(YEAR_MS, abs=3)

    play(body)


@pytest.mark.parametrize("seed", range(10))
def test_whoever_is_told_a_time_is_told_it_to_a_second(seed: int) -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        drawn = Random(seed)
        primary.drift = drawn.uniform(-DRIFT, DRIFT)
        await clock.start()
        told = 0
        for _ in range(300):
            primary.there_s, primary.back_s = (drawn.choice([0.0, 0.01, 0.3, 1.2]) for _ in range(2))
            primary.failure = drawn.choice([None, DependencyUnavailable("mongo", "away")])
            await runtime.sleep(drawn.choice([0.5, 7.0, 600.0]))
            try:
                assert off_ms(clock, primary) <= UNCERTAINTY_MS_MAX
                told += 1
            except DependencyUnavailable:
                continue
        assert told > 150

    play(body, seed=seed)


def test_a_better_sample_is_kept_while_worse_ones_come() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        primary.there_s, primary.back_s = 0.0, 1.8
        for _ in range(10):
            await runtime.sleep(INTERVAL_S)
            assert off_ms(clock, primary) <= 3
        await ClockProbe(clock).check()
        assert primary.asked > 5

    play(body)


def test_a_drifting_clock_is_followed() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        primary.drift = DRIFT / 2
        await clock.start()
        await runtime.sleep(10 * HOUR_S)
        assert off_ms(clock, primary) <= 5

    play(body)


def test_the_start_fails_while_hello_is_too_slow_to_tell_the_time() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        primary.trip(2.1)
        with pytest.raises(DependencyUnavailable, match="uncertain by 1051 ms"):
            await clock.start()
        assert primary.asked == QUESTIONS_A_SAMPLE_MAX
        await runtime.sleep(60)
        assert primary.asked == QUESTIONS_A_SAMPLE_MAX, "a start that failed left a task behind"

    play(body)


def test_the_start_asks_again_when_the_first_answer_was_slow() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        primary.trip(3)
        starting = runtime.start(clock.start, name="start")
        await runtime.sleep(2.9)
        primary.trip(0)
        await starting.wait()
        assert primary.asked == 2
        assert off_ms(clock, primary) <= 1

    play(body)


def test_the_start_fails_at_once_when_the_primary_is_away() -> None:
    async def body(_runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        primary.failure = DependencyUnavailable("mongo", "no primary")
        with pytest.raises(DependencyUnavailable, match="no primary"):
            await clock.start()
        assert primary.asked == 1

    play(body)


def test_a_server_that_is_no_primary_tells_no_time() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        primary.answer = {"isWritablePrimary": False}
        with pytest.raises(DependencyUnavailable, match="no primary"):
            await sample(primary, runtime)
        with pytest.raises(DependencyUnavailable, match="no primary"):
            await clock.start()

    play(body)


def test_without_samples_the_time_ages_until_it_is_unknown_and_is_known_again_with_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        primary.failure = DependencyUnavailable("mongo", "away")
        until_unknown_s = UNCERTAINTY_MS_MAX / 1000 / DRIFT
        await runtime.sleep(until_unknown_s * 0.99)
        assert off_ms(clock, primary) <= UNCERTAINTY_MS_MAX
        await runtime.sleep(until_unknown_s * 0.02)
        with pytest.raises(DependencyUnavailable, match="uncertain"):
            clock.now_ms()
        with pytest.raises(DependencyUnavailable):
            await ClockProbe(clock).check()
        primary.failure = None
        await runtime.sleep(RETRY_INTERVAL_S + 1)
        assert off_ms(clock, primary) <= 3

    with caplog.at_level(logging.WARNING, logger="credit.clock"):
        play(body)
    assert [record.getMessage() for record in caplog.records] == [
        "the ledger's time is not known to a second",
        "the ledger's time is known again",
    ]


def test_a_clock_that_was_set_back_is_waited_for_and_never_runs_back() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        before_ms = clock.now_ms()
        primary.ahead_ms = -60_000
        last_ms = before_ms
        for _ in range(90):
            await runtime.sleep(1)
            assert clock.now_ms() >= last_ms
            last_ms = clock.now_ms()
            assert last_ms <= max(before_ms + 2 * INTERVAL_S * 1000, primary.time_ms() + 3)
        assert off_ms(clock, primary) <= 3

    play(body)


@pytest.mark.parametrize("ahead_ms", [-5, 5, 400, 3_000])
def test_after_a_fail_over_the_new_primary_s_clock_counts(ahead_ms: int) -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        # Farther away than the old one was: the better sample is of a clock that counts no longer.
        primary.there_s, primary.back_s = 0.002, 0.002
        primary.ahead_ms, primary.election = ahead_ms, 2
        await runtime.sleep(INTERVAL_S + 1)
        assert off_ms(clock, primary) <= 3

    play(body)


def test_the_time_is_unknown_while_a_new_primary_is_too_slow_to_tell_it() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        primary.election = 2
        primary.trip(1.999)
        await runtime.sleep(INTERVAL_S + QUESTIONS_A_SAMPLE_MAX * 1.99)
        assert off_ms(clock, primary) <= 3, (
            "until the new one has answered, the old one's time is the best known"
        )
        await runtime.sleep(1)
        with pytest.raises(DependencyUnavailable, match="uncertain by 1001 ms"):
            clock.now_ms()
        primary.trip(0.01)
        await runtime.sleep(RETRY_INTERVAL_S + 3)
        assert off_ms(clock, primary) <= 7

    play(body)


def test_an_answer_that_waited_for_an_election_is_asked_for_again_and_not_believed() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        primary.election = 2
        primary.there_s = 1.7
        await runtime.sleep(INTERVAL_S + 1)
        primary.there_s = TRIP_S / 2
        for _ in range(200):
            await runtime.sleep(0.01)
            assert off_ms(clock, primary) <= 3
        assert primary.asked == 3

    play(body)


def test_a_sample_that_fails_in_its_own_way_does_not_end_the_sampling(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        primary.failure = RuntimeError("not foreseen")
        await runtime.sleep(INTERVAL_S + 1)
        primary.failure, primary.ahead_ms = None, 10_000
        await runtime.sleep(INTERVAL_S + 1)
        assert off_ms(clock, primary) <= 3

    with caplog.at_level(logging.WARNING, logger="credit.clock"):
        play(body)
    assert [record.getMessage() for record in caplog.records] == [
        "the primary could not be asked for its time",
        "the primary's clock moved by 10000 ms",
    ]


def test_nothing_is_asked_after_the_stop() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        await clock.start()
        primary.trip(1)
        await runtime.sleep(INTERVAL_S + 0.5)
        assert primary.asked == 2, "the stop comes while a sample is under way"
        await clock.stop()
        await runtime.sleep(60)
        assert primary.asked == 2

    play(body)


def test_a_ledger_appends_nothing_while_the_time_is_unknown_and_goes_on_when_it_is_known() -> None:
    async def body(runtime: SimulatedRuntime, primary: Primary, clock: ServerClock) -> None:
        journal, entropy = MemoryJournal(), SeededEntropy(Random(1))

        async def announce(_: object) -> None:
            return

        ports = BookPorts(runtime, clock, entropy, journal, MemoryCheckpoints())
        ledger = Ledger(ports, accounts_max=100, announce=announce)

        async def open_account(name: str) -> object:
            return await ledger.open_account(Caller("main", "test"), AccountOrder("GEMS", id=name))

        await clock.start()
        assert isinstance(await open_account("alice"), Posted)
        primary.failure = DependencyUnavailable("mongo", "away")
        await runtime.sleep(UNCERTAINTY_MS_MAX / 1000 / DRIFT + 1)

        async def refused() -> str:
            with pytest.raises(DependencyUnavailable) as caught:
                await open_account("bob")
            return caught.value.dependency

        gathered = [runtime.start(refused, name="open") for _ in range(5)]
        assert [await each.wait() for each in gathered] == ["ledger clock"] * 5
        head = await journal.head("main")
        assert head is not None
        assert head.seq == 1
        primary.failure = None
        await runtime.sleep(RETRY_INTERVAL_S + 1)
        assert isinstance(await open_account("bob"), Posted)
        head = await journal.head("main")
        assert head is not None
        assert abs(head.time_ms - primary.time_ms()) <= 3
        await ledger.stop()

    play(body)
