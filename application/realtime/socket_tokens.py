"""What a live socket needs to know of tokens and sessions, beyond what a request does."""

from __future__ import annotations

from application.identity.foreign_devices import ForeignDevices
from application.identity.tokens import ForeignToken, TokenService, VerifiedToken
from application.realtime.switchboard import Realtime
from domain.audit import RequestContext
from domain.identity.credential_forms import CredentialForm, form_of
from domain.identity.tokens import DeviceVerdict, TokenKind, TokenRejection
from ports.clock import Clock
from ports.identity.sessions import SessionRevocations, Sessions
from ports.identity.users import Users
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal

_SOCKET = RequestContext(request_id="websocket")
"""A frame has no address of its own; the limiter saw the connection's."""


class KnownSessions:
    """Whether a session has ended, from where sessions are kept."""

    def __init__(self, *, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    async def is_revoked(self, session_id: str) -> bool:
        """True as well for one that expired or never was. Raises `DependencyUnavailable`."""
        session = await self._sessions.get(session_id)
        if session is None or session.revoked_ms is not None:
            return True
        return self._clock.now_ms() >= min(session.idle_expires_ms, session.absolute_expires_ms)


class SocketTokenVerifier:
    """A socket's question: it lives long, so the session is looked up and not only its token checked."""

    def __init__(
        self,
        *,
        tokens: TokenService,
        devices: ForeignDevices,
        users: Users,
        sessions: KnownSessions,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._tokens = tokens
        self._devices = devices
        self._users = users
        self._sessions = sessions

    async def verify(self, token: str, *, device_id: str | None) -> SocketIdentity | SocketRefusal:
        verified = self._tokens.verify_socket(token, device_id=device_id)
        if isinstance(verified, TokenRejection):
            is_other = form_of(token) not in (None, CredentialForm.SIGNED_TOKEN)
            return SocketRefusal.OTHER_KIND if is_other else SocketRefusal.NOT_VALID
        principal = verified.principal
        if isinstance(verified, ForeignToken):
            await self._devices.report_token(DeviceVerdict.REFUSED, principal, device_id, _SOCKET)
            return SocketRefusal.WRONG_DEVICE
        await self._devices.report_token(verified.device, principal, device_id, _SOCKET)
        if principal.session_id is None or await self._sessions.is_revoked(principal.session_id):
            return SocketRefusal.NOT_VALID
        user = await self._users.get(principal.id)
        if user is None:
            return SocketRefusal.NOT_VALID
        return SocketIdentity(
            user.id, user.username, user.roles, principal.session_id, self._expires_ms(verified)
        )

    def _expires_ms(self, verified: VerifiedToken) -> int:
        """A websocket token's minute is for connecting; the connection then lasts as an access token does."""
        if verified.kind is TokenKind.ACCESS:
            return verified.expires_ms
        return self._clock.now_ms() + TokenKind.ACCESS.lifetime_s * 1000


class RevokedEverywhere:
    """A session that ends is refused by the limiter, and its sockets are closed on every worker."""

    def __init__(self, *, limiter: SessionRevocations, realtime: Realtime) -> None:
        self._limiter = limiter
        self._realtime = realtime

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        try:
            await self._limiter.revoke_session(session, ttl_ms=ttl_ms)
        finally:
            await self._realtime.close_session(session)
