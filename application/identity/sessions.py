"""Login, refresh and logout: the life of a session."""

from __future__ import annotations

from collections.abc import Sequence

from application.call_log import traced
from application.identity.foreign_devices import ForeignDevices
from application.identity.login_throttle import LoginAdmitted, LoginAttempt, LoginDelayed, LoginThrottle
from application.identity.revocations import REVOCATION_MS, publish_revocations, session_end_event
from application.identity.session_outcomes import LoginRejection, RefreshDelayed, RefreshRejection, TokenPair
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

DEFAULT_POLICY = SessionPolicy()
_ABOUT_THIS_DEVICE = {RefreshDecision.ROTATE, RefreshDecision.REPEAT, RefreshDecision.WRONG_DEVICE}
"""What is reused is theft wherever it comes from, and what is dead says nothing of who shows it."""


class SessionService:
    """Raises `DependencyUnavailable`, and `Overloaded` when too many passwords wait to be hashed.

    `keys` derive refresh tokens.
    """

    def __init__(
        self,
        *,
        users: Users,
        sessions: Sessions,
        revocations: SessionRevocations,
        passwords: PasswordHasher,
        gate: LoginThrottle,
        tokens: TokenService,
        devices: ForeignDevices,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        keys: TokenKeys,
        policy: SessionPolicy = DEFAULT_POLICY,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._revocations = revocations
        self._passwords = passwords
        self._gate = gate
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
        """`login` is an e-mail address or a username. Without a device id, one is made."""
        if device_id is not None and not is_device_id(device_id):
            return LoginRejection.INVALID_DEVICE_ID
        name = _name_of(login)
        user = None if name is None else await self._find(name)
        admitted = None if name is None else await self._gate.admit(_attempt(name, user, device_id))
        if isinstance(admitted, LoginDelayed):
            return admitted
        secret = password_bytes(password) if is_possible_password(password) else b""
        is_right = await self._passwords.verify(secret, user.password_hash if user else None)
        if user is None or not is_right:
            if admitted is not None:
                await self._gate.failed(admitted)
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

        async def open_and_tell() -> bool:
            ended = await self._sessions.add(
                session,
                event,
                per_user_max=self._policy.per_user_max,
                end_event=self._end_event(context, EndReason.TOO_MANY_SESSIONS, now_ms, actor=actor),
            )
            await publish_revocations(self._revocations, dict.fromkeys(ended or (), REVOCATION_MS))
            return ended is not None

        if not await self._runtime.shielded(open_and_tell, name="open-session"):
            return LoginRejection.INVALID_CREDENTIALS
        if admitted is not None:
            await self._gate.succeeded(admitted)
        return self._pair(user, session, session.generation)

    @traced
    async def refresh(
        self, *, token: str, device_id: str | None, context: RequestContext
    ) -> TokenPair | RefreshRejection | RefreshDelayed:
        """The next pair of the token's session, or the pair that this token gave before."""
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
                await self._watch(session, device_id, context)
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
            # Somebody else rotated or revoked it meanwhile: decide on what is true now.
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
        """To a genuine token that does not rotate."""
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
        """Ends the session that the caller's token belongs to; once more does no harm."""
        if principal.session_id is not None:
            await self._end(principal.session_id, context, EndReason.LOGOUT)

    @traced
    async def websocket_token(self, principal: Principal) -> IssuedToken | None:
        """None when the caller's session or user is no more."""
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
        """The user's sessions that have not ended, newest first."""
        return await self._sessions.list_of_user(user_id, now_ms=self._clock.now_ms(), limit=limit)

    @traced
    async def revoke_session(self, user_id: str, session_id: str, context: RequestContext) -> bool:
        """Ends one of the user's own sessions; False when it is not one of theirs."""
        session = await self._sessions.get(session_id) if is_id(session_id) else None
        if session is None or session.user_id != user_id:
            return False
        await self._end(session_id, context, EndReason.REVOKED)
        return True

    @traced
    async def revoke_sessions(self, user_id: str, context: RequestContext) -> int:
        """Ends all of the user's sessions, this one as well; how many there were."""
        event = audit_event(
            context,
            AuditAction.SESSIONS_REVOKED,
            f"user:{user_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._randomness(),
        )

        async def end() -> int:
            ended = await self._sessions.revoke_all(
                user_id,
                now_ms=event.at_ms,
                event=event,
                end_event=self._end_event(context, EndReason.ALL_REVOKED, event.at_ms),
            )
            await publish_revocations(self._revocations, dict.fromkeys(ended, REVOCATION_MS))
            return len(ended)

        return await self._runtime.shielded(end, name="end-sessions")

    def _is_genuine(self, presented: RefreshToken) -> bool:
        if is_genuine(self._keys.current().refresh_keys, presented):
            return True
        return self._keys.reload() and is_genuine(self._keys.current().refresh_keys, presented)

    async def _watch(self, session: Session, device_id: str | None, context: RequestContext) -> None:
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
        # A username has no @, an address always has one.
        return await (self._users.find_by_email(name) if "@" in name else self._users.find_by_username(name))

    async def _rehash(self, user: User, secret: bytes) -> None:
        if self._passwords.needs_rehash(user.password_hash):
            await self._users.replace_password_hash(
                user.id, expected=user.password_hash, replacement=await self._passwords.hash(secret)
            )

    async def _end(
        self, session_id: str, context: RequestContext, reason: EndReason, *events: AuditEvent
    ) -> None:
        """First where it lasts, with the events of what led to it, then where it is quick to check; a
        cancelled caller stops neither."""
        now_ms = self._clock.now_ms()
        ended = self._end_event(context, reason, now_ms)(session_id)

        async def end() -> None:
            await self._sessions.revoke(session_id, now_ms=now_ms, events=(*events, ended))
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
    """What was typed, as names are compared; None when it cannot be anybody's."""
    if len(login) > EMAIL_CHARACTERS_MAX or not is_well_formed(login):
        return None
    return uniqueness_key(login)


def _attempt(name: str, user: User | None, device_id: str | None) -> LoginAttempt:
    """From a device that the account knows, or from anywhere."""
    if user is None or device_id is None:
        return LoginAttempt(name)
    digest = device_digest(user.id, device_id)
    return LoginAttempt(name, digest if digest in user.known_devices else None)
