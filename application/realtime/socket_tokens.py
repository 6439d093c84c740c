"""Tokens and sessions of live sockets: the end of a session has to reach a socket that outlives it."""

from __future__ import annotations

from application.identity.foreign_devices import ForeignDevices
from application.identity.tokens import ForeignToken, TokenService, VerifiedToken
from application.realtime.switchboard import Realtime
from domain.audit import RequestContext
from domain.identity.credential_forms import CredentialForm, form_of
from domain.identity.sessions import SessionState
from domain.identity.tokens import DeviceVerdict, TokenKind, TokenRejection
from ports.clock import Clock
from ports.identity.sessions import SessionRevocations, Sessions
from ports.identity.users import Users
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal

_SOCKET = RequestContext(request_id="websocket")
"""A frame has no address of its own; the limiter saw the connection's."""


class SocketTokenVerifier:
    """`SocketTokens`: looks the session up besides checking its token."""

    def __init__(
        self,
        *,
        tokens: TokenService,
        devices: ForeignDevices,
        users: Users,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._devices = devices
        self._users = users
        self._sessions = sessions
        self._clock = clock

    async def verify(self, token: str, *, device_id: str | None) -> SocketIdentity | SocketRefusal:
        """The user and session of a WebSocket or access token, and when the connection has to end.

        Reports a token of another device. Raises `DependencyUnavailable` when the session or user cannot be
        read.
        """
        verified = self._tokens.verify_socket(token, device_id=device_id)
        if isinstance(verified, TokenRejection):
            is_other = form_of(token) not in (None, CredentialForm.SIGNED_TOKEN)
            return SocketRefusal.OTHER_KIND if is_other else SocketRefusal.NOT_VALID
        principal = verified.principal
        if isinstance(verified, ForeignToken):
            await self._devices.report_token(DeviceVerdict.REFUSED, principal, device_id, _SOCKET)
            return SocketRefusal.WRONG_DEVICE
        await self._devices.report_token(verified.device, principal, device_id, _SOCKET)
        session = None if principal.session_id is None else await self._sessions.get(principal.session_id)
        if session is None or session.state(self._clock.now_ms()) is not SessionState.ACTIVE:
            return SocketRefusal.NOT_VALID
        user = await self._users.get(principal.id)
        if user is None:
            return SocketRefusal.NOT_VALID
        return SocketIdentity(user.id, user.username, user.roles, session.id, self._expires_ms(verified))

    def _expires_ms(self, verified: VerifiedToken) -> int:
        """The minute of a WebSocket token is for connecting; the connection lasts as an access token does."""
        if verified.kind is TokenKind.ACCESS:
            return verified.expires_ms
        return self._clock.now_ms() + TokenKind.ACCESS.lifetime_s * 1000


class RevocationFanOut:
    """`SessionRevocations`: the limiter refuses the session, and every worker closes its sockets."""

    def __init__(self, *, limiter: SessionRevocations, realtime: Realtime) -> None:
        self._limiter = limiter
        self._realtime = realtime

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Closes the sockets even without the limiter, and raises `DependencyUnavailable` then."""
        try:
            await self._limiter.revoke_session(session, ttl_ms=ttl_ms)
        finally:
            await self._realtime.close_session(session)
