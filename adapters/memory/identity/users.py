"""Users in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from dataclasses import replace

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.idempotency import MemoryIdempotencyStore
from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import Role, User, with_device
from ports.identity.users import AnswerFor, RenameRefused, UserAdded, UserPage, Users


class MemoryUsers:
    def __init__(self, *, audit: MemoryAuditLog, answers: MemoryIdempotencyStore | None = None) -> None:
        self._audit = audit
        self._answers = answers or MemoryIdempotencyStore()
        self._users: dict[str, User] = {}
        self._by_username: dict[str, str] = {}
        self._by_email: dict[str, str] = {}

    async def add(
        self, user: User, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> UserAdded:
        if user.username_key in self._by_username:
            return UserAdded.USERNAME_TAKEN
        if user.email_key in self._by_email:
            return UserAdded.EMAIL_TAKEN
        self._answers.put(answer)
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

    async def list_page(self, *, limit: int, cursor: str | None) -> UserPage:
        ids = sorted((known for known in self._users if cursor is None or known < cursor), reverse=True)
        items = tuple(self._users[user_id] for user_id in ids[:limit])
        return UserPage(items=items, next_cursor=items[-1].id if len(ids) > limit else None)

    async def rename(
        self,
        user_id: str,
        *,
        username: str | None,
        email: str | None,
        event: AuditEvent,
        answer: AnswerFor | None = None,
    ) -> User | RenameRefused:
        user = self._users.get(user_id)
        if user is None:
            return RenameRefused.GONE
        renamed = replace(user, username=username or user.username, email=email or user.email)
        if self._by_username.get(renamed.username_key, user_id) != user_id:
            return RenameRefused.USERNAME_TAKEN
        if self._by_email.get(renamed.email_key, user_id) != user_id:
            return RenameRefused.EMAIL_TAKEN
        self._answers.put(None if answer is None else answer(renamed))
        self._forget_names(user)
        self._users[user_id] = renamed
        self._by_username[renamed.username_key] = user_id
        self._by_email[renamed.email_key] = user_id
        self._audit.append(event)
        return renamed

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        user = self._users.get(user_id)
        if user is None or user.password_hash != expected:
            return False
        self._users[user_id] = replace(user, password_hash=replacement)
        return True

    def note_login(self, user_id: str, *, credential_version: int, device: str, now_ms: int) -> bool:
        """False when the user is gone or has changed credentials since."""
        user = self._users.get(user_id)
        if user is None or user.credential_version != credential_version:
            return False
        known = with_device(user.known_devices, device)
        self._users[user_id] = replace(user, last_login_ms=now_ms, known_devices=known)
        return True

    def is_administrator(self, user_id: str) -> bool:
        user = self._users.get(user_id)
        return user is not None and Role.ADMIN in user.roles

    def put_password(
        self, user_id: str, *, expected_version: int, password_hash: str, known_devices: tuple[str, ...]
    ) -> bool:
        """Raises the credential version; False when the user is gone or another writer was first."""
        user = self._users.get(user_id)
        if user is None or user.credential_version != expected_version:
            return False
        self._users[user_id] = replace(
            user,
            password_hash=password_hash,
            credential_version=expected_version + 1,
            known_devices=known_devices,
        )
        return True

    def put_roles(self, user_id: str, roles: frozenset[Role], answer: AnswerFor | None) -> User | None:
        """None when there is no such user. A login under way with the old roles comes to nothing."""
        user = self._users.get(user_id)
        if user is None:
            return None
        changed = replace(user, roles=roles, credential_version=user.credential_version + 1)
        self._answers.put(None if answer is None else answer(changed))
        self._users[user_id] = changed
        return changed

    def remove(self, user_id: str) -> None:
        """Forgets a user there is."""
        self._forget_names(self._users.pop(user_id))

    def _forget_names(self, user: User) -> None:
        del self._by_username[user.username_key]
        del self._by_email[user.email_key]


def _proof(users: MemoryUsers) -> Users:
    """mypy holds the adapter to its port here."""
    return users
