"""Sessions in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.users import MemoryUsers
from domain.audit import AuditEvent
from domain.sessions import Session, SessionState
from ports.sessions import Sessions


class MemorySessions:
    """A session is forgotten at its user's first login after its absolute expiry."""

    def __init__(self, *, users: MemoryUsers, audit: MemoryAuditLog) -> None:
        self._users = users
        self._audit = audit
        self._sessions: dict[str, Session] = {}
        self._of_user: dict[str, set[str]] = {}

    async def add(self, session: Session, event: AuditEvent) -> bool:
        if not self._users.note_login(
            session.user_id,
            credential_version=session.credential_version,
            now_ms=session.created_ms,
        ):
            return False
        self._forget_expired(session.user_id, session.created_ms)
        self._sessions[session.id] = session
        self._of_user.setdefault(session.user_id, set()).add(session.id)
        self._audit.append(event)
        return True

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

    async def revoke(self, session_id: str, *, now_ms: int, event: AuditEvent) -> bool:
        session = self._sessions.get(session_id)
        if session is None or session.revoked_ms is not None:
            return False
        self._sessions[session_id] = replace(session, revoked_ms=now_ms)
        self._audit.append(event)
        return True

    async def list_of_user(self, user_id: str, *, now_ms: int, limit: int) -> Sequence[Session]:
        newest_first = sorted(self._of_user.get(user_id, ()), reverse=True)
        sessions = (self._sessions[session_id] for session_id in newest_first)
        return tuple(s for s in sessions if s.state(now_ms) is SessionState.ACTIVE)[:limit]

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        revoked = [
            (session.revoked_ms, session.id)
            for session in self._sessions.values()
            if session.revoked_ms is not None and session.revoked_ms >= since_ms
        ]
        return tuple(session_id for _, session_id in sorted(revoked, reverse=True)[:limit])

    def _forget_expired(self, user_id: str, now_ms: int) -> None:
        for session_id in tuple(self._of_user.get(user_id, ())):
            if self._sessions[session_id].absolute_expires_ms <= now_ms:
                del self._sessions[session_id]
                self._of_user[user_id].remove(session_id)


def _proof(sessions: MemorySessions) -> Sessions:
    """mypy holds the adapter to its port here."""
    return sessions
