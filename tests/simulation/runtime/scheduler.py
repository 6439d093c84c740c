"""Drives coroutines without an event loop: virtual time, and a seeded choice of who runs next.

Each await of a primitive is a scheduling point, also where a real event loop would go straight on:
more interleavings, not fewer. Cancellation is as strict as trio's: in a cancelled scope every
further await is cancelled too.
"""

from __future__ import annotations

import heapq
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final, Protocol

from adapters.runtime.supervision import SupervisedTask

STEPS_MAX: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

OnStep = Callable[[str], None]


class Deadlock(Exception):
    """Nothing can run, no timer is set, and what was asked for has not ended."""


class StepsExceeded(Exception):
    """The simulation took more than `steps_max` steps: something spins."""


class SimulationOver(GeneratorExit):
    """An await of a coroutine that nobody drives any more.

    It happens when a crashed or abandoned coroutine is collected as garbage; Python takes a
    GeneratorExit there in silence.
    """


class Cancelled(BaseException):
    """Thrown into a coroutine at its await because `scope` was cancelled."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope


class Scope:
    """What can be cancelled: a whole strand, or the block of a deadline in it."""

    __slots__ = ("cancelled", "strand")

    def __init__(self) -> None:
        self.cancelled = False
        self.strand: Strand | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.strand is not None:
            self.strand.interrupt()


@dataclass(frozen=True, slots=True)
class Wait:
    """What a coroutine yields: why it waits, how waiting begins, how it is withdrawn.

    Without `withdraw` the wait goes to its end whatever is cancelled.
    """

    reason: str
    begin: Callable[[Strand], None]
    withdraw: Callable[[Strand], None] | None


class Timer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Process:
    """What stops together in a crash."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.crashed = False
        # Strands of a crashed process stay here, suspended for ever: to drop one would run its
        # `finally` blocks, which a dead process cannot do.
        self.strands: dict[Strand, None] = {}

    def crash(self) -> None:
        self.crashed = True
        for strand in self.strands:
            strand.leave()


class Runnable(Protocol):
    @property
    def process(self) -> Process: ...

    @property
    def name(self) -> str: ...

    def step(self) -> None: ...


class Scheduler:
    """Virtual time and the line of those who can run. The same seed gives the same schedule."""

    def __init__(self, seed: int, *, steps_max: int = STEPS_MAX, on_step: OnStep | None = None) -> None:
        self.random = Random(seed)
        self.now_ns = 0
        self.current: Strand | None = None
        self.processes: list[Process] = []
        self._on_step = on_step
        self._steps_max = steps_max
        self._steps = 0
        self._numbers = count(1)
        self._ready: list[Runnable] = []
        self._timers: list[tuple[int, int, Timer]] = []

    def process(self, name: str) -> Process:
        process = Process(name)
        self.processes.append(process)
        return process

    def number(self) -> int:
        return next(self._numbers)

    def ready(self, runnable: Runnable) -> None:
        self._ready.append(runnable)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(action)
        when_ns = self.now_ns + max(0, round(seconds * NS_PER_S))
        heapq.heappush(self._timers, (when_ns, self.number(), timer))
        return timer

    def driven(self) -> Strand:
        """The strand that runs now. Raises `SimulationOver` where none does."""
        if self.current is None:
            raise SimulationOver
        return self.current

    def run_until(self, done: Callable[[], bool]) -> None:
        """Raises `Deadlock` and `StepsExceeded`, each naming who waits for what."""
        if self.current is not None:
            raise RuntimeError("the simulation is running already")
        while not done():
            if not self._ready and not self._advance():
                raise Deadlock(self._waiting())
            if self._steps >= self._steps_max:
                raise StepsExceeded(f"{self._steps} steps; {self._waiting()}")
            self._step()

    def _step(self) -> None:
        ready = self._ready
        index = int(self.random.random() * len(ready))
        ready[index], ready[-1] = ready[-1], ready[index]
        runnable = ready.pop()
        if runnable.process.crashed:
            return
        self._steps += 1
        if self._on_step is not None:
            self._on_step(f"{self.now_ns} {runnable.process.name}/{runnable.name}")
        runnable.step()

    def _advance(self) -> bool:
        """Moves time to the next timer and fires all that are due then."""
        while not self._ready and self._timers:
            when_ns = self._timers[0][0]
            while self._timers and self._timers[0][0] == when_ns:
                action = heapq.heappop(self._timers)[2].action
                if action is not None:
                    self.now_ns = when_ns
                    action()
        return bool(self._ready)

    def _waiting(self) -> str:
        waiting = [
            f"{process.name}/{strand.name} {strand.state()}"
            for process in self.processes
            if not process.crashed
            for strand in process.strands
        ]
        return "; ".join(waiting) or "no task is left"


