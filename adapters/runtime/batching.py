"""Group commit, once for every runtime: it needs only their events and supervised tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from types import TracebackType
from typing import Final, Generic, Protocol

from adapters.runtime.supervision import Report
from ports.runtime import Event, Item, Overloaded, Result, TaskCancelled

PASSES_A_PAUSE: Final = 2
"""Through the event loop: those woken run in the first one, on trio before or after the flush."""


class StartFlush(Protocol):
    """Starts a supervised task that is given its grace when the runtime closes."""

    def __call__(self, function: Callable[[], Awaitable[None]], *, name: str) -> object: ...


class _Batch(Generic[Item, Result]):
    __slots__ = ("abandoned", "callers", "error", "flushed", "items", "results", "traceback", "weight")

    def __init__(self, flushed: Event) -> None:
        self.flushed = flushed
        self.items: list[Item] = []
        self.weight = 0
        self.results: Sequence[Result] = ()
        self.error: BaseException | None = None
        self.traceback: TracebackType | None = None
        self.callers = 0
        self.abandoned = 0

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.traceback = error.__traceback__
        self.flushed.set()

    def succeed(self, results: Sequence[Result]) -> None:
        self.results = results
        self.flushed.set()


class GroupCommit(Generic[Item, Result]):
    """The `Batcher` of every runtime.

    Items join the last batch in line until it is full. One task flushes the line front to back and
    ends when it is empty. Items under flush no longer count against `waiting_max`.
    """

    __slots__ = (
        "_context",
        "_event",
        "_flush",
        "_flushing",
        "_items_max",
        "_line",
        "_name",
        "_pause",
        "_report",
        "_start",
        "_waiting",
        "_waiting_max",
        "_weigh",
        "_weight_max",
    )

    def __init__(
        self,
        start: StartFlush,
        event: Callable[[], Event],
        report: Report,
        pause: Callable[[], Awaitable[None]],
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        items_max: int,
        waiting_max: int,
        weigh: Callable[[Item], int] | None,
        weight_max: int,
    ) -> None:
        if items_max < 1 or waiting_max < 1:
            raise ValueError("items_max and waiting_max are at least 1")
        if (weigh is None) != (weight_max == 0) or weight_max < 0:
            raise ValueError("weigh and a positive weight_max go together")
        self._start = start
        self._event = event
        self._report = report
        self._pause = pause
        self._flush = flush
        self._name = f"flush {getattr(flush, '__qualname__', type(flush).__qualname__)}"
        self._items_max = items_max
        self._waiting_max = waiting_max
        self._weigh = weigh
        self._weight_max = weight_max
        self._line: deque[_Batch[Item, Result]] = deque()
        self._waiting = 0
        self._flushing = False
        # A flush serves many callers: the context (deadlines of drivers, request ids) of the one
        # who happened to start it must not reach the others' commit.
        self._context = copy_context()

    async def submit(self, item: Item) -> Result:
        weight = 0 if self._weigh is None else self._weigh(item)
        if self._waiting >= self._waiting_max:
            raise Overloaded(f"{self._waiting} items wait already")
        batch = self._place(item, weight)
        batch.callers += 1
        index = len(batch.items) - 1
        if not self._flushing:
            self._begin()
        try:
            await batch.flushed.wait()
        except BaseException:
            self._abandon(batch)
            raise
        if batch.error is not None:
            raise batch.error.with_traceback(batch.traceback)
        return batch.results[index]

    async def submit_many(self, items: Sequence[Item]) -> Sequence[Result]:
        """All are taken or none. Returns, or raises the first failed flush, when all are flushed."""
        if not items:
            return []
        weigh = self._weigh
        weights = [0] * len(items) if weigh is None else [weigh(item) for item in items]
        if self._waiting + len(items) > self._waiting_max:
            raise Overloaded(f"{self._waiting} items wait already, {len(items)} more are too many")
        parts: list[tuple[_Batch[Item, Result], int]] = []
        last: _Batch[Item, Result] | None = None
        for item, weight in zip(items, weights, strict=True):
            batch = self._place(item, weight)
            if batch is not last:
                batch.callers += 1
                parts.append((batch, len(batch.items) - 1))
                last = batch
        # Later callers fill up the last batch behind this one's items.
        stops = [*(len(batch.items) for batch, _ in parts)]
        if not self._flushing:
            self._begin()
        return await self._gather(parts, stops)

    async def _gather(self, parts: list[tuple[_Batch[Item, Result], int]], stops: list[int]) -> list[Result]:
        for done, (batch, _) in enumerate(parts):
            try:
                await batch.flushed.wait()
            except BaseException:
                for left, _ in parts[done:]:
                    self._abandon(left)
                raise
        results: list[Result] = []
        for (batch, start), stop in zip(parts, stops, strict=True):
            if batch.error is not None:
                raise batch.error.with_traceback(batch.traceback)
            results += batch.results[start:stop]
        return results

    def _place(self, item: Item, weight: int) -> _Batch[Item, Result]:
        batch = self._line[-1] if self._line else None
        if (
            batch is None
            or len(batch.items) >= self._items_max
            or (self._weight_max and batch.weight + weight > self._weight_max)
        ):
            batch = _Batch(self._event())
            self._line.append(batch)
        batch.items.append(item)
        batch.weight += weight
        self._waiting += 1
        return batch

    def _begin(self) -> None:
        self._flushing = True
        try:
            self._context.run(self._start, self._flush_line, name=self._name)
        except BaseException:
            # No flush was under way, so the line holds this caller's items only: they were not taken.
            self._flushing = False
            self._line.clear()
            self._waiting = 0
            raise

    async def _flush_line(self) -> None:
        batch: _Batch[Item, Result] | None = None
        try:
            while self._line:
                batch = self._line.popleft()
                self._waiting -= len(batch.items)
                await self._flush_batch(batch)
                if self._line:
                    await self._let_callers_return()
        except BaseException:
            self._forsake(batch)
            raise
        finally:
            self._flushing = False

    async def _let_callers_return(self) -> None:
        """Lets those who were just answered run before the next batch is taken.

        Those with another item join it. Otherwise callers that come again at once fall into two halves for
        good, each of which waits for the other's flush.
        """
        for _ in range(PASSES_A_PAUSE):
            await self._pause()

    async def _flush_batch(self, batch: _Batch[Item, Result]) -> None:
        try:
            results = await self._flush(batch.items)
            if len(results) != len(batch.items):
                raise RuntimeError(f"{self._name} gave {len(results)} results for {len(batch.items)} items")
        except Exception as error:  # noqa: BLE001 - any error belongs to the callers of this batch
            batch.fail(error)
            self._report_unheard(batch)
        else:
            batch.succeed(results)

    def _forsake(self, current: _Batch[Item, Result] | None) -> None:
        """The runtime cancelled the flush: its callers must hear that they will not be served."""
        error = TaskCancelled(self._name)
        if current is not None and not current.flushed.is_set():
            current.fail(error)
        for batch in self._line:
            batch.fail(error)
        self._line.clear()
        self._waiting = 0

    def _abandon(self, batch: _Batch[Item, Result]) -> None:
        batch.abandoned += 1
        self._report_unheard(batch)

    def _report_unheard(self, batch: _Batch[Item, Result]) -> None:
        if batch.error is not None and batch.abandoned == batch.callers:
            self._report(self._name, batch.error)
