"""Who shows an access token with a request."""

from __future__ import annotations

from application.identity.foreign_devices import ForeignDevices
from application.identity.tokens import ForeignToken, TokenService
from domain.audit import RequestContext
from domain.identity.access import Principal
from domain.identity.sessions import SessionState
from domain.identity.tokens import DeviceVerdict, TokenRejection
from ports.clock import Clock
from ports.identity.sessions import Sessions


class BearerTokens:
    """The token is checked locally; only one from another device is anybody else's business."""

    def __init__(
        self, *, tokens: TokenService, devices: ForeignDevices, sessions: Sessions, clock: Clock
    ) -> None:
        self._tokens = tokens
        self._devices = devices
        self._sessions = sessions
        self._clock = clock

    async def authenticate(
        self, token: str, *, device_id: str | None, context: RequestContext, exempt: bool = False
    ) -> Principal | TokenRejection:
        """For any text. An exempt address is not blamed for what it shows."""
        verified = self._tokens.verify_access(token, device_id=device_id)
        if isinstance(verified, TokenRejection):
            return verified
        is_refused = isinstance(verified, ForeignToken)
        verdict = DeviceVerdict.REFUSED if isinstance(verified, ForeignToken) else verified.device
        if verdict is not DeviceVerdict.FINE:
            await self._devices.report_token(verdict, verified.principal, device_id, context, exempt=exempt)
        return TokenRejection.WRONG_DEVICE if is_refused else verified.principal

    async def has_ended(self, principal: Principal) -> bool:
        """Whether the session of a verified token has, from where sessions are kept: for a token that the
        limiter is not asked about. Raises `DependencyUnavailable`."""
        session = None if principal.session_id is None else await self._sessions.get(principal.session_id)
        return session is None or session.state(self._clock.now_ms()) is not SessionState.ACTIVE
