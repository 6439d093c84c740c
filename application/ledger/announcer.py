"""Tells others what was committed: in order, after the fact, never holding a commit up."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from domain.ledger.account import AccountState
from domain.ledger.chain import JournalDocument
from ports.runtime import Runtime, Task

BATCHES_WAITING_MAX: Final = 4_096
"""Committed batches not yet announced; past this the oldest is dropped, and counted."""


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """One acknowledged document of this process, and the states that it left its accounts in."""

    document: JournalDocument
    states: Mapping[str, AccountState]


LEDGER_COMMITTED: Final = "ledger.committed"
"""The hook event that a committed batch is announced as."""

Announce = Callable[[CommittedBatch], Awaitable[None]]


class Announcer:
    """One queue and, while it holds something, one task that empties it."""

    def __init__(self, runtime: Runtime, announce: Announce) -> None:
        self._runtime = runtime
        self._announce = announce
        self._waiting: deque[CommittedBatch] = deque()
        self._task: Task[None] | None = None
        self.dropped = 0

    def add(self, document: JournalDocument, states: Mapping[str, AccountState]) -> None:
        if len(self._waiting) >= BATCHES_WAITING_MAX:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(CommittedBatch(document, states))
        if self._task is None:
            self._task = self._runtime.start(self._drain, name="ledger announcements")

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._announce(self._waiting.popleft())
        finally:
            self._task = None
