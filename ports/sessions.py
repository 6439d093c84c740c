"""Where login sessions are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.audit import AuditEvent
from domain.sessions import Session


class Sessions(Protocol):
    """Each write is atomic with its audit event. Raises `DependencyUnavailable`."""

    async def add(self, session: Session, event: AuditEvent) -> bool:
        """False when the user is gone or has changed credentials since: that login lost the race.

        Also notes the login at the user.
        """

    async def get(self, session_id: str) -> Session | None: ...

    async def rotate(self, successor: Session, *, expected_generation: int) -> bool:
        """One compare-and-set: False when the session was revoked or rotated by somebody else."""

    async def revoke(self, session_id: str, *, now_ms: int, event: AuditEvent) -> bool:
        """False, and no event, when there is none or it was revoked before."""

    async def list_of_user(self, user_id: str, *, now_ms: int, limit: int) -> Sequence[Session]:
        """The user's sessions that have not ended, newest first."""

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        """Ids of sessions revoked at or after it, newest first, for a limiter that forgot them."""


class SessionRevocations(Protocol):
    """What makes the revocation of a session cheap to check; a limiter is one."""

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Its tokens are refused from now on, for as long as one of them could live."""
