"""The runtime on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

import trio

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


class TrioRuntime(SupervisedRuntime):
    """Tasks, threads and batches need an open `running()`, in the trio run that opened it.

    Tasks of any nursery of that run may start others here.
    """

    def __init__(
        self,
        *,
        threads_max: int = THREADS_MAX,
        shutdown_grace_s_max: float = SHUTDOWN_GRACE_S_MAX,
        report: Report = log_failure,
    ) -> None:
        self._threads = trio.CapacityLimiter(threads_max)
        self._shutdown_grace_s_max = shutdown_grace_s_max
        super().__init__(report)
        self._home: Home | None = None
        self._nursery: trio.Nursery | None = None

    @property
    def name(self) -> str:
        return "trio"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self._home is not None:
            raise RuntimeError("the runtime is running already")
        home = self._home = Home(self.event, self.deadline, self._report)
        nursery = trio.open_nursery()
        self._nursery = await nursery.__aenter__()
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await home.close(self._shutdown_grace_s_max)
            self._home = self._nursery = None
            # The tasks keep their failures, so the nursery has none to add: what the block raised
            # passes it by, unwrapped.
            await nursery.__aexit__(None, None, None)

    def monotonic(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(max(0.0, seconds))

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        return _Deadline(seconds)

    def event(self) -> Event:
        return trio.Event()

    def lock(self) -> Lock:
        return _Lock()

    async def run_in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        if self._home is None:
            raise RuntimeError("the runtime is not running")
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._threads)

    def _start(self, function: Callable[[], Awaitable[Result]], name: str, *, grace: bool) -> _Task[Result]:
        if self._home is None or self._nursery is None:
            raise RuntimeError("the runtime is not running")
        self._home.admit()
        task: _Task[Result] = _Task(name, self._home)
        self._home.started(task, grace=grace)
        self._nursery.start_soon(task.run, function, name=name)
        return task


class _Task(SupervisedTask[Result]):
    __slots__ = ("_scope",)

    def __init__(self, name: str, home: Home) -> None:
        super().__init__(name, home, trio.Event())
        # Only `cancel` reaches the task: the scope around `running()` may end while a commit must go out.
        self._scope = trio.CancelScope(shield=True)

    def cancel(self) -> None:
        self._scope.cancel()

    async def run(self, function: Callable[[], Awaitable[Result]]) -> None:
        try:
            with self._scope:
                result = await function()
                return self.succeed(result)
        except Exception as error:  # noqa: BLE001 - any error belongs to those who wait for the task
            return self.fail(error)
        except BaseException as error:
            self.fail(error)
            raise
        return self.stop()


class _Lock:
    __slots__ = ("_native",)

    def __init__(self) -> None:
        self._native = trio.StrictFIFOLock()

    async def __aenter__(self) -> None:
        await self._native.acquire()

    async def __aexit__(self, *exc_info: object) -> None:
        self._native.release()


class _Deadline:
    __slots__ = ("_scope", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = trio.CancelScope()

    async def __aenter__(self) -> None:
        self._scope.deadline = trio.current_time() + self._seconds
        self._scope.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scope.__exit__(exc_type, exc, traceback)
        if self._scope.cancelled_caught:
            raise DeadlineExceeded(f"took longer than {self._seconds} s")


def _proof(runtime: TrioRuntime, task: _Task[Any]) -> tuple[Runtime, Task[Any]]:
    """mypy holds the adapter to its ports here."""
    return runtime, task
