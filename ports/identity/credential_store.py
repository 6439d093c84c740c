"""Changes of a user's credentials, which end sessions and API keys in the same step."""

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
    """The ids of the sessions and keys that a change of credentials ended, to be published."""

    session_ids: tuple[str, ...] = ()
    api_key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndEvents:
    """Make the events of the sessions and of the keys that end."""

    session: EndEvent
    api_key: EndEvent


@dataclass(frozen=True, slots=True)
class RolesChanged:
    """The user as stored after a change of roles, and the ids that it ended."""

    user: User
    revoked: RevokedIds


class CredentialStore(Protocol):
    """Each write is one atomic step over users, sessions and keys, with its audit event and one for each
    session and key that it ends. Every method raises `DependencyUnavailable`."""

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
        """Stores the hash and the next credential version. Every session ends, and a login under way fails.

        None, and no event, when the user is gone or `expected_version` is not the present one.
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
        """Stores the roles. Every session ends, since its tokens name the former roles.

        Unless the user is an administrator then, every key that the user sponsors ends, too. None, and no
        event, when there is no such user. Raises `AlreadyAnswered`.
        """

    async def remove_user(
        self,
        user_id: str,
        *,
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
        answer: RememberedAnswer | None = None,
    ) -> RevokedIds | None:
        """Removes the user, ends every session and revokes every key that the user sponsors.

        Ended sessions stay, without address and user agent, for as long as a token of theirs may live. None,
        and no event, when there is no such user. Raises `AlreadyAnswered`.
        """
