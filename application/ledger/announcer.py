"""Tells others what was committed: in order, after the fact, never holding a commit up."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from application.ledger.committed import CommittedBatch
from ports.runtime import DeadlineExceeded, Runtime, Task, TaskCancelled

ENTRIES_WAITING_MAX: Final = 65_536
"""Committed entries not yet announced; past this the oldest batches are dropped, and counted."""
DRAIN_S_MAX: Final = 2.0
"""How long a stop waits for what was committed to be announced."""


LEDGER_COMMITTED: Final = "ledger.committed"
"""The hook event that a committed batch is announced as."""

Announce = Callable[[CommittedBatch], Awaitable[None]]


class Announcer:
    """One queue and, while it holds something, one task that empties it."""

    def __init__(self, runtime: Runtime, announce: Announce) -> None:
        self._runtime = runtime
        self._announce = announce
        self._waiting: deque[CommittedBatch] = deque()
        self._entries = 0
        self._task: Task[None] | None = None
        self.dropped = 0

    def add(self, batch: CommittedBatch) -> None:
        self._waiting.append(batch)
        self._entries += batch.entries_count
        while self._entries > ENTRIES_WAITING_MAX and len(self._waiting) > 1:
            self.dropped += self._take().entries_count
        if self._task is None:
            self._task = self._runtime.start(self._drain, name="ledger announcements")

    async def stop(self) -> None:
        """Gives what waits a moment to be announced."""
        task = self._task
        if task is not None:
            with suppress(DeadlineExceeded, TaskCancelled):
                async with self._runtime.deadline(DRAIN_S_MAX):
                    await task.wait()

    def _take(self) -> CommittedBatch:
        batch = self._waiting.popleft()
        self._entries -= batch.entries_count
        return batch

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._announce(self._take())
        finally:
            self._task = None
