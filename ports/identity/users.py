"""Where users are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import User

AnswerFor = Callable[[User], RememberedAnswer | None]
"""What to remember, made from the user that the write stores; asked again where the store tries again. Writes
with one raise `AlreadyAnswered`."""


class UserAdded(Enum):
    """What became of a new user, in order of precedence."""

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
    """Users, newest first. `next_cursor` continues after the last of them; None at the end."""

    items: Sequence[User]
    next_cursor: str | None


class Users(Protocol):
    """Unique by id, by `User.username_key` and by `User.email_key`. Raises `DependencyUnavailable`."""

    async def add(
        self, user: User, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> UserAdded:
        """The user, the event and the answer are stored together, or none is."""

    async def get(self, user_id: str) -> User | None: ...

    async def find_by_username(self, username_key: str) -> User | None: ...

    async def find_by_email(self, email_key: str) -> User | None: ...

    async def list_page(self, *, limit: int, cursor: str | None) -> UserPage:
        """A page of all users. The cursor is the last id seen."""

    async def rename(
        self,
        user_id: str,
        *,
        username: str | None,
        email: str | None,
        event: AuditEvent,
        answer: AnswerFor | None = None,
    ) -> User | RenameRefused:
        """Changes what is not None, together with the event and the answer, or nothing. The user as they are
        stored then: another change at the same moment is either in it, or comes after it."""

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        """The same password hashed at today's cost; False when the hash has changed meanwhile."""
