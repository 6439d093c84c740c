"""Supervised tasks: their outcomes and their home, the same on every event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Generic, Protocol

from ports.runtime import DeadlineExceeded, Event, Result, TaskCancelled

SHUTDOWN_GRACE_S_MAX: Final = 10.0
THREADS_MAX: Final = 8

Report = Callable[[str, BaseException], None]
"""Told of a failure that no caller waited for: (task name, exception). Must not raise."""

_logger = logging.getLogger(__name__)


def log_failure(name: str, error: BaseException) -> None:
    _logger.error("task %s failed and nobody waited for it", name, exc_info=error)


class SupervisedTask(Generic[Result]):
    """The outcome of a task and its waiting callers. A runtime adds how it runs and is cancelled.

    A failure is reported when no caller waits at that moment, or when the last one that waited was
    cancelled before hearing of it. A later caller gets it still.
    """

    __slots__ = (
        "_error",
        "_failed",
        "_finished",
        "_heard",
        "_home",
        "_result",
        "_traceback",
        "_waiters",
        "name",
    )

    _result: Result

    def __init__(self, name: str, home: Home, finished: Event) -> None:
        self.name = name
        self._home = home
        self._finished = finished
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._failed = False
        self._heard = False
        self._waiters = 0

    async def wait(self) -> Result:
        self._waiters += 1
        try:
            await self._finished.wait()
        except BaseException:
            self._waiters -= 1
            self._report_unheard()
            raise
        self._waiters -= 1
        return self.result()

    def expect(self) -> None:
        """A caller will ask for `result`: its failure needs no report."""
        self._waiters += 1

    def result(self) -> Result:
        """What `wait` gives, of a task that has ended."""
        self._heard = True
        if self._error is not None:
            # Without the reset every waiter would lengthen the one traceback they share.
            raise self._error.with_traceback(self._traceback)
        return self._result

    def has_ended(self) -> bool:
        return self._finished.is_set()

    def succeed(self, result: Result) -> None:
        self._result = result
        self._finish()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._traceback = error.__traceback__
        self._failed = True
        self._finish()

    def stop(self) -> None:
        """It ended by cancellation, which is never reported."""
        self._error = TaskCancelled(self.name)
        self._finish()

    def _finish(self) -> None:
        self._finished.set()
        self._home.ended(self)
        self._report_unheard()

    def _report_unheard(self) -> None:
        if self._failed and not self._heard and not self._waiters:
            self._heard = True
            self._home.report(self.name, self._error or TaskCancelled(self.name))


class _Endable(Protocol):
    def cancel(self) -> None: ...

    def stop(self) -> None: ...


class Home:
    """The supervised tasks of one `Runtime.running()`.

    Tasks with grace (shielded work, flushes of batches) may end by themselves while the home
    closes, and may start others meanwhile; all others are cancelled at once.
    """

    def __init__(
        self,
        event: Callable[[], Event],
        deadline: Callable[[float], AbstractAsyncContextManager[None]],
        report: Report,
    ) -> None:
        self.report = report
        self._event = event
        self._deadline = deadline
        self._with_grace: dict[object, _Endable] = {}
        self._without_grace: dict[object, _Endable] = {}
        self._emptied: Event | None = None
        self._closed = False

    def admit(self) -> None:
        """Call before a task is made: none may start once the last have been cancelled."""
        if self._closed:
            raise RuntimeError("the runtime has stopped: no task can start")

    def started(self, task: _Endable, *, grace: bool) -> None:
        (self._with_grace if grace else self._without_grace)[task] = task

    def ended(self, task: SupervisedTask[Any]) -> None:
        self._with_grace.pop(task, None)
        self._without_grace.pop(task, None)
        if self._emptied is not None and not self._with_grace and not self._without_grace:
            self._emptied.set()

    async def close(self, grace_s_max: float) -> None:
        """Ends every task. The caller must be out of reach of cancellation."""
        for task in list(self._without_grace.values()):
            task.cancel()
        try:
            async with self._deadline(grace_s_max):
                await self._empty()
        except DeadlineExceeded:
            _logger.warning("work with grace did not end in %s s and is cancelled", grace_s_max)
        self._closed = True
        for task in [*self._with_grace.values(), *self._without_grace.values()]:
            task.cancel()
        await self._empty()

    def abandon(self) -> None:
        """The tasks are gone, without an end of their own: tells those who wait for them."""
        self._closed = True
        for task in [*self._with_grace.values(), *self._without_grace.values()]:
            task.stop()

    async def _empty(self) -> None:
        while self._with_grace or self._without_grace:
            self._emptied = self._event()
            await self._emptied.wait()
