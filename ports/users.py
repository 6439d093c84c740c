"""Where users are kept."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from domain.audit import AuditEvent
from domain.users import User


class UserAdded(Enum):
    """What became of a new user, in order of precedence."""

    USERNAME_TAKEN = "username_taken"
    EMAIL_TAKEN = "email_taken"
    ADDED = "added"


class Users(Protocol):
    """Unique by id, by `User.username_key` and by `User.email_key`. Raises `DependencyUnavailable`."""

    async def add(self, user: User, event: AuditEvent) -> UserAdded:
        """The user and the event are stored together, or neither is."""

    async def get(self, user_id: str) -> User | None: ...

    async def find_by_username(self, username_key: str) -> User | None: ...

    async def find_by_email(self, email_key: str) -> User | None: ...

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        """The same password hashed at today's cost; False when the hash has changed meanwhile."""
