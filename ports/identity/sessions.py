"""Where login sessions are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent
from domain.identity.sessions import Session

EndEvent = Callable[[str], AuditEvent]
"""The event of what ends along with a write, by its id. It may be asked several times; one is kept."""


@dataclass(frozen=True, slots=True)
class ActiveCount:
    """How many live now."""

    sessions: int
    users: int
    """With at least one session."""


class Sessions(Protocol):
    """Each write is atomic with its audit event. Raises `DependencyUnavailable`."""

    async def add(
        self,
        session: Session,
        event: AuditEvent,
        *,
        per_user_max: int,
        end_event: EndEvent,
    ) -> Sequence[str] | None:
        """The ids of the sessions that `domain.identity.sessions.surplus` ended to make room, each with the
        event that `end_event` makes for it. However many logins of one user come at once, no more than
        `per_user_max` live.

        None when the user is gone or has changed credentials since: that login lost the race. Also notes the
        login, and its device, at the user.
        """

    async def get(self, session_id: str) -> Session | None: ...

    async def rotate(self, successor: Session, *, expected_generation: int) -> bool:
        """One compare-and-set: False when the session was revoked or rotated by somebody else."""

    async def confirm_generation(self, session_id: str, *, generation: int) -> None:
        """Its newest token was shown, and not rotated; nothing where it is the newest no more."""

    async def revoke(self, session_id: str, *, now_ms: int, events: Sequence[AuditEvent]) -> bool:
        """False, and no event, when there is none or it was revoked before."""

    async def revoke_all(
        self, user_id: str, *, now_ms: int, event: AuditEvent, end_event: EndEvent
    ) -> Sequence[str]:
        """Ends all sessions of the user, each with the event that `end_event` makes for it. Their ids; with none
        there is no event either."""

    async def list_of_user(self, user_id: str, *, now_ms: int, limit: int) -> Sequence[Session]:
        """The user's sessions that have not ended, newest first."""

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        """Ids of sessions revoked at or after it, newest first, for a limiter that forgot them."""

    async def ended_among(self, session_ids: Sequence[str], *, now_ms: int) -> Sequence[str]:
        """Those of a few hundred that were revoked, have expired, or are not there."""

    async def count_active(self, now_ms: int) -> ActiveCount:
        """Over all users; no dearer than a walk through an index of the living."""


class SessionRevocations(Protocol):
    """What makes the revocation of a session cheap to check; a limiter is one."""

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Its tokens are refused from now on, for as long as one of them could live.

        Raises `DependencyUnavailable` where it could not be said; it has ended all the same where it is kept,
        and is found there."""
