"""The runtime on asyncio's own event loop or uvloop's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from types import TracebackType
from typing import Any, Final, Literal

from adapters.runtime.supervised_runtime import SupervisedRuntime
from adapters.runtime.supervision import (
    SHUTDOWN_GRACE_S_MAX,
    THREADS_MAX,
    Home,
    Report,
    SupervisedTask,
    log_failure,
)
from ports.runtime import Arguments, DeadlineExceeded, Event, Lock, Result, Runtime, Task

DEADLINE_STEPS: Final = 4


class AsyncioRuntime(SupervisedRuntime):
    """`name` says which loop the caller drives it with; nothing else depends on it.

    Tasks, threads and batches need an open `running()`, in the loop that opened it.
    """

    def __init__(
        self,
        name: Literal["asyncio", "uvloop"] = "asyncio",
        *,
        threads_max: int = THREADS_MAX,
        shutdown_grace_s_max: float = SHUTDOWN_GRACE_S_MAX,
        report: Report = log_failure,
    ) -> None:
        self._name = name
        self._threads_max = threads_max
        self._shutdown_grace_s_max = shutdown_grace_s_max
        super().__init__(report)
        self._home: Home | None = None
        self._threads: _Threads | None = None

    @property
    def name(self) -> str:
        return self._name

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self._home is not None:
            raise RuntimeError("the runtime is running already")
        home = self._home = Home(self.event, self.deadline, self._report)
        threads = self._threads = _Threads(self._threads_max)
        try:
            yield
        finally:
            # In a task of its own, for a cancellation of the closer must not cut the grace short.
            closing = asyncio.ensure_future(home.close(self._shutdown_grace_s_max))
            try:
                await _settle(closing)
            finally:
                self._home = self._threads = None
                threads.close()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        return _Deadline(seconds)

    def event(self) -> Event:
        return _Event()

    def lock(self) -> Lock:
        return _Lock()

    async def run_in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        if self._threads is None:
            raise RuntimeError("the runtime is not running")
        return await self._threads.run(function, *arguments)

    def _start(self, function: Callable[[], Awaitable[Result]], name: str, *, grace: bool) -> _Task[Result]:
        if self._home is None:
            raise RuntimeError("the runtime is not running")
        self._home.admit()
        task: _Task[Result] = _Task(name, self._home, _Event())
        self._home.started(task, grace=grace)
        task.begin(function)
        return task


class _Task(SupervisedTask[Result]):
    __slots__ = ("_begun", "_cancel_asked", "_native")

    _native: asyncio.Task[Result]

    def begin(self, function: Callable[[], Awaitable[Result]]) -> None:
        self._begun = False
        self._cancel_asked = False
        self._native = asyncio.create_task(self._run(function), name=self.name)
        self._native.add_done_callback(self._ended)

    def cancel(self) -> None:
        # asyncio drops a task that is cancelled before its first step; the port promises that it
        # runs up to its first await, so that what it must settle is always settled.
        if self._begun:
            self._native.cancel()
        else:
            self._cancel_asked = True

    async def _run(self, function: Callable[[], Awaitable[Result]]) -> Result:
        self._begun = True
        if self._cancel_asked:
            self._native.cancel()
        return await function()

    def _ended(self, native: asyncio.Task[Result]) -> None:
        if native.cancelled():
            self.stop()
        elif (error := native.exception()) is not None:
            self.fail(error)
        else:
            self.succeed(native.result())


class _Event:
    """As asyncio.Event, without its loop over a queue for each waiter that leaves."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: dict[asyncio.Future[None], None] = {}

    def set(self) -> None:
        self._set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def is_set(self) -> bool:
        return self._set

    async def wait(self) -> None:
        if self._set:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        except BaseException:
            self._waiters.pop(waiter, None)
            raise


class _Lock:
    __slots__ = ("_native",)

    def __init__(self) -> None:
        self._native = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._native.acquire()

    async def __aexit__(self, *exc_info: object) -> None:
        self._native.release()


class _Deadline:
    """A loop that was kept busy comes late to its timers and to what could have been read meanwhile, and
    sees to the timers first. So the time passes in steps, of which a busy spell uses up one: who has been
    answered hears of it before anybody is told that no answer came.

    A cancellation that the block lost is raised at its end, as trio would raise it again: up to Python 3.11
    `asyncio.wait_for` drops one that comes as its future ends, and PyMongo waits so for each write."""

    __slots__ = ("_cancellations", "_ends_s", "_native", "_seconds", "_step")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._step: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._cancellations = _cancellations()
        self._native = asyncio.timeout(None)
        await self._native.__aenter__()
        self._ends_s = asyncio.get_running_loop().time() + self._seconds
        self._wait(DEADLINE_STEPS)

    def _wait(self, steps: int) -> None:
        loop = asyncio.get_running_loop()
        # A loop may round its timers down; the rest after the last step makes up for that.
        wait_s = self._seconds / DEADLINE_STEPS if steps > 0 else self._ends_s - loop.time()
        if wait_s > 0:
            self._step = loop.call_later(wait_s, self._wait, steps - 1)
        else:
            self._native.reschedule(loop.time())

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._step is not None:
            self._step.cancel()
        try:
            await self._native.__aexit__(exc_type, exc, traceback)
        except TimeoutError as error:
            # Raised by asyncio only for its own expiry: a TimeoutError of the block passes by.
            raise DeadlineExceeded(f"took longer than {self._seconds} s") from error
        if not isinstance(exc, asyncio.CancelledError) and _cancellations() > self._cancellations:
            raise asyncio.CancelledError


def _cancellations() -> int:
    """How many were asked of the task that runs and not taken back."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


class _Threads:
    """Blocking work, bounded. Callers queue where they can be cancelled, not inside the executor."""

    def __init__(self, threads_max: int) -> None:
        self._free = asyncio.Semaphore(threads_max)
        self._executor = ThreadPoolExecutor(threads_max, thread_name_prefix="runtime")

    async def run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        async with self._free:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(self._executor, copy_context().run, function, *arguments)
            return await _settle(call)

    def close(self) -> None:
        self._executor.shutdown(wait=False)


async def _settle(future: asyncio.Future[Result]) -> Result:
    """Waits to the end even when cancelled, and lets the cancellation go on only then."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # seen: asyncio must not warn of it
        raise cancelled
    return future.result()


def _proof(runtime: AsyncioRuntime, task: _Task[Any]) -> tuple[Runtime, Task[Any]]:
    """mypy holds the adapter to its ports here."""
    return runtime, task
