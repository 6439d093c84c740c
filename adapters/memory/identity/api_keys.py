"""Service keys in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.idempotency import MemoryIdempotencyStore
from adapters.memory.identity.users import MemoryUsers
from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.api_keys import KEYS_PER_SPONSOR_MAX, ApiKey
from ports.identity.api_keys import ApiKeyPage, ApiKeys, KeyAdded
from ports.identity.sessions import EndEvent


class MemoryApiKeys:
    def __init__(
        self, *, users: MemoryUsers, audit: MemoryAuditLog, answers: MemoryIdempotencyStore | None = None
    ) -> None:
        self._users = users
        self._audit = audit
        self._answers = answers or MemoryIdempotencyStore()
        self._keys: dict[str, ApiKey] = {}

    async def add(
        self, key: ApiKey, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> KeyAdded:
        if key.sponsor_id is not None:
            if not self._users.is_administrator(key.sponsor_id):
                return KeyAdded.SPONSOR_GONE
            if len(self._living(key.sponsor_id, key.created_ms)) >= KEYS_PER_SPONSOR_MAX:
                return KeyAdded.TOO_MANY
        self._answers.put(answer)
        self._keys[key.id] = key
        self._audit.append(event)
        return KeyAdded.ADDED

    async def get(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id)

    async def list_page(self, *, limit: int, cursor: str | None) -> ApiKeyPage:
        ids = sorted((key for key in self._keys if cursor is None or key < cursor), reverse=True)
        items = tuple(self._keys[key_id] for key_id in ids[:limit])
        return ApiKeyPage(items=items, next_cursor=items[-1].id if len(ids) > limit else None)

    async def revoke(self, key_id: str, *, now_ms: int, event: AuditEvent) -> bool:
        key = self._keys.get(key_id)
        if key is None or key.revoked_ms is not None:
            return False
        self._keys[key_id] = replace(key, revoked_ms=now_ms)
        self._audit.append(event)
        return True

    async def living_made_for(self, place: str, *, limit: int) -> Sequence[str]:
        living = (key for key in self._keys.values() if key.revoked_ms is None)
        return tuple(sorted(key.id for key in living if key.made_for == place)[:limit])

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        revoked = ((key.revoked_ms, key.id) for key in self._keys.values() if key.revoked_ms is not None)
        newest = sorted((each for each in revoked if each[0] >= since_ms), reverse=True)
        return tuple(key_id for _, key_id in newest[:limit])

    async def touch(self, last_used_ms: Mapping[str, int]) -> None:
        for key_id, at_ms in last_used_ms.items():
            key = self._keys.get(key_id)
            if key is not None and (key.last_used_ms or 0) < at_ms:
                self._keys[key_id] = replace(key, last_used_ms=at_ms)

    def revoke_sponsored(self, user_id: str, now_ms: int, end_event: EndEvent) -> tuple[str, ...]:
        """The ids of the user's keys that lived."""
        living = self._living(user_id, now_ms)
        for key_id in living:
            self._keys[key_id] = replace(self._keys[key_id], revoked_ms=now_ms)
            self._audit.append(end_event(key_id))
        return living

    def _living(self, sponsor_id: str, now_ms: int) -> tuple[str, ...]:
        """The ids of those in this user's name that are neither revoked nor expired."""
        sponsored = (key for key in self._keys.values() if key.sponsor_id == sponsor_id)
        return tuple(sorted(key.id for key in sponsored if key.is_living(now_ms)))


def _proof(keys: MemoryApiKeys) -> ApiKeys:
    """mypy holds the adapter to its port here."""
    return keys
