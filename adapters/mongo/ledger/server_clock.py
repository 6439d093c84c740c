"""The ledger's clock: the time on MongoDB's primary, as far as this process can tell it.

Nothing here reads this machine's wall clock. A host a year ahead, or one that an operator sets back,
records the same times as every other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.driver.interface import Document
from ports.clock import Clock
from ports.errors import DependencyUnavailable
from ports.health import Probe
from ports.runtime import Runtime, Task, TaskCancelled

DEPENDENCY: Final = "ledger clock"
UNCERTAINTY_MS_MAX: Final = 1_000
"""Beyond it nobody here knows what time it is, and nothing is decided by it."""
DRIFT: Final = 200e-6
"""How fast the primary's clock and this machine's monotonic one may part: 0.2 ms a second. Oscillators
stay under 0.1 each, and those that NTP disciplines far under it."""
RESOLUTION_MS: Final = 1
"""`localTime` is cut to whole milliseconds."""
INTERVAL_S: Final = 5.0
RETRY_INTERVAL_S: Final = 1.0
SAMPLE_TIMEOUT_MS_MAX: Final = 2 * UNCERTAINTY_MS_MAX
"""A slower answer is worth nothing: half its round trip alone is too uncertain."""
HALF_TRIP_MS_GOOD: Final = 10
"""Whoever waited longer asks once more: the answer had to wait for an election, a connection or a login,
and the next will not."""
QUESTIONS_A_SAMPLE_MAX: Final = 3

_log = logging.getLogger("credit.clock")


class Commands(Protocol):
    """All that is asked of a `MongoDriver` here."""

    async def command(self, command: Mapping[str, Any], *, timeout_ms_max: int | None = None) -> Document: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answer of the primary tells: its clock is the monotonic one plus `offset_ms`."""

    primary: tuple[object, object]
    """Its address and the election that made it primary."""
    offset_ms: float
    half_trip_ms: float
    taken_s: float
    """The middle between question and answer, on the monotonic clock."""

    def time_ms(self, monotonic_s: float) -> int:
        return math.floor(self.offset_ms + monotonic_s * 1000)

    def uncertainty_ms(self, monotonic_s: float) -> float:
        """How far `time_ms` may be off, either way."""
        return self.half_trip_ms + RESOLUTION_MS + (monotonic_s - self.taken_s) * 1000 * DRIFT

    def contradicts(self, other: Sample, monotonic_s: float) -> bool:
        """Both cannot be true of one clock that nobody set."""
        apart_ms = abs(self.offset_ms - other.offset_ms)
        return apart_ms > self.uncertainty_ms(monotonic_s) + other.uncertainty_ms(monotonic_s)


async def sample(driver: Commands, runtime: Runtime, *, timeout_ms_max: int | None = None) -> Sample:
    """The best of a few answers, of one when that came quickly. Raises `DependencyUnavailable`.

    `timeout_ms_max` bounds each question.
    """
    best = await _ask(driver, runtime, timeout_ms_max)
    for _ in range(QUESTIONS_A_SAMPLE_MAX - 1):
        if best.half_trip_ms <= HALF_TRIP_MS_GOOD:
            break
        new = await _ask(driver, runtime, timeout_ms_max)
        if new.primary != best.primary or new.half_trip_ms <= best.half_trip_ms:
            best = new
    return best


async def _ask(driver: Commands, runtime: Runtime, timeout_ms_max: int | None) -> Sample:
    asked_s = runtime.monotonic()
    hello = await driver.command({"hello": 1}, timeout_ms_max=timeout_ms_max)
    answered_s = runtime.monotonic()
    local_time = hello.get("localTime")
    if not hello.get("isWritablePrimary") or not isinstance(local_time, datetime):
        raise DependencyUnavailable(DEPENDENCY, "the server that answered is no primary")
    # BSON dates are UTC; the driver gives them without a zone.
    theirs_ms = round(local_time.replace(tzinfo=UTC).timestamp() * 1000)
    middle_s = (asked_s + answered_s) / 2
    return Sample(
        primary=(hello.get("me"), hello.get("electionId")),
        offset_ms=theirs_ms - middle_s * 1000,
        half_trip_ms=(answered_s - asked_s) * 1000 / 2,
        taken_s=middle_s,
    )


