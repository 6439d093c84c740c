"""The store of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import User

AnswerFor = Callable[[User], RememberedAnswer | None]
"""Makes the answer to remember, if any, from the stored user. A retried write calls it again."""


class UserAdded(Enum):
    """The result of adding a user, in order of precedence."""

    USERNAME_TAKEN = "username_taken"
    EMAIL_TAKEN = "email_taken"
    ADDED = "added"


class RenameRefused(Enum):
    """Why names were not changed, in order of precedence."""

    GONE = "gone"
    USERNAME_TAKEN = "username_taken"
    EMAIL_TAKEN = "email_taken"


@dataclass(frozen=True, slots=True)
class UserPage:
    """A page of users, newest first. `next_cursor` begins the next page; None on the last."""

    items: Sequence[User]
    next_cursor: str | None


class Users(Protocol):
    """Users are unique by id, by `User.username_key` and by `User.email_key`.

    Every method raises `DependencyUnavailable`; a write with an answer raises `AlreadyAnswered`, too.
    """

    async def add(
        self, user: User, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> UserAdded:
        """Stores the user, the event and the answer together, or none of them."""

    async def get(self, user_id: str) -> User | None:
        """The user of an id; None when there is none."""

    async def find_by_username(self, username_key: str) -> User | None:
        """The user of a `User.username_key`; None when there is none."""

    async def find_by_email(self, email_key: str) -> User | None:
        """The user of a `User.email_key`; None when there is none."""

    async def list_page(self, *, limit: int, cursor: str | None) -> UserPage:
        """A page of at most `limit` users. `cursor` is the last id of the page before."""

    async def rename(
        self,
        user_id: str,
        *,
        username: str | None,
        email: str | None,
        event: AuditEvent,
        answer: AnswerFor | None = None,
    ) -> User | RenameRefused:
        """Stores the names that are not None, the event and the answer together, or none of them.

        The user as stored then: a concurrent change is either part of it, or follows it.
        """

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        """Replaces the hash of a password by one at the present cost. False when `expected` is outdated."""
