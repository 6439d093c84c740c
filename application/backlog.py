"""Work that its sender does not wait for: done in order, one item after the other, and bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from ports.runtime import DeadlineExceeded, Runtime, Task, TaskCancelled

Item = TypeVar("Item")

DRAIN_S_MAX = 2.0
"""How long a stop waits for what was added before it."""


class Backlog(Generic[Item]):
    """One queue and, while it holds something, one supervised task that empties it.

    `weigh` gives an item's weight, in whatever unit `weight_max` is. Past `weight_max` the oldest items are
    dropped, each told to `dropped`; the newest one always fits. What `work` raises ends the task and is
    reported; the next item starts another.
    """

    def __init__(
        self,
        runtime: Runtime,
        work: Callable[[Item], Awaitable[None]],
        *,
        weigh: Callable[[Item], int],
        weight_max: int,
        dropped: Callable[[Item], None],
        name: str,
    ) -> None:
        self._runtime = runtime
        self._work = work
        self._weigh = weigh
        self._weight_max = weight_max
        self._dropped = dropped
        self._name = name
        self._waiting: deque[Item] = deque()
        self._weight = 0
        self._task: Task[None] | None = None

    def add(self, item: Item) -> None:
        """Never waits."""
        self._waiting.append(item)
        self._weight += self._weigh(item)
        while self._weight > self._weight_max and len(self._waiting) > 1:
            self._dropped(self._take())
        if self._task is None:
            self._task = self._runtime.start(self._drain, name=self._name)

    async def stop(self) -> None:
        """Returns when nothing waits any more, or after `DRAIN_S_MAX`."""
        task = self._task
        if task is not None:
            with suppress(DeadlineExceeded, TaskCancelled):
                async with self._runtime.deadline(DRAIN_S_MAX):
                    await task.wait()

    def _take(self) -> Item:
        item = self._waiting.popleft()
        self._weight -= self._weigh(item)
        return item

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._work(self._take())
        finally:
            self._task = None
