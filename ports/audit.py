"""The audit log of everything but the ledger, which is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent, AuditFilter

OnRecorded = Callable[[AuditEvent], None]
"""Told of each event once it is stored, wherever that was; must not fail."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Events, newest first. `next_cursor` continues after the last of them; None at the end."""

    items: Sequence[AuditEvent]
    next_cursor: str | None


class AuditLog(Protocol):
    """Append-only. Raises `DependencyUnavailable`."""

    async def record(self, event: AuditEvent) -> None:
        """For a write that is stored elsewhere than where its event could go along.

        An event that is there already stays as it is, so a caller may try again.
        """

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str | None) -> AuditPage:
        """The cursor is the last id seen."""
