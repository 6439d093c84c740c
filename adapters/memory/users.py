"""Users in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from dataclasses import replace

from adapters.memory.audit import MemoryAuditLog
from domain.audit import AuditEvent
from domain.users import User
from ports.users import UserAdded, Users


class MemoryUsers:
    def __init__(self, *, audit: MemoryAuditLog) -> None:
        self._audit = audit
        self._users: dict[str, User] = {}
        self._by_username: dict[str, str] = {}
        self._by_email: dict[str, str] = {}

    async def add(self, user: User, event: AuditEvent) -> UserAdded:
        if user.username_key in self._by_username:
            return UserAdded.USERNAME_TAKEN
        if user.email_key in self._by_email:
            return UserAdded.EMAIL_TAKEN
        self._users[user.id] = user
        self._by_username[user.username_key] = user.id
        self._by_email[user.email_key] = user.id
        self._audit.append(event)
        return UserAdded.ADDED

    async def get(self, user_id: str) -> User | None:
        return self._users.get(user_id)

    async def find_by_username(self, username_key: str) -> User | None:
        return self._users.get(self._by_username.get(username_key, ""))

    async def find_by_email(self, email_key: str) -> User | None:
        return self._users.get(self._by_email.get(email_key, ""))

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        user = self._users.get(user_id)
        if user is None or user.password_hash != expected:
            return False
        self._users[user_id] = replace(user, password_hash=replacement)
        return True

    def note_login(self, user_id: str, *, credential_version: int, now_ms: int) -> bool:
        """False when the user is gone or has changed credentials since."""
        user = self._users.get(user_id)
        if user is None or user.credential_version != credential_version:
            return False
        self._users[user_id] = replace(user, last_login_ms=now_ms)
        return True


def _proof(users: MemoryUsers) -> Users:
    """mypy holds the adapter to its port here."""
    return users
