"""Where service keys are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.api_keys import ApiKey


@dataclass(frozen=True, slots=True)
class ApiKeyPage:
    """Keys, newest first. `next_cursor` continues after the last of them; None at the end."""

    items: Sequence[ApiKey]
    next_cursor: str | None


class KeyAdded(Enum):
    """What became of a new key."""

    ADDED = "added"
    SPONSOR_GONE = "sponsor_gone"
    """Or no administrator any more."""
    TOO_MANY = "too_many"
    """`KEYS_PER_SPONSOR_MAX` live in the sponsor's name."""


class ApiKeys(Protocol):
    """Each write is atomic with its audit event. Raises `DependencyUnavailable`."""

    async def add(
        self, key: ApiKey, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> KeyAdded:
        """The key, the event and the answer are stored together, or none is. A change of its sponsor's
        credentials at the same moment waits for it, and ends it, or goes first."""

    async def get(self, key_id: str) -> ApiKey | None: ...

    async def list_page(self, *, limit: int, cursor: str | None) -> ApiKeyPage:
        """A page of all keys, revoked ones too. The cursor is the last id seen."""

    async def revoke(self, key_id: str, *, now_ms: int, event: AuditEvent) -> bool:
        """False, and no event, when there is none or it was revoked before."""

    async def living_made_for(self, place: str, *, limit: int) -> Sequence[str]:
        """Ids of keys that were made for it and that nobody has revoked, oldest first."""

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        """Ids of keys revoked at or after it, newest first, for a limiter that forgot them."""

    async def touch(self, last_used_ms: Mapping[str, int]) -> None:
        """Notes when keys were last used; an older time never replaces a newer one."""
