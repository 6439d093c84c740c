"""What tasks of a simulation wait for: events, locks, deadlines, and calls in threads."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic

from ports.runtime import DeadlineExceeded, Event, Lock, Result
from tests.simulation.runtime.scheduler import Cancelled, Process, Scheduler, Scope, Strand, Wait, suspend


class ThreadCall(Generic[Result]):
    """Blocking work on its way to some later scheduling point."""

    name = "thread"

    def __init__(self, scheduler: Scheduler, process: Process, function: Callable[[], Result]) -> None:
        self.process = process
        self.returned = SimulatedEvent(scheduler)
        self._function = function
        self._context = copy_context()
        self._outcome: Callable[[], Result] | None = None
        scheduler.ready(self)

    def step(self) -> None:
        try:
            result = self._context.run(self._function)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
            self._outcome = _raising(error)
        else:
            self._outcome = lambda: result
        self.returned.set()

    def result(self) -> Result:
        if self._outcome is None:
            raise RuntimeError("the function has not returned")
        return self._outcome()


def _raising(error: Exception) -> Callable[[], Any]:
    def outcome() -> Any:
        raise error

    return outcome


class SimulatedEvent:
    __slots__ = ("_scheduler", "_set", "_waiters")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiters: dict[Strand, None] = {}

    def set(self) -> None:
        self._set = True
        waiters, self._waiters = self._waiters, {}
        for strand in waiters:
            strand.wake()

    def is_set(self) -> bool:
        return self._set

    async def wait(self) -> None:
        await suspend(self._scheduler, Wait("waits for an event", self._begin, self._withdraw))

    async def wait_through_cancellation(self, reason: str) -> None:
        await suspend(self._scheduler, Wait(reason, self._begin, None))

    def _begin(self, strand: Strand) -> None:
        if self._set:
            strand.wake()
        else:
            self._waiters[strand] = None

    def _withdraw(self, strand: Strand) -> None:
        self._waiters.pop(strand, None)


class SimulatedLock:
    __slots__ = ("_held", "_line", "_scheduler")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._line: dict[Strand, None] = {}

    async def __aenter__(self) -> None:
        await suspend(self._scheduler, Wait("waits for a lock", self._begin, self._withdraw))

    async def __aexit__(self, *exc_info: object) -> None:
        if not self._line:
            self._held = False
            return
        # Handed over, never free in between: first come, first served.
        first = next(iter(self._line))
        del self._line[first]
        first.wake()

    def _begin(self, strand: Strand) -> None:
        if self._held:
            self._line[strand] = None
        else:
            self._held = True
            strand.wake()

    def _withdraw(self, strand: Strand) -> None:
        self._line.pop(strand, None)


class SimulatedDeadline:
    __slots__ = ("_scheduler", "_scope", "_seconds", "_strand", "_timer")

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        self._scheduler = scheduler
        self._seconds = seconds
        self._scope = Scope()

    async def __aenter__(self) -> None:
        self._strand = self._scheduler.driven()
        self._scope.strand = self._strand
        self._strand.scopes.append(self._scope)
        self._timer = self._scheduler.after(self._seconds, self._scope.cancel)
        if self._seconds <= 0:
            self._scope.cancel()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._scope.strand = None
        self._strand.scopes.remove(self._scope)
        if isinstance(exc, Cancelled) and exc.scope is self._scope:
            raise DeadlineExceeded(f"took longer than {self._seconds} s") from exc


def _proof(event: SimulatedEvent, lock: SimulatedLock) -> tuple[Event, Lock]:
    """mypy holds the adapters to their ports here."""
    return event, lock
