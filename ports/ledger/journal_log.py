"""The journal read backwards: as the ledger's audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.ledger.chain import JournalDocument


@dataclass(frozen=True, slots=True)
class Wanted:
    """Documents with `above < seq <= upto`; None does not narrow.

    `subject` and `key` are found by an index: documents that name the one or hold an entry under the
    other. `actor` is not: a question for one bounds `above`.
    """

    upto: int
    above: int = 0
    subject: str | None = None
    key: str | None = None
    actor: str | None = None


class JournalLog(Protocol):
    """Raises `DependencyUnavailable`. What a majority holds."""

    async def latest(self, book: str, wanted: Wanted, *, limit: int) -> Sequence[JournalDocument]:
        """The newest first, at most `limit`."""

    async def last_before(self, book: str, time_ms: int) -> int:
        """The number of the newest document that was recorded before then; 0 when there is none.

        Recorded time never runs back, so this is a search and no scan.
        """
