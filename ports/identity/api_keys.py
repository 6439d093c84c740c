"""The store of API keys."""

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
    """A page of keys, newest first. `next_cursor` begins the next page; None on the last."""

    items: Sequence[ApiKey]
    next_cursor: str | None


class KeyAdded(Enum):
    """The result of adding a key."""

    ADDED = "added"
    SPONSOR_GONE = "sponsor_gone"
    """The sponsor is gone, or no administrator any more."""
    TOO_MANY = "too_many"
    """The sponsor has `KEYS_PER_SPONSOR_MAX` live keys."""


class ApiKeys(Protocol):
    """Each write is atomic with its audit event. Every method raises `DependencyUnavailable`."""

    async def add(
        self, key: ApiKey, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> KeyAdded:
        """Stores the key, the event and the answer together, or none of them.

        A concurrent change of the sponsor's credentials either goes first, or follows and ends the key.
        Raises `AlreadyAnswered`.
        """

    async def get(self, key_id: str) -> ApiKey | None:
        """The key of an id, live or not; None when there is none."""

    async def list_page(self, *, limit: int, cursor: str | None) -> ApiKeyPage:
        """A page of at most `limit` keys, with revoked ones. `cursor` is the last id of the page before."""

    async def revoke(self, key_id: str, *, now_ms: int, event: AuditEvent) -> bool:
        """Revokes a key. False, and no event, when there is none or it is revoked already."""

    async def living_made_for(self, place: str, *, limit: int) -> Sequence[str]:
        """The ids of the keys made for a place and not revoked, oldest first, at most `limit`."""

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        """The ids of the keys revoked at or after a time, newest first, at most `limit`."""

    async def touch(self, last_used_ms: Mapping[str, int]) -> None:
        """Records the last use of keys, by id. An older time never replaces a newer one."""
