"""What the runtimes have in common: tasks with and without grace, and group commit over them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

from adapters.runtime.batching import GroupCommit
from adapters.runtime.supervision import Report
from ports.runtime import Batcher, Event, Item, Result, Task


class SupervisedRuntime(ABC):
    """The part of `ports.runtime.Runtime` that is the same on every event loop. How a task runs, waits and
    is cancelled is the loop's own."""

    def __init__(self, report: Report) -> None:
        """`report` is told of failures of tasks without a waiter."""
        self._report = report

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def event(self) -> Event: ...

    @abstractmethod
    def _start(self, function: Callable[[], Awaitable[Result]], name: str, *, grace: bool) -> Task[Result]:
        """Raises `RuntimeError` unless the runtime runs."""

    def start(self, function: Callable[[], Awaitable[Result]], *, name: str) -> Task[Result]:
        return self._start(function, name, grace=False)

    async def shielded(self, function: Callable[[], Awaitable[Result]], *, name: str) -> Result:
        return await self._start(function, name, grace=True).wait()

    def batcher(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        items_max: int,
        waiting_max: int,
        weigh: Callable[[Item], int] | None = None,
        weight_max: int = 0,
    ) -> Batcher[Item, Result]:
        return GroupCommit(
            self._start_with_grace,
            self.event,
            self._report,
            self._pass,
            flush,
            items_max=items_max,
            waiting_max=waiting_max,
            weigh=weigh,
            weight_max=weight_max,
        )

    def _start_with_grace(self, function: Callable[[], Awaitable[None]], *, name: str) -> object:
        return self._start(function, name, grace=True)

    async def _pass(self) -> None:
        await self.sleep(0)
