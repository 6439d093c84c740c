"""The audit log of everything but the ledger, whose journal is its own log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent, AuditFilter

OnRecorded = Callable[[AuditEvent], None]
"""Called with each event once it is stored by any write. Must not raise."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of events, newest first. `next_cursor` begins the next page; None on the last."""

    items: Sequence[AuditEvent]
    next_cursor: str | None


class AuditLog(Protocol):
    """Append-only, but for what is over. Every method raises `DependencyUnavailable`."""

    async def record(self, event: AuditEvent) -> None:
        """Appends the event of a write to another store, whose transaction cannot hold the event.

        An event whose id the log has stays unchanged, so that a caller may try again.
        """

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str | None) -> AuditPage:
        """A page of at most `limit` events. `cursor` is the last id of the page before."""

    async def remove_before(self, moment_ms: int, *, limit: int) -> int:
        """Removes the oldest events of before a moment, `limit` of them at most. Returns how many.

        Less than `limit` means that none is left.
        """
