"""The store of sessions, and the publication of their revocation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent
from domain.identity.sessions import Session

EndEvent = Callable[[str], AuditEvent]
"""Makes the event of a session or key that a write ends, from its id. A retried write calls it again."""


@dataclass(frozen=True, slots=True)
class ActiveCount:
    """The number of active sessions, and of users with one."""

    sessions: int
    users: int


class Sessions(Protocol):
    """Each write is atomic with its audit event. Every method raises `DependencyUnavailable`."""

    async def add(
        self,
        session: Session,
        event: AuditEvent,
        *,
        per_user_max: int,
        end_event: EndEvent,
    ) -> Sequence[str] | None:
        """Stores a session, and its login and device with the user. The ids of the sessions that it ended.

        `domain.identity.sessions.surplus` chooses those that end, each with the event that `end_event` makes:
        however many logins of one user run at once, at most `per_user_max` sessions live. None when the user
        is gone or has changed credentials since the session was opened.
        """

    async def get(self, session_id: str) -> Session | None:
        """The session of an id, active or ended; None when there is none."""

    async def rotate(self, successor: Session, *, expected_generation: int) -> bool:
        """Stores the next generation. False when the session was revoked or rotated meanwhile."""

    async def confirm_generation(self, session_id: str, *, generation: int) -> None:
        """Records that the token of the newest generation was presented; does nothing for an older one."""

    async def revoke(self, session_id: str, *, now_ms: int, events: Sequence[AuditEvent]) -> bool:
        """Revokes a session. False, and no event, when there is none or it is revoked already."""

    async def revoke_all(
        self, user_id: str, *, now_ms: int, event: AuditEvent, end_event: EndEvent
    ) -> Sequence[str]:
        """Revokes every session of a user, each with the event that `end_event` makes. Their ids.

        No event is stored when there was no session.
        """

    async def list_of_user(self, user_id: str, *, now_ms: int, limit: int) -> Sequence[Session]:
        """The active sessions of a user, newest first, at most `limit`."""

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        """The ids of the sessions revoked at or after a time, newest first, at most `limit`."""

    async def ended_among(self, session_ids: Sequence[str], *, now_ms: int) -> Sequence[str]:
        """The ids, among a few hundred, of sessions that are revoked, expired or unknown."""

    async def count_active(self, now_ms: int) -> ActiveCount:
        """The active sessions of all users, counted at the cost of a scan of an index."""


class SessionRevocations(Protocol):
    """Makes revocations cheap to check for every process. A limiter does."""

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Has the tokens of a session refused for `ttl_ms`, the longest that one of them may live.

        Raises `DependencyUnavailable`; the store has the revocation all the same.
        """
