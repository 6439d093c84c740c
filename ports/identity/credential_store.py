"""Where a user's credentials change, and all that hangs on them ends in the same step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import Role, User
from ports.identity.sessions import Ending
from ports.identity.users import Answering


@dataclass(frozen=True, slots=True)
class Ended:
    """What a change of credentials ended: whoever checks from memory must be told."""

    session_ids: tuple[str, ...] = ()
    api_key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endings:
    """The events of what ends along: one of each session, and one of each key."""

    session: Ending
    api_key: Ending


@dataclass(frozen=True, slots=True)
class RolesChanged:
    """The user as they are stored now, and what that ended."""

    user: User
    ended: Ended


class CredentialStore(Protocol):
    """One step over users, sessions and keys, with its audit event and one of each that it ended. Raises
    `DependencyUnavailable`."""

    async def change_password(
        self,
        user_id: str,
        *,
        expected_version: int,
        password_hash: str,
        known_devices: tuple[str, ...],
        now_ms: int,
        event: AuditEvent,
        endings: Endings,
    ) -> Ended | None:
        """The next credential version: every session ends, and a login that began before comes to nothing.

        None, and no event, when the user is gone or somebody else changed the credentials first.
        """

    async def change_roles(
        self,
        user_id: str,
        *,
        roles: frozenset[Role],
        now_ms: int,
        event: AuditEvent,
        endings: Endings,
        answer: Answering | None = None,
    ) -> RolesChanged | None:
        """Every session ends, since its tokens tell of other roles, and, unless the user is an administrator
        then, every key of which they are the sponsor. None, and no event, when there is no such user."""

    async def remove_user(
        self,
        user_id: str,
        *,
        now_ms: int,
        event: AuditEvent,
        endings: Endings,
        answer: RememberedAnswer | None = None,
    ) -> Ended | None:
        """Forgets the user's names, ends every session and revokes every key of which they are the sponsor.

        Sessions stay as ended ones, without address and user agent, until no token of theirs can live. None,
        and no event, when there is no such user.
        """
