"""Sessions from login to logout: opened, refreshed, listed and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from application.call_log import traced
from application.identity.foreign_devices import ForeignDevices
from application.identity.login_throttle import LoginAdmitted, LoginAttempt, LoginDelayed, LoginThrottle
from application.identity.revocations import REVOCATION_MS, publish_revocations, session_end_event
from application.identity.tokens import IssuedToken, TokenService
from domain.audit import AuditAction, AuditEvent, RequestContext, audit_event
from domain.identity.access import Principal
from domain.identity.credential_forms import CredentialForm, form_of
from domain.identity.sessions import (
    ID_PREFIX,
    EndReason,
    Session,
    SessionPolicy,
    SessionState,
    decide_refresh,
    is_device_id,
    names_device,
    open_session,
    rotate,
    rotation_wait_ms,
)
from domain.identity.tokens import (
    RefreshDecision,
    RefreshToken,
    TokenKind,
    is_genuine,
    judge_device,
    parse_refresh_token,
    refresh_token,
)
from domain.identity.users import (
    EMAIL_CHARACTERS_MAX,
    User,
    device_digest,
    is_possible_password,
    is_well_formed,
    password_bytes,
    uniqueness_key,
)
from domain.ids import RANDOMNESS_BYTES, base32, is_id, time_ordered_id
from ports.clock import Clock
from ports.entropy import Entropy
from ports.identity.passwords import PasswordHasher
from ports.identity.sessions import EndEvent, SessionRevocations, Sessions
from ports.identity.token_keys import TokenKeys
from ports.identity.users import Users
from ports.runtime import Runtime

DEVICE_ID_BYTES = 20
REFRESH_ATTEMPTS_MAX = 3
"""Races with other refreshes of one session that a refresh may lose."""

DEFAULT_POLICY = SessionPolicy()
_ABOUT_THIS_DEVICE = {RefreshDecision.ROTATE, RefreshDecision.REPEAT, RefreshDecision.WRONG_DEVICE}
"""Decisions after which the presenting device is judged. A reused token is theft from any device, and a dead
one says nothing about the device that presents it."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens that a login or a refresh issues, with their session, device and user."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int
    """Seconds that the access token lives."""
    session_id: str
    device_id: str
    user_id: str


class LoginRejection(Enum):
    """Why a login failed, in order of precedence."""

    INVALID_DEVICE_ID = "invalid_device_id"
    INVALID_CREDENTIALS = "invalid_credentials"
    """An unknown user or a wrong password, which the answer does not tell apart."""


class RefreshRejection(Enum):
    """Why a refresh failed, in order of precedence."""

    OTHER_KIND = "other_kind"
    """Another credential of ours in place of a refresh token, by its form."""
    INVALID_TOKEN = "invalid_token"
    """Not a token of ours."""
    ENDED = "ended"
    """A token of a session that has ended."""
    TOKEN_REUSED = "token_reused"
    """A retired token: its session is revoked, and its presenter's address is suspect."""
    NO_DEVICE = "no_device"
    """A good token in a request that names no device."""
    OTHER_DEVICE = "other_device"


@dataclass(frozen=True, slots=True)
class RefreshDelayed:
    """The session was refreshed too often just now. Nothing was done."""

    retry_after_ms: int


