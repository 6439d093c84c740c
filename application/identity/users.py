"""Users: registered, listed, renamed and removed, with their passwords and roles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from application.call_log import traced
from application.identity.api_keys import CACHE_AGE_MS_MAX
from application.identity.login_throttle import NameLimiter
from application.identity.revocations import REVOCATION_MS, end_events, publish_revocations
from domain.audit import AuditAction, AuditEvent, RequestContext, audit_event
from domain.idempotency import RememberedAnswer
from domain.identity.sessions import EndReason
from domain.identity.users import (
    ID_PREFIX,
    Role,
    User,
    UserProblem,
    device_digest,
    email_problems,
    is_possible_password,
    password_bytes,
    password_problems,
    username_problems,
)
from domain.ids import RANDOMNESS_BYTES, is_id, time_ordered_id
from domain.limits.admission import Verdict
from ports.clock import Clock
from ports.entropy import Entropy
from ports.identity.credential_store import CredentialStore, EndEvents, RevokedIds
from ports.identity.passwords import CommonPasswords, PasswordHasher
from ports.identity.sessions import SessionRevocations
from ports.identity.users import AnswerFor, RenameRefused, UserAdded, UserPage, Users
from ports.runtime import Runtime

PASSWORD_POLICY = "password"
"""The policy that counts changes of one user's password: a stolen token must not help to guess it."""


@dataclass(frozen=True, slots=True)
class InvalidUser:
    """Inputs that no user can have, with every problem."""

    problems: tuple[UserProblem, ...]


class Taken(Enum):
    """Another user has this name. The value is the code of the error."""

    USERNAME = "username_taken"
    EMAIL = "email_taken"


class PasswordRejection(Enum):
    """Why a password was not changed, in order of precedence."""

    GONE = "gone"
    """The user does not exist any more."""
    WRONG_PASSWORD = "wrong_password"
    RACED = "raced"
    """Another request changed the credentials meanwhile."""


@dataclass(frozen=True, slots=True)
class PasswordDelayed:
    """Too many attempts. No password was checked."""

    retry_after_ms: int