class Strand:
    """One coroutine under the scheduler."""

    def __init__(
        self,
        scheduler: Scheduler,
        process: Process,
        task: SupervisedTask[Any],
        scope: Scope,
        make: Callable[[], Coroutine[Wait, None, Any]],
    ) -> None:
        self.process = process
        self.name = f"{task.name}#{scheduler.number()}"
        self.scopes = [scope]
        self._scheduler = scheduler
        self._task = task
        self._make = make
        self._coroutine: Coroutine[Wait, None, Any] | None = None
        self._context = copy_context()
        self._wait: Wait | None = None
        self._interrupted_by: Scope | None = None
        scope.strand = self
        process.strands[self] = None
        scheduler.ready(self)

    def state(self) -> str:
        return "is ready" if self._wait is None else self._wait.reason

    def wake(self) -> None:
        """The wait is over. Ends it once: a strand that is ready already is left alone."""
        if self._wait is not None:
            self._wait = None
            self._scheduler.ready(self)

    def leave(self) -> None:
        """Gives up its place in any line, so that nothing is handed to the dead."""
        if self._wait is not None and self._wait.withdraw is not None:
            self._wait.withdraw(self)

    def interrupt(self) -> None:
        """A scope was cancelled: the wait is withdrawn, if there is one and it can be."""
        scope = next((scope for scope in self.scopes if scope.cancelled), None)
        if scope is not None and self._wait is not None and self._wait.withdraw is not None:
            self._wait.withdraw(self)
            self._interrupted_by = scope
            self.wake()

    def step(self) -> None:
        scheduler = self._scheduler
        scheduler.current = self
        try:
            wait = self._context.run(self._resume)
        except StopIteration as stop:
            result = stop.value
            self._end(lambda: self._task.succeed(result))
        except Cancelled:
            self._end(self._task.stop)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait for the task
            failure = error
            self._end(lambda: self._task.fail(failure))
        else:
            self._suspend(wait)
        finally:
            scheduler.current = None

    def _resume(self) -> Wait:
        if self._coroutine is None:
            # Made as late as this, a strand that never ran leaves no coroutine unawaited.
            self._coroutine = self._make()
        scope, self._interrupted_by = self._interrupted_by, None
        if scope is not None:
            return self._coroutine.throw(Cancelled(scope))
        return self._coroutine.send(None)

    def _suspend(self, wait: object) -> None:
        if not isinstance(wait, Wait):
            raise TypeError(f"{self.name} awaits {wait!r}, which is not of the simulated runtime")
        self._wait = wait
        if self.process.crashed:
            return
        if wait.withdraw is not None:
            scope = next((scope for scope in self.scopes if scope.cancelled), None)
            if scope is not None:
                self._interrupted_by = scope
                self.wake()
                return
        wait.begin(self)

    def _end(self, settle: Callable[[], None]) -> None:
        if not self.process.crashed:
            del self.process.strands[self]
            settle()


@types.coroutine
def _suspended(wait: Wait) -> Generator[Wait, None, None]:
    yield wait


async def suspend(scheduler: Scheduler, wait: Wait) -> None:
    scheduler.driven()
    await _suspended(wait)


async def checkpoint(scheduler: Scheduler) -> None:
    """Lets others run, and cancellation in."""
    await suspend(scheduler, Wait("is ready", Strand.wake, _nothing_to_withdraw))


def _nothing_to_withdraw(_strand: Strand) -> None:
    """A strand that only lets others run is ready again at once: it is in no line to leave."""
