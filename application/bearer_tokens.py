"""Who shows an access token with a request."""

from __future__ import annotations

from application.device_watch import DeviceWatch
from application.tokens import ForeignToken, TokenService
from domain.access import Principal
from domain.audit import RequestContext
from domain.tokens import DeviceVerdict, TokenRejection


class BearerTokens:
    """The token is checked locally; only one from another device is anybody else's business."""

    def __init__(self, *, tokens: TokenService, devices: DeviceWatch) -> None:
        self._tokens = tokens
        self._devices = devices

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
            await self._devices.saw_token(verdict, verified.principal, context, exempt=exempt)
        return TokenRejection.WRONG_DEVICE if is_refused else verified.principal