class UserService:
    """Registers, finds, changes and removes users. Every method raises `DependencyUnavailable`.

    Those that take a password raise `Overloaded` when too many passwords wait to be hashed. Those that take
    an `answer` store it with their write, and raise `AlreadyAnswered` where a request with the same
    idempotency key came first.
    """

    def __init__(
        self,
        *,
        users: Users,
        credentials: CredentialStore,
        revocations: SessionRevocations,
        limiter: NameLimiter,
        passwords: PasswordHasher,
        common_passwords: CommonPasswords,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._users = users
        self._credentials = credentials
        self._revocations = revocations
        self._limiter = limiter
        self._passwords = passwords
        self._common = common_passwords
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy

    @traced
    async def register(
        self,
        *,
        username: str,
        email: str,
        password: str,
        context: RequestContext,
        answer: AnswerFor | None = None,
    ) -> User | InvalidUser | Taken:
        """Registers a user with the role `user`, or returns every problem, or the name that is taken."""
        roles, action = frozenset({Role.USER}), AuditAction.USER_REGISTERED
        return await self._create(username, email, password, roles, action, context, answer)

    @traced
    async def create(
        self, *, username: str, email: str, password: str, role: Role, context: RequestContext
    ) -> User | InvalidUser | Taken:
        """Creates a user with a role, for the operator on the command line. No route calls it."""
        roles = frozenset({Role.USER, role})
        return await self._create(username, email, password, roles, AuditAction.USER_CREATED, context, None)

    @traced
    async def profile(self, user_id: str) -> User | None:
        """The user of an id; None when there is none. Takes any text."""
        """The user of this id; None when there is none."""
        return await self._users.get(user_id) if is_id(user_id) else None

    @traced
    async def list_page(self, *, limit: int, cursor: str | None = None) -> UserPage:
        """A page of at most `limit` users, newest first. `cursor` is that of the page before."""
        return await self._users.list_page(limit=limit, cursor=cursor)

    @traced
    async def rename(
        self,
        user_id: str,
        *,
        username: str | None,
        email: str | None,
        context: RequestContext,
        answer: AnswerFor | None = None,
    ) -> User | InvalidUser | Taken | None:
        """Changes the names that are not None. The user as stored then; None when there is none."""
        problems = (
            *(() if username is None else username_problems(username)),
            *(() if email is None else email_problems(email)),
        )
        if problems:
            return InvalidUser(problems)
        if not is_id(user_id) or (username is None and email is None):
            return await self.profile(user_id)
        changed = {"username": username, "email": email}
        fields = ",".join(name for name, value in changed.items() if value is not None)
        event = self._event(context, AuditAction.USER_RENAMED, user_id, fields=fields)
        match await self._users.rename(user_id, username=username, email=email, event=event, answer=answer):
            case RenameRefused.GONE:
                return None
            case RenameRefused.USERNAME_TAKEN:
                return Taken.USERNAME
            case RenameRefused.EMAIL_TAKEN:
                return Taken.EMAIL
            case User() as renamed:
                return renamed

    @traced
    async def change_password(
        self, user_id: str, *, current: str, new: str, device_id: str | None, context: RequestContext
    ) -> InvalidUser | PasswordRejection | PasswordDelayed | None:
        """Replaces a password; None when done.

        Every session of the user ends, and `device_id` becomes the only device that the account knows.
        Attempts are counted by user (`PASSWORD_POLICY`).
        """
        admission = await self._limiter.admit_account_name(PASSWORD_POLICY, f"\0{user_id}")
        if admission.verdict is not Verdict.ALLOWED:
            return PasswordDelayed(admission.retry_after_ms)
        user = await self._users.get(user_id)
        if user is None:
            return PasswordRejection.GONE
        secret = password_bytes(current) if is_possible_password(current) else b""
        if not await self._passwords.verify(secret, user.password_hash):
            return PasswordRejection.WRONG_PASSWORD
        problems = password_problems(new, username=user.username, email=user.email, common=self._common)
        if problems:
            return InvalidUser(problems)
        password_hash = await self._passwords.hash(password_bytes(new))
        event = self._event(context, AuditAction.PASSWORD_CHANGED, user_id)

        async def change() -> bool:
            revoked = await self._credentials.change_password(
                user_id,
                expected_version=user.credential_version,
                password_hash=password_hash,
                known_devices=() if device_id is None else (device_digest(user_id, device_id),),
                now_ms=event.at_ms,
                event=event,
                end_events=self._end_events(context, EndReason.PASSWORD_CHANGED, event.at_ms),
            )
            await self._publish(revoked)
            return revoked is not None

        is_changed = await self._runtime.shielded(change, name="change-password")
        return None if is_changed else PasswordRejection.RACED

    @traced
    async def change_roles(
        self,
        user_id: str,
        roles: frozenset[Role],
        context: RequestContext,
        *,
        answer: AnswerFor | None = None,
    ) -> User | None:
        """Replaces the roles of a user, who keeps the role `user`. The user as stored then, or None.

        Different roles end every session.
        """
        user = await self.profile(user_id)
        roles |= {Role.USER}
        if user is None or user.roles == roles:
            return user
        names = ",".join(sorted(role.value for role in roles))
        event = self._event(context, AuditAction.ROLES_CHANGED, user_id, roles=names)

        async def change() -> User | None:
            changed = await self._credentials.change_roles(
                user_id,
                roles=roles,
                now_ms=event.at_ms,
                event=event,
                end_events=self._end_events(context, EndReason.ROLES_CHANGED, event.at_ms),
                answer=answer,
            )
            if changed is None:
                return None
            await self._publish(changed.revoked)
            return changed.user

        return await self._runtime.shielded(change, name="change-roles")

    @traced
    async def remove(
        self, user_id: str, context: RequestContext, *, answer: RememberedAnswer | None = None
    ) -> bool:
        """Removes a user with every session and API key; False when there is none.

        The ledger keeps the id, which is a pseudonym from then on.
        """
        if not is_id(user_id):
            return False
        event = self._event(context, AuditAction.USER_DELETED, user_id)

        async def remove() -> bool:
            revoked = await self._credentials.remove_user(
                user_id,
                now_ms=event.at_ms,
                event=event,
                end_events=self._end_events(context, EndReason.USER_DELETED, event.at_ms),
                answer=answer,
            )
            await self._publish(revoked)
            return revoked is not None

        return await self._runtime.shielded(remove, name="remove-user")

    def _end_events(self, context: RequestContext, reason: EndReason, now_ms: int) -> EndEvents:
        return end_events(context, reason, now_ms=now_ms, entropy=self._entropy)

    async def _publish(self, revoked: RevokedIds | None) -> None:
        if revoked is not None:
            ttl_ms = dict.fromkeys(revoked.session_ids, REVOCATION_MS)
            ttl_ms |= dict.fromkeys(revoked.api_key_ids, 2 * CACHE_AGE_MS_MAX)
            await publish_revocations(self._revocations, ttl_ms)

    async def _create(
        self,
        username: str,
        email: str,
        password: str,
        roles: frozenset[Role],
        action: AuditAction,
        context: RequestContext,
        answer: AnswerFor | None,
    ) -> User | InvalidUser | Taken:
        problems = (
            *username_problems(username),
            *email_problems(email),
            *password_problems(password, username=username, email=email, common=self._common),
        )
        if problems:
            return InvalidUser(problems)
        password_hash = await self._passwords.hash(password_bytes(password))
        now_ms = self._clock.now_ms()
        user = User(
            id=time_ordered_id(ID_PREFIX, now_ms, self._entropy.token(RANDOMNESS_BYTES)),
            username=username,
            email=email,
            roles=roles,
            password_hash=password_hash,
            created_ms=now_ms,
        )
        event = self._event(context, action, user.id)
        match await self._users.add(user, event, answer=None if answer is None else answer(user)):
            case UserAdded.USERNAME_TAKEN:
                return Taken.USERNAME
            case UserAdded.EMAIL_TAKEN:
                return Taken.EMAIL
            case UserAdded.ADDED:
                return user

    def _event(self, context: RequestContext, action: AuditAction, user_id: str, **detail: str) -> AuditEvent:
        return audit_event(
            context,
            action,
            f"user:{user_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._entropy.token(RANDOMNESS_BYTES),
            detail=detail,
        )
