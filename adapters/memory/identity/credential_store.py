"""Changes of credentials in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.idempotency import MemoryIdempotencyStore
from adapters.memory.identity.api_keys import MemoryApiKeys
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import Role
from ports.identity.credential_store import CredentialStore, EndEvents, RevokedIds, RolesChanged
from ports.identity.users import AnswerFor


class MemoryCredentials:
    def __init__(
        self,
        *,
        users: MemoryUsers,
        sessions: MemorySessions,
        api_keys: MemoryApiKeys,
        audit: MemoryAuditLog,
        answers: MemoryIdempotencyStore | None = None,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._api_keys = api_keys
        self._audit = audit
        self._answers = answers or MemoryIdempotencyStore()

    async def change_password(
        self,
        user_id: str,
        *,
        expected_version: int,
        password_hash: str,
        known_devices: tuple[str, ...],
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
    ) -> RevokedIds | None:
        if not self._users.put_password(
            user_id,
            expected_version=expected_version,
            password_hash=password_hash,
            known_devices=known_devices,
        ):
            return None
        self._audit.append(event)
        return RevokedIds(session_ids=self._sessions.end_all(user_id, now_ms, end_events.session))

    async def change_roles(
        self,
        user_id: str,
        *,
        roles: frozenset[Role],
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
        answer: AnswerFor | None = None,
    ) -> RolesChanged | None:
        user = self._users.put_roles(user_id, roles, answer)
        if user is None:
            return None
        self._audit.append(event)
        ended = RevokedIds(
            session_ids=self._sessions.end_all(user_id, now_ms, end_events.session),
            api_key_ids=()
            if Role.ADMIN in roles
            else self._api_keys.revoke_sponsored(user_id, now_ms, end_events.api_key),
        )
        return RolesChanged(user, ended)

    async def remove_user(
        self,
        user_id: str,
        *,
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
        answer: RememberedAnswer | None = None,
    ) -> RevokedIds | None:
        if await self._users.get(user_id) is None:
            return None
        self._answers.put(answer)
        self._users.remove(user_id)
        self._audit.append(event)
        ended = self._sessions.end_all(user_id, now_ms, end_events.session)
        self._sessions.leave(user_id)
        return RevokedIds(
            session_ids=ended,
            api_key_ids=self._api_keys.revoke_sponsored(user_id, now_ms, end_events.api_key),
        )


def _proof(credentials: MemoryCredentials) -> CredentialStore:
    """mypy holds the adapter to its port here."""
    return credentials
