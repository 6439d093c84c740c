"""The runtime in virtual time, for tests that replay races and crashes from a seed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any, Final

from adapters.runtime.supervised_runtime import SupervisedRuntime
from adapters.runtime.supervision import SHUTDOWN_GRACE_S_MAX, Home, Report, SupervisedTask, log_failure
from ports.clock import Clock
from ports.entropy import Entropy
from ports.runtime import Arguments, Event, Lock, Result, Runtime, Task
from tests.simulation.runtime.scheduler import (
    NS_PER_S,
    STEPS_MAX,
    OnStep,
    Process,
    Scheduler,
    Scope,
    SimulationOver,
    Strand,
    Timer,
    Wait,
    checkpoint,
    suspend,
)
from tests.simulation.runtime.simulated_waits import (
    SimulatedDeadline,
    SimulatedEvent,
    SimulatedLock,
    ThreadCall,
)

EPOCH_MS: Final = 1_700_000_000_000
"""What clocks show when the simulation begins."""


class Simulation:
    """One virtual time and one schedule for any number of processes.

    `run` drives the world outside of them: servers, networks, the test itself. It never crashes.

        simulation = Simulation(seed=7)

        async def world() -> None:
            first = simulation.process("first")
            task = first.launch(serve)        # what the process does; it opens `running()` itself
            await simulation.outside.sleep(1)
            first.crash()
            await simulation.process("second").launch(serve).wait()

        simulation.run(world)
    """

    def __init__(
        self,
        seed: int,
        *,
        steps_max: int = STEPS_MAX,
        on_step: OnStep | None = None,
        report: Report = log_failure,
    ) -> None:
        """`on_step` is told of each step, in order: the trace of the schedule."""
        self.scheduler = Scheduler(seed, steps_max=steps_max, on_step=on_step)
        self._report = report
        self.outside = self.process("outside")

    @property
    def random(self) -> Random:
        return self.scheduler.random

    def process(
        self,
        name: str,
        *,
        shutdown_grace_s_max: float = SHUTDOWN_GRACE_S_MAX,
        report: Report | None = None,
    ) -> SimulatedRuntime:
        return SimulatedRuntime(
            simulation=self,
            process=name,
            shutdown_grace_s_max=shutdown_grace_s_max,
            report=report or self._report,
        )

    def run(self, main: Callable[[], Awaitable[Result]]) -> Result:
        """Until `main` has ended. What else still runs stays as it is, and goes on in the next `run`."""
        return self.outside.run(main)

    def clock(self, *, offset_ms: int = 0) -> SimulatedClock:
        return SimulatedClock(self.scheduler, offset_ms)


class SimulatedRuntime(SupervisedRuntime):
    """One process of a simulation; alone, with a simulation of its own.

    Its tasks may await the primitives of any runtime of the same simulation, and nothing else.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        simulation: Simulation | None = None,
        process: str = "process",
        shutdown_grace_s_max: float = SHUTDOWN_GRACE_S_MAX,
        report: Report = log_failure,
    ) -> None:
        self.simulation = Simulation(seed, report=report) if simulation is None else simulation
        self._scheduler: Scheduler = self.simulation.scheduler
        self._process: Process = self._scheduler.process(process)
        self._shutdown_grace_s_max = shutdown_grace_s_max
        super().__init__(self._report_while_running)
        self._tell = report
        self._roots = Home(self.event, self.deadline, self._report)
        self._home: Home | None = None

    @property
    def name(self) -> str:
        return "simulated"

    @property
    def crashed(self) -> bool:
        return self._process.crashed

    def run(self, main: Callable[[], Awaitable[Result]]) -> Result:
        """Drives the whole simulation until `main`, launched in this process, has ended."""
        task = self._begin(self._roots, main, "main", grace=False)
        task.expect()
        self._scheduler.run_until(task.has_ended)
        return task.result()

    def launch(self, main: Callable[[], Awaitable[Result]], *, name: str = "main") -> Task[Result]:
        """Starts what the process is for. Not supervised: `main` opens `running()` itself."""
        return self._begin(self._roots, main, name, grace=False)

    def crash(self) -> None:
        """Stops all tasks of this process at once; none runs any further, not even to clean up.

        Whoever waits outside for one of its tasks gets `TaskCancelled`. A task of the process that
        calls this itself runs up to its next await.
        """
        self._process.crash()
        for home in (self._roots, self._home):
            if home is not None:
                home.abandon()

    def _report_while_running(self, name: str, error: BaseException) -> None:
        """Silent about what Python collects that a crash, or the end of the simulation, left."""
        if self._scheduler.current is not None and not self._process.crashed:
            self._tell(name, error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self._home is not None:
            raise RuntimeError("the runtime is running already")
        home = self._home = Home(self.event, self.deadline, self._report)
        try:
            yield
        finally:
            if not self._process.crashed:
                await self._close(home)
            self._home = None

    async def _close(self, home: Home) -> None:
        self._scheduler.driven()
        closing = self._begin(
            self._roots, lambda: home.close(self._shutdown_grace_s_max), "close", grace=True
        )
        closing.expect()
        await closing.ended.wait_through_cancellation("waits for its tasks to end")
        if not self._process.crashed:
            closing.result()

    def monotonic(self) -> float:
        return self._scheduler.now_ns / NS_PER_S

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await checkpoint(self._scheduler)
        timer: Timer | None = None

        def begin(strand: Strand) -> None:
            nonlocal timer
            timer = self._scheduler.after(seconds, strand.wake)

        def withdraw(_strand: Strand) -> None:
            if timer is not None:
                timer.cancel()

        return await suspend(self._scheduler, Wait(f"sleeps {seconds} s", begin, withdraw))

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        return SimulatedDeadline(self._scheduler, seconds)

    def event(self) -> Event:
        return SimulatedEvent(self._scheduler)

    def lock(self) -> Lock:
        return SimulatedLock(self._scheduler)

    async def run_in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """The function runs whole at a later scheduling point, so one thread is in it at a time."""
        self._running_home()
        await checkpoint(self._scheduler)
        call = ThreadCall(self._scheduler, self._process, lambda: function(*arguments))
        await call.returned.wait_through_cancellation("waits for a thread")
        return call.result()

    def _start(self, function: Callable[[], Awaitable[Result]], name: str, *, grace: bool) -> _Task[Result]:
        self._scheduler.driven()
        return self._begin(self._running_home(), function, name, grace=grace)

    def _running_home(self) -> Home:
        if self._process.crashed:
            raise SimulationOver
        if self._home is None:
            raise RuntimeError("the runtime is not running")
        return self._home

    def _begin(
        self, home: Home, function: Callable[[], Awaitable[Result]], name: str, *, grace: bool
    ) -> _Task[Result]:
        if self._process.crashed:
            raise SimulationOver
        home.admit()
        task: _Task[Result] = _Task(name, home, SimulatedEvent(self._scheduler))
        home.started(task, grace=grace)

        async def body() -> Result:
            return await function()

        coroutine: Callable[[], Coroutine[Any, Any, Result]] = body
        Strand(self._scheduler, self._process, task, task.scope, coroutine)
        return task


class _Task(SupervisedTask[Result]):
    __slots__ = ("ended", "scope")

    def __init__(self, name: str, home: Home, ended: SimulatedEvent) -> None:
        super().__init__(name, home, ended)
        self.ended = ended
        self.scope = Scope()

    def cancel(self) -> None:
        self.scope.cancel()


class SimulatedClock:
    """Wall-clock time of a simulated host, off by `offset_ms`."""

    def __init__(self, scheduler: Scheduler, offset_ms: int = 0) -> None:
        self._scheduler = scheduler
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return EPOCH_MS + self.offset_ms + self._scheduler.now_ns // 1_000_000


class SeededEntropy:
    """Repeatable bytes. Never for anything that ships."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


def _proof(
    runtime: SimulatedRuntime, task: _Task[Any], clock: SimulatedClock, entropy: SeededEntropy
) -> tuple[Runtime, Task[Any], Clock, Entropy]:
    """mypy holds the adapters to their ports here."""
    return runtime, task, clock, entropy