class ServerClock:
    """`Clock` by the best of recent samples, with a supervised task that takes them.

    All samples age alike, so the least uncertain one stays it until a newer one is better: one is kept.
    """

    def __init__(self, *, driver: Commands, runtime: Runtime) -> None:
        self._driver = driver
        self._runtime = runtime
        self._best: Sample | None = None
        self._last_ms = 0
        self._task: Task[None] | None = None

    def now_ms(self) -> int:
        """The primary's time; never less than it gave before.

        Raises `DependencyUnavailable` when that is not known to a second.
        """
        now_s = self._runtime.monotonic()
        best = self._best
        if best is None:
            raise DependencyUnavailable(DEPENDENCY, "the primary was not asked for its time yet")
        uncertainty_ms = best.uncertainty_ms(now_s)
        if uncertainty_ms > UNCERTAINTY_MS_MAX:
            raise DependencyUnavailable(DEPENDENCY, f"uncertain by {uncertainty_ms:.0f} ms")
        self._last_ms = max(self._last_ms, best.time_ms(now_s))
        return self._last_ms

    async def start(self) -> None:
        """Returns when the time is known. Raises `DependencyUnavailable` when it cannot be told."""
        # Bounded by the driver alone: an election under way is waited for, as by every operation.
        self._take(await sample(self._driver, self._runtime))
        self.now_ms()
        if self._task is None:
            self._task = self._runtime.start(self._sample_always, name="ledger-clock")

    async def stop(self) -> None:
        """Returns when no sample is under way: the driver is closed next."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(TaskCancelled):
                await task.wait()

    async def _sample_always(self) -> None:
        was_known = True
        while True:
            await self._runtime.sleep(INTERVAL_S if was_known else RETRY_INTERVAL_S)
            await self._sample_again()
            is_known = self._is_known()
            if is_known != was_known:
                _log.warning(
                    "the ledger's time is %s", "known again" if is_known else "not known to a second"
                )
            was_known = is_known

    async def _sample_again(self) -> None:
        """A sample that fails leaves the one there is, which ages."""
        try:
            self._take(await sample(self._driver, self._runtime, timeout_ms_max=SAMPLE_TIMEOUT_MS_MAX))
        except DependencyUnavailable as error:
            _log.debug("the primary did not tell its time: %s", error)
        except Exception:  # noqa: BLE001 - whatever failed this time, the next time must come
            _log.exception("the primary could not be asked for its time")

    def _take(self, new: Sample) -> None:
        now_s, best = self._runtime.monotonic(), self._best
        if best is None:
            self._best = new
            return
        # Another primary has another clock, and a clock that was set is another one too.
        is_another = new.primary != best.primary or new.contradicts(best, now_s)
        if is_another or new.uncertainty_ms(now_s) <= best.uncertainty_ms(now_s):
            self._best = new
        moved_ms = new.offset_ms - best.offset_ms
        if abs(moved_ms) > UNCERTAINTY_MS_MAX and new.contradicts(best, now_s):
            _log.warning("the primary's clock moved by %d ms", moved_ms)

    def _is_known(self) -> bool:
        best = self._best
        return best is not None and best.uncertainty_ms(self._runtime.monotonic()) <= UNCERTAINTY_MS_MAX


class ClockProbe:
    """Whether the ledger knows the time: while it does not, it appends nothing."""

    name = "ledger_clock"
    role = "ledger"

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock

    async def check(self) -> None:
        self._clock.now_ms()


def _fits(clock: ServerClock, driver: ClientDriver, probe: ClockProbe) -> tuple[Clock, Commands, Probe]:
    """mypy holds the adapters to their ports, and the driver to what is asked of it, here."""
    return clock, driver, probe