class SessionService:
    """Opens, refreshes, lists and ends sessions. Every method raises `DependencyUnavailable`.

    A session is a family of refresh tokens (`domain.identity.sessions`), which are derived and never stored.
    """

    def __init__(
        self,
        *,
        users: Users,
        sessions: Sessions,
        revocations: SessionRevocations,
        passwords: PasswordHasher,
        throttle: LoginThrottle,
        tokens: TokenService,
        devices: ForeignDevices,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        keys: TokenKeys,
        policy: SessionPolicy = DEFAULT_POLICY,
    ) -> None:
        """`keys` derive and verify refresh tokens."""
        self._users = users
        self._sessions = sessions
        self._revocations = revocations
        self._passwords = passwords
        self._throttle = throttle
        self._tokens = tokens
        self._devices = devices
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy
        self._keys = keys
        self._policy = policy

    @traced
    async def login(
        self, *, login: str, password: str, device_id: str | None, context: RequestContext
    ) -> TokenPair | LoginRejection | LoginDelayed:
        """Opens a session and issues its first pair of tokens.

        `login` is a username or an e-mail address. Without a `device_id` the session gets a new one. An
        unknown user takes as long as a wrong password. Raises `Overloaded` when too many passwords wait to be
        hashed.
        """
        if device_id is not None and not is_device_id(device_id):
            return LoginRejection.INVALID_DEVICE_ID
        name = _name_of(login)
        user = None if name is None else await self._find(name)
        admitted = None if name is None else await self._throttle.admit(_attempt(name, user, device_id))
        if isinstance(admitted, LoginDelayed):
            return admitted
        secret = password_bytes(password) if is_possible_password(password) else b""
        is_right = await self._passwords.verify(secret, user.password_hash if user else None)
        if user is None or not is_right:
            if admitted is not None:
                await self._throttle.record_failure(admitted)
            return LoginRejection.INVALID_CREDENTIALS
        await self._rehash(user, secret)
        return await self._open(user, device_id, admitted, context)

    async def _open(
        self, user: User, device_id: str | None, admitted: LoginAdmitted | None, context: RequestContext
    ) -> TokenPair | LoginRejection:
        now_ms = self._clock.now_ms()
        session = open_session(
            id=time_ordered_id(ID_PREFIX, now_ms, self._randomness()),
            user_id=user.id,
            device_id=device_id or base32(self._entropy.token(DEVICE_ID_BYTES)),
            credential_version=user.credential_version,
            address=context.address,
            user_agent=context.user_agent,
            now_ms=now_ms,
            policy=self._policy,
        )
        actor = f"user:{user.id}"
        event = self._event(context, AuditAction.SESSION_OPENED, session.id, actor=actor)

        async def add() -> bool:
            ended_ids = await self._sessions.add(
                session,
                event,
                per_user_max=self._policy.per_user_max,
                end_event=self._end_event(context, EndReason.TOO_MANY_SESSIONS, now_ms, actor=actor),
            )
            await publish_revocations(self._revocations, dict.fromkeys(ended_ids or (), REVOCATION_MS))
            return ended_ids is not None

        if not await self._runtime.shielded(add, name="open-session"):
            return LoginRejection.INVALID_CREDENTIALS
        if admitted is not None:
            await self._throttle.record_success(admitted)
        return self._pair(user, session, session.generation)

    @traced
    async def refresh(
        self, *, token: str, device_id: str | None, context: RequestContext
    ) -> TokenPair | RefreshRejection | RefreshDelayed:
        """Issues the next pair of the session, or again the pair that this token was exchanged for before.

        `token` is any text; `device_id` is the device that the request names. A reused token revokes the
        session (`domain.identity.tokens.LIFECYCLE`).
        """
        presented = parse_refresh_token(token)
        if presented is None or not self._is_genuine(presented):
            is_other = form_of(token) not in (None, CredentialForm.REFRESH_TOKEN)
            return RefreshRejection.OTHER_KIND if is_other else RefreshRejection.INVALID_TOKEN
        for _ in range(REFRESH_ATTEMPTS_MAX):
            session = await self._sessions.get(presented.session_id)
            user = None if session is None else await self._users.get(session.user_id)
            if session is None or user is None:
                return RefreshRejection.ENDED
            decision = self._decide(session, user, presented, device_id)
            if decision in _ABOUT_THIS_DEVICE:
                await self._report_device(session, device_id, context)
            if decision is not RefreshDecision.ROTATE:
                return await self._answer(decision, session, user, presented, device_id, context)
            now_ms = self._clock.now_ms()
            wait_ms = rotation_wait_ms(session, now_ms, self._policy)
            if wait_ms:
                return RefreshDelayed(wait_ms)
            successor = rotate(
                session,
                address=context.address,
                user_agent=context.user_agent,
                now_ms=now_ms,
                policy=self._policy,
            )
            if await self._sessions.rotate(successor, expected_generation=session.generation):
                return self._pair(user, successor, successor.generation)
            # Another request rotated or revoked the session meanwhile: decide again on its new state.
        return RefreshRejection.ENDED

    async def _answer(
        self,
        decision: RefreshDecision,
        session: Session,
        user: User,
        presented: RefreshToken,
        device_id: str | None,
        context: RequestContext,
    ) -> TokenPair | RefreshRejection:
        """The answer to a genuine token that does not rotate its session."""
        match decision:
            case RefreshDecision.REPEAT:
                return self._pair(user, session, presented.generation + 1)
            case RefreshDecision.REUSED:
                reused = self._event(context, AuditAction.TOKEN_REUSED, session.id)
                await self._end(session.id, context, EndReason.TOKEN_REUSED, reused)
                return RefreshRejection.TOKEN_REUSED
            case RefreshDecision.WRONG_DEVICE:
                if presented.generation == session.generation != session.confirmed_generation:
                    await self._sessions.confirm_generation(session.id, generation=presented.generation)
                is_named = names_device(device_id)
                return RefreshRejection.OTHER_DEVICE if is_named else RefreshRejection.NO_DEVICE
            case RefreshDecision.INVALID:
                return RefreshRejection.INVALID_TOKEN
            case _:
                return RefreshRejection.ENDED

    @traced
    async def logout(self, principal: Principal, context: RequestContext) -> None:
        """Ends the session of the caller's token. Ending it again changes nothing."""
        if principal.session_id is not None:
            await self._end(principal.session_id, context, EndReason.LOGOUT)

    @traced
    async def websocket_token(self, principal: Principal) -> IssuedToken | None:
        """Issues a WebSocket token of the caller's session.

        None when the session has ended, or the user is gone or has changed credentials.
        """
        if principal.session_id is None:
            return None
        session = await self._sessions.get(principal.session_id)
        if session is None or session.state(self._clock.now_ms()) is not SessionState.ACTIVE:
            return None
        user = await self._users.get(session.user_id)
        if user is None or user.credential_version != session.credential_version:
            return None
        return self._tokens.issue(TokenKind.WEBSOCKET, user, session)

    @traced
    async def list_sessions(self, user_id: str, *, limit: int) -> Sequence[Session]:
        """The active sessions of a user, newest first, at most `limit`."""
        return await self._sessions.list_of_user(user_id, now_ms=self._clock.now_ms(), limit=limit)

    @traced
    async def revoke_session(self, user_id: str, session_id: str, context: RequestContext) -> bool:
        """Ends one session of a user. False when the user has no such session."""
        session = await self._sessions.get(session_id) if is_id(session_id) else None
        if session is None or session.user_id != user_id:
            return False
        await self._end(session_id, context, EndReason.REVOKED)
        return True

    @traced
    async def revoke_sessions(self, user_id: str, context: RequestContext) -> int:
        """Ends every session of a user, the caller's included. Their number."""
        event = audit_event(
            context,
            AuditAction.SESSIONS_REVOKED,
            f"user:{user_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._randomness(),
        )

        async def end() -> int:
            ended_ids = await self._sessions.revoke_all(
                user_id,
                now_ms=event.at_ms,
                event=event,
                end_event=self._end_event(context, EndReason.ALL_REVOKED, event.at_ms),
            )
            await publish_revocations(self._revocations, dict.fromkeys(ended_ids, REVOCATION_MS))
            return len(ended_ids)

        return await self._runtime.shielded(end, name="end-sessions")

    def _is_genuine(self, presented: RefreshToken) -> bool:
        if is_genuine(self._keys.current().refresh_keys, presented):
            return True
        return self._keys.reload() and is_genuine(self._keys.current().refresh_keys, presented)

    async def _report_device(self, session: Session, device_id: str | None, context: RequestContext) -> None:
        same_device = device_id == session.device_id
        verdict = judge_device(self._tokens.fingerprint, TokenKind.ACCESS, same_device=same_device)
        await self._devices.report(
            verdict,
            user_id=session.user_id,
            session_id=session.id,
            device_id=device_id,
            context=context,
        )

    def _decide(
        self, session: Session, user: User, presented: RefreshToken, device_id: str | None
    ) -> RefreshDecision:
        return decide_refresh(
            session,
            generation=presented.generation,
            device_id=device_id,
            level=self._tokens.fingerprint,
            credential_version=user.credential_version,
            now_ms=self._clock.now_ms(),
            policy=self._policy,
        )

    async def _find(self, name: str) -> User | None:
        # A username has no @, an e-mail address always has one.
        return await (self._users.find_by_email(name) if "@" in name else self._users.find_by_username(name))

    async def _rehash(self, user: User, secret: bytes) -> None:
        if self._passwords.needs_rehash(user.password_hash):
            await self._users.replace_password_hash(
                user.id, expected=user.password_hash, replacement=await self._passwords.hash(secret)
            )

    async def _end(
        self, session_id: str, context: RequestContext, reason: EndReason, *events: AuditEvent
    ) -> None:
        """Revokes the session in the store, with `events` of its cause, then publishes the revocation.

        A cancelled caller stops neither.
        """
        now_ms = self._clock.now_ms()
        end_event = self._end_event(context, reason, now_ms)(session_id)

        async def end() -> None:
            await self._sessions.revoke(session_id, now_ms=now_ms, events=(*events, end_event))
            await publish_revocations(self._revocations, {session_id: REVOCATION_MS})

        await self._runtime.shielded(end, name="end-session")

    def _pair(self, user: User, session: Session, generation: int) -> TokenPair:
        access = self._tokens.issue(TokenKind.ACCESS, user, session)
        return TokenPair(
            access_token=access.text,
            refresh_token=refresh_token(self._keys.current().refresh_keys[0], session.id, generation),
            expires_in_s=access.expires_in_s,
            session_id=session.id,
            device_id=session.device_id,
            user_id=user.id,
        )

    def _event(
        self,
        context: RequestContext,
        action: AuditAction,
        session_id: str,
        *,
        actor: str | None = None,
    ) -> AuditEvent:
        return audit_event(
            context,
            action,
            f"session:{session_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._randomness(),
            actor=actor,
        )

    def _end_event(
        self, context: RequestContext, reason: EndReason, now_ms: int, *, actor: str | None = None
    ) -> EndEvent:
        return session_end_event(context, reason, now_ms=now_ms, entropy=self._entropy, actor=actor)

    def _randomness(self) -> bytes:
        return self._entropy.token(RANDOMNESS_BYTES)


def _name_of(login: str) -> str | None:
    """The uniqueness key of a login as typed; None for a text that no user can have."""
    if len(login) > EMAIL_CHARACTERS_MAX or not is_well_formed(login):
        return None
    return uniqueness_key(login)


def _attempt(name: str, user: User | None, device_id: str | None) -> LoginAttempt:
    """The attempt on a name, from a device that the account knows or from any other."""
    if user is None or device_id is None:
        return LoginAttempt(name)
    digest = device_digest(user.id, device_id)
    return LoginAttempt(name, digest if digest in user.known_devices else None)
