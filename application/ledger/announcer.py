"""Tells others what was committed: in order, after the fact, never holding a commit up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from application.backlog import Backlog
from application.ledger.committed import CommittedBatch
from ports.runtime import Runtime

ENTRIES_WAITING_MAX: Final = 65_536
"""Committed entries not yet announced; past this the oldest batches are dropped, and counted."""

LEDGER_COMMITTED: Final = "ledger.committed"
"""The hook event that a committed batch is announced as."""

Announce = Callable[[CommittedBatch], Awaitable[None]]


class Announcer:
    """Announces one batch after the other."""

    def __init__(self, runtime: Runtime, announce: Announce) -> None:
        self._backlog = Backlog(
            runtime,
            announce,
            weigh=lambda batch: batch.entries_count,
            weight_max=ENTRIES_WAITING_MAX,
            dropped=self._note_dropped,
            name="ledger announcements",
        )
        self.dropped = 0
        """Entries so far of batches that were not announced."""

    def add(self, batch: CommittedBatch) -> None:
        """Never waits."""
        self._backlog.add(batch)

    async def stop(self) -> None:
        """Gives what waits a moment to be announced."""
        await self._backlog.stop()

    def _note_dropped(self, batch: CommittedBatch) -> None:
        self.dropped += batch.entries_count
