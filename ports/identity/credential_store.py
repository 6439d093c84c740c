"""Where a user's credentials change, and all that hangs on them ends in the same step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import Role, User
from ports.identity.sessions import EndEvent
from ports.identity.users import AnswerFor


@dataclass(frozen=True, slots=True)
class RevokedIds:
    """What a change of credentials ended: whoever checks from memory must be told."""

    session_ids: tuple[str, ...] = ()
    api_key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndEvents:
    """The events of what ends along: one of each session, and one of each key."""

    session: EndEvent
    api_key: EndEvent


@dataclass(frozen=True, slots=True)
class RolesChanged:
    """The user as they are stored now, and what that ended."""

    user: User
    ended: RevokedIds


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
        end_events: EndEvents,
    ) -> RevokedIds | None:
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
        end_events: EndEvents,
        answer: AnswerFor | None = None,
    ) -> RolesChanged | None:
        """Every session ends, since its tokens tell of other roles, and, unless the user is an administrator
        then, every key of which they are the sponsor. None, and no event, when there is no such user."""

    async def remove_user(
        self,
        user_id: str,
        *,
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
        answer: RememberedAnswer | None = None,
    ) -> RevokedIds | None:
        """Forgets the user's names, ends every session and revokes every key of which they are the sponsor.

        Sessions stay as ended ones, without address and user agent, until no token of theirs can live. None,
        and no event, when there is no such user.
        """
