"""What is told of a committed batch, after the fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from domain.ledger.account import AccountState
from domain.ledger.chain import JournalDocument


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """One acknowledged document of this process, and the states that it left its accounts in. `low` is
    those of them that fell below their threshold by it."""

    document: JournalDocument
    states: Mapping[str, AccountState]
    low: tuple[AccountState, ...] = ()

    @property
    def entries_count(self) -> int:
        """How many entries the document holds."""
        return len(self.document.entries)


Committed = Callable[[CommittedBatch], None]
"""Called once for each document of this process, in order, after it was acknowledged."""
