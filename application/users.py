"""Registration, and users looking at themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from application.calls import traced
from domain.audit import AuditAction, RequestContext, audit_event
from domain.ids import RANDOMNESS_BYTES, is_id, time_ordered_id
from domain.users import (
    Role,
    User,
    UserProblem,
    email_problems,
    password_bytes,
    password_problems,
    username_problems,
)
from ports.clock import Clock
from ports.entropy import Entropy
from ports.passwords import PasswordHasher
from ports.users import UserAdded, Users

_PLAIN = frozenset({Role.USER})
_ADMINISTRATOR = frozenset({Role.USER, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class InvalidUser:
    """Inputs that cannot be a user's; every problem at once."""

    problems: tuple[UserProblem, ...]


class Taken(Enum):
    """Somebody else has it. The value is the error's code."""

    USERNAME = "username_taken"
    EMAIL = "email_taken"


class UserService:
    """Raises `DependencyUnavailable`, and `Overloaded` when too many passwords wait to be hashed."""

    def __init__(self, *, users: Users, passwords: PasswordHasher, clock: Clock, entropy: Entropy) -> None:
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy

    @traced
    async def register(
        self, *, username: str, email: str, password: str, context: RequestContext
    ) -> User | InvalidUser | Taken:
        """A plain user, by their own doing."""
        return await self._create(username, email, password, _PLAIN, AuditAction.USER_REGISTERED, context)

    @traced
    async def create_administrator(
        self, *, username: str, email: str, password: str, context: RequestContext
    ) -> User | InvalidUser | Taken:
        """For the operator on the command line; no route leads here."""
        return await self._create(
            username, email, password, _ADMINISTRATOR, AuditAction.USER_CREATED, context
        )

    @traced
    async def profile(self, user_id: str) -> User | None:
        return await self._users.get(user_id) if is_id(user_id) else None

    async def _create(
        self,
        username: str,
        email: str,
        password: str,
        roles: frozenset[Role],
        action: AuditAction,
        context: RequestContext,
    ) -> User | InvalidUser | Taken:
        problems = (*username_problems(username), *email_problems(email), *password_problems(password))
        if problems:
            return InvalidUser(problems)
        password_hash = await self._passwords.hash(password_bytes(password))
        now_ms = self._clock.now_ms()
        user = User(
            id=time_ordered_id("usr", now_ms, self._entropy.token(RANDOMNESS_BYTES)),
            username=username,
            email=email,
            roles=roles,
            password_hash=password_hash,
            created_ms=now_ms,
        )
        event = audit_event(
            context,
            action,
            f"user:{user.id}",
            now_ms=now_ms,
            randomness=self._entropy.token(RANDOMNESS_BYTES),
        )
        match await self._users.add(user, event):
            case UserAdded.USERNAME_TAKEN:
                return Taken.USERNAME
            case UserAdded.EMAIL_TAKEN:
                return Taken.EMAIL
            case UserAdded.ADDED:
                return user
