"""What other writers' documents let fall due.

The index of what falls due when is in the checkpoints, which a writer saves a moment after the journal.
One that dies in between leaves a gap in it, which a reader of the document closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from domain.ledger.chain import JournalDocument
from domain.ledger.replay import falls_due

WAITING_MAX: Final = 20_000
"""Moments remembered; beyond, what falls due is found by its checkpoint only, or when it is touched."""


class RemoteDueIndex:
    def __init__(self) -> None:
        self._waiting: list[tuple[int, str]] = []

    def add(self, document: JournalDocument) -> None:
        for entry in document.entries:
            for due_ms, key in falls_due(entry):
                if len(self._waiting) < WAITING_MAX:
                    heappush(self._waiting, (due_ms, key))

    def add_again(self, keys: Sequence[str]) -> None:
        for key in keys[: WAITING_MAX - len(self._waiting)]:
            heappush(self._waiting, (0, key))

    def overdue(self, now_ms: int) -> list[str]:
        """Takes the accounts in which something has fallen due."""
        keys: dict[str, None] = {}
        while self._waiting and self._waiting[0][0] <= now_ms:
            keys[heappop(self._waiting)[1]] = None
        return list(keys)
