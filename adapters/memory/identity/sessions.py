"""Sessions in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.identity.users import MemoryUsers
from domain.audit import AuditEvent
from domain.identity.sessions import Session, SessionState, surplus
from domain.identity.users import device_digest
from ports.identity.sessions import ActiveCount, EndEvent, Sessions

LEFT_MAX = 10_000
"""Sessions of removed users that are kept, the newest."""


class MemorySessions:
    """A session is forgotten at its user's first login after its absolute expiry."""

    def __init__(self, *, users: MemoryUsers, audit: MemoryAuditLog) -> None:
        self._users = users
        self._audit = audit
        self._sessions: dict[str, Session] = {}
        self._of_user: dict[str, set[str]] = {}
        self._left: deque[str] = deque()

    async def add(
        self,
        session: Session,
        event: AuditEvent,
        *,
        per_user_max: int,
        end_event: EndEvent,
    ) -> Sequence[str] | None:
        now_ms = session.created_ms
        if not self._users.note_login(
            session.user_id,
            credential_version=session.credential_version,
            device=device_digest(session.user_id, session.device_id),
            now_ms=now_ms,
        ):
            return None
        self._forget_expired(session.user_id, now_ms)
        ended = surplus(self._living(session.user_id, now_ms), per_user_max)
        for old in ended:
            self._sessions[old.id] = replace(old, revoked_ms=now_ms)
            self._audit.append(end_event(old.id))
        self._sessions[session.id] = session
        self._of_user.setdefault(session.user_id, set()).add(session.id)
        self._audit.append(event)
        return tuple(old.id for old in ended)

    async def get(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    async def rotate(self, successor: Session, *, expected_generation: int) -> bool:
        session = self._sessions.get(successor.id)
        if session is None or session.revoked_ms is not None:
            return False
        if session.generation != expected_generation:
            return False
        self._sessions[successor.id] = successor
        return True

    async def confirm_generation(self, session_id: str, *, generation: int) -> None:
        session = self._sessions.get(session_id)
        if session is not None and session.generation == generation:
            self._sessions[session_id] = replace(session, confirmed_generation=generation)

    async def revoke(self, session_id: str, *, now_ms: int, events: Sequence[AuditEvent]) -> bool:
        session = self._sessions.get(session_id)
        if session is None or session.revoked_ms is not None:
            return False
        self._sessions[session_id] = replace(session, revoked_ms=now_ms)
        for event in events:
            self._audit.append(event)
        return True

    async def revoke_all(
        self, user_id: str, *, now_ms: int, event: AuditEvent, end_event: EndEvent
    ) -> Sequence[str]:
        ended = self.end_all(user_id, now_ms, end_event)
        if ended:
            self._audit.append(event)
        return ended

    async def list_of_user(self, user_id: str, *, now_ms: int, limit: int) -> Sequence[Session]:
        return self._living(user_id, now_ms)[:limit]

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        revoked = [
            (session.revoked_ms, session.id)
            for session in self._sessions.values()
            if session.revoked_ms is not None and session.revoked_ms >= since_ms
        ]
        return tuple(session_id for _, session_id in sorted(revoked, reverse=True)[:limit])

    async def ended_among(self, session_ids: Sequence[str], *, now_ms: int) -> Sequence[str]:
        return tuple(
            session_id
            for session_id in session_ids
            if (session := self._sessions.get(session_id)) is None
            or session.state(now_ms) is not SessionState.ACTIVE
        )

    async def count_active(self, now_ms: int) -> ActiveCount:
        users = [s.user_id for s in self._sessions.values() if s.state(now_ms) is SessionState.ACTIVE]
        return ActiveCount(sessions=len(users), users=len(set(users)))

    def end_all(self, user_id: str, now_ms: int, end_event: EndEvent) -> tuple[str, ...]:
        """The ids of those that had not been revoked."""
        of_user = sorted(self._of_user.get(user_id, ()))
        ended = tuple(session_id for session_id in of_user if self._sessions[session_id].revoked_ms is None)
        for session_id in ended:
            self._sessions[session_id] = replace(self._sessions[session_id], revoked_ms=now_ms)
            self._audit.append(end_event(session_id))
        return ended

    def leave(self, user_id: str) -> None:
        """Forgets where a removed user's sessions came from, and in time the sessions."""
        for session_id in self._of_user.pop(user_id, ()):
            self._sessions[session_id] = replace(self._sessions[session_id], address="", user_agent="")
            self._left.append(session_id)
        while len(self._left) > LEFT_MAX:
            del self._sessions[self._left.popleft()]

    def _living(self, user_id: str, now_ms: int) -> Sequence[Session]:
        """Newest first."""
        newest_first = sorted(self._of_user.get(user_id, ()), reverse=True)
        sessions = (self._sessions[session_id] for session_id in newest_first)
        return tuple(s for s in sessions if s.state(now_ms) is SessionState.ACTIVE)

    def _forget_expired(self, user_id: str, now_ms: int) -> None:
        for session_id in tuple(self._of_user.get(user_id, ())):
            if self._sessions[session_id].absolute_expires_ms <= now_ms:
                del self._sessions[session_id]
                self._of_user[user_id].remove(session_id)


def _proof(sessions: MemorySessions) -> Sessions:
    """mypy holds the adapter to its port here."""
    return sessions
