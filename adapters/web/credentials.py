"""Who is asking, by what they show: an API key, an access token, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from adapters.web.head import Head
from adapters.web.route import Problem
from adapters.web.signed import bad_signature
from domain.access import Principal
from domain.api_keys import ApiKeyRejection
from domain.audit import RequestContext
from domain.request_signing import HttpRequest, SignatureRejection
from domain.tokens import TokenRejection

TOKEN_LENGTH_MAX = 4096

BAD_TOKEN = Problem(
    401,
    "invalid_token",
    "The access token is not valid, or no longer.",
    headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
)
STALE_TOKEN = replace(BAD_TOKEN)
"""Answered alike, but told apart by the guard: it was ours, and has merely expired."""
BAD_API_KEY = Problem(
    401,
    "invalid_credentials",
    "The API key is not known, expired or revoked.",
    headers=(("WWW-Authenticate", "Bearer"),),
)


class ApiKeyAuthenticator(Protocol):
    async def authenticate(
        self, text: str, request: Callable[[], HttpRequest]
    ) -> Principal | ApiKeyRejection | SignatureRejection:
        """Whose key this is, for any text and request. Raises `DependencyUnavailable`."""


class AccessTokens(Protocol):
    async def authenticate(
        self, token: str, *, device_id: str | None, context: RequestContext, exempt: bool
    ) -> Principal | TokenRejection:
        """Whose access token this is, for any text. An exempt address is not blamed for what it shows."""


class Credentials:
    """Checks everything that is presented: one bad credential spoils a good one."""

    __slots__ = ("_api_keys", "_tokens")

    def __init__(self, *, api_keys: ApiKeyAuthenticator, tokens: AccessTokens) -> None:
        self._api_keys = api_keys
        self._tokens = tokens

    async def identify(self, head: Head, device_id: str | None) -> Principal | Problem | None:
        """The caller; a key goes before a token. None when nothing is presented."""
        principal = None
        tokens = head.bearer()
        if tokens:
            token = _only(tokens)
            shown: Principal | TokenRejection = TokenRejection.BAD_SIGNATURE
            if token is not None:
                shown = await self._tokens.authenticate(
                    token, device_id=device_id, context=head.context(), exempt=head.exempt
                )
            if isinstance(shown, TokenRejection):
                return STALE_TOKEN if shown is TokenRejection.EXPIRED else BAD_TOKEN
            principal = shown
        keys = head.all(b"x-api-key")
        if keys:
            key = _only(keys)
            found = None if key is None else await self._api_keys.authenticate(key, head.request)
            if isinstance(found, SignatureRejection):
                return bad_signature(found.value)
            if found is None or isinstance(found, ApiKeyRejection):
                return BAD_API_KEY
            principal = found
        return principal


def _only(values: Sequence[bytes]) -> str | None:
    """The one value, as text; None when there are several, or when it is too long or not ASCII."""
    if len(values) != 1 or not 0 < len(values[0]) <= TOKEN_LENGTH_MAX or not values[0].isascii():
        return None
    return values[0].decode("ascii")
