"""Identifies the bearer of an access token."""

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
    """Checks tokens in memory; only a token of another device is reported, which reads and writes stores."""

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
        """The user that a bearer text stands for, or why it is refused.

        `device_id` is the device that the request names. A token of another device is reported, and counts
        against the address of `context` unless `exempt`. Does not know whether the session has been revoked.
        """
        verified = self._tokens.verify_access(token, device_id=device_id)
        if isinstance(verified, TokenRejection):
            return verified
        is_refused = isinstance(verified, ForeignToken)
        verdict = DeviceVerdict.REFUSED if isinstance(verified, ForeignToken) else verified.device
        if verdict is not DeviceVerdict.FINE:
            await self._devices.report_token(verdict, verified.principal, device_id, context, exempt=exempt)
        return TokenRejection.WRONG_DEVICE if is_refused else verified.principal

    async def has_ended(self, principal: Principal) -> bool:
        """Whether the session of a verified token has ended (`Session.state`), read from the session store.

        For tokens that the limiter does not check. Raises `DependencyUnavailable`.
        """
        session = None if principal.session_id is None else await self._sessions.get(principal.session_id)
        return session is None or session.state(self._clock.now_ms()) is not SessionState.ACTIVE
