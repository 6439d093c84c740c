"""Who is asking, by what they show: an API key, an access token, or nothing.

`docs/credentials.md` lists every refusal that is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from adapters.asgi.problems import NOT_AUTHENTICATED, Problem
from adapters.asgi.rate_limits import REVOKED
from adapters.asgi.request_head import BEARER, scheme_and_rest
from adapters.asgi.request_state import RequestState
from adapters.asgi.signed_requests import bad_signature, signed_request
from adapters.asgi.types import Scope
from domain.audit import RequestContext
from domain.identity.access import Principal
from domain.identity.api_keys import ApiKeyRejection
from domain.identity.credential_forms import CredentialForm, form_of
from domain.identity.request_signing import SignatureRejection, SignedRequest
from domain.identity.sessions import names_device
from domain.identity.tokens import TokenRejection

TOKEN_LENGTH_MAX = 4096


def _bad_token(detail: str, *, code: str = "invalid_token", blameless: bool = True) -> Problem:
    """With RFC 6750's words for the header; the detail says what to do."""
    description = detail.partition(":")[0].rstrip(".").replace("`", "'")
    challenge = f'Bearer error="invalid_token", error_description="{description}"'
    return Problem(401, code, detail, headers=(("WWW-Authenticate", challenge),), blameless=blameless)


def _bad_key(detail: str, *, blameless: bool = True) -> Problem:
    headers = (("WWW-Authenticate", "Bearer"),)
    return Problem(401, "invalid_credentials", detail, headers=headers, blameless=blameless)


UNKNOWN_SCHEME = Problem(
    401,
    NOT_AUTHENTICATED.code,
    "The only scheme of `Authorization` is `Bearer`, for an access token; an API key goes into `X-API-Key`.",
    headers=NOT_AUTHENTICATED.headers,
    blameless=True,
)
TWO_TOKENS = _bad_token("`Authorization` stands more than once.")
NO_TOKEN = _bad_token("`Authorization` names the scheme `Bearer`, and no token after it.")
KEY_AS_TOKEN = _bad_token("API keys go into `X-API-Key`: `Authorization` takes access tokens.")
REFRESH_AS_TOKEN = _bad_token("This is a refresh token: it goes into the body of `POST /auth/refresh`.")
SOCKET_AS_TOKEN = _bad_token("This is a WebSocket token: it goes into the first frame of `/ws`.")
BAD_TOKEN = _bad_token("The access token is not valid, or no longer.", blameless=False)
UNFIT_TOKEN = _bad_token("The access token is signed by this service, and not for this use or time.")
EXPIRED_TOKEN = _bad_token(
    "The access token has expired: `POST /auth/refresh`, sent without it, gives the next one."
)
NO_DEVICE = _bad_token(
    "The token belongs to a device, and the request names none, see `X-Device-Id`: send the `device_id` of"
    " its login in it. The cookie `__Host-device` stands for it, and travels over https only.",
    code="device_mismatch",
)
"""401: the token belongs to a device, and the request names none."""
OTHER_DEVICE = _bad_token(
    "The token belongs to another device than the request names, see `X-Device-Id`: send the `device_id` of"
    " its login in it, or the login's cookie `__Host-device`.",
    code="device_mismatch",
    blameless=False,
)
"""401: the token belongs to another device than the request names."""

TWO_KEYS = _bad_key("`X-API-Key` stands more than once.")
NO_KEY = _bad_key("`X-API-Key` is empty.")
TOKEN_AS_KEY = _bad_key("Tokens go into `Authorization`, after `Bearer`: `X-API-Key` takes API keys.")
BAD_API_KEY = _bad_key("The API key is not known.", blameless=False)
REVOKED_API_KEY = _bad_key("The API key was revoked.")
EXPIRED_API_KEY = _bad_key("The API key has expired.")

PROBLEMS = (NOT_AUTHENTICATED, BAD_TOKEN, NO_DEVICE, BAD_API_KEY, bad_signature("the detail says why"))
"""What whoever has to show a credential may be answered, a problem of each code, for the API document."""

_MISPLACED = {CredentialForm.API_KEY: KEY_AS_TOKEN, CredentialForm.REFRESH_TOKEN: REFRESH_AS_TOKEN}
_UNFIT = {
    TokenRejection.BAD_SIGNATURE: BAD_TOKEN,
    TokenRejection.WRONG_TYPE: SOCKET_AS_TOKEN,
    TokenRejection.EXPIRED: EXPIRED_TOKEN,
}
_UNFIT_KEYS = {
    ApiKeyRejection.REVOKED: REVOKED_API_KEY,
    ApiKeyRejection.EXPIRED: EXPIRED_API_KEY,
}


class ApiKeyAuthenticator(Protocol):
    async def authenticate(
        self, text: str, signed: Callable[[], SignedRequest | SignatureRejection]
    ) -> Principal | ApiKeyRejection | SignatureRejection:
        """Whose key this is, for any text and request. Raises `DependencyUnavailable`."""


class AccessTokens(Protocol):
    async def authenticate(
        self, token: str, *, device_id: str | None, context: RequestContext, exempt: bool
    ) -> Principal | TokenRejection:
        """Whose access token this is, for any text. An exempt address is not blamed for what it shows."""

    async def has_ended(self, principal: Principal) -> bool:
        """Whether the session of a verified token has. Raises `DependencyUnavailable`."""


class CredentialVerifier:
    """Checks everything that is presented: one bad credential spoils a good one.

    A credential is `Authorization`, whatever its scheme, and `X-API-Key`. A cookie is none: `__Host-device`
    names a device, as `X-Device-Id` does.
    """

    __slots__ = ("_api_keys", "_tokens")

    def __init__(self, *, api_keys: ApiKeyAuthenticator, tokens: AccessTokens) -> None:
        self._api_keys = api_keys
        self._tokens = tokens

    async def identify(self, scope: Scope, state: RequestState) -> Principal | Problem | None:
        """The caller; a key goes before a token. None when nothing is presented."""
        authorizations, keys = state.head.all(b"authorization"), state.head.all(b"x-api-key")
        user = await self._user(authorizations, state) if authorizations else None
        if not keys or isinstance(user, Problem):
            return user
        holder = await self._holder(keys, scope, state)
        if isinstance(holder, Principal) and user is not None and await self._tokens.has_ended(user):
            # The limiter is asked about one of the two, the key.
            return REVOKED
        return holder

    async def _user(self, values: Sequence[bytes], state: RequestState) -> Principal | Problem:
        token = _token(values)
        if isinstance(token, Problem):
            return token
        shown = await self._tokens.authenticate(
            token, device_id=state.device_id, context=state.context(), exempt=state.exempt
        )
        if not isinstance(shown, TokenRejection):
            return shown
        if shown is TokenRejection.WRONG_DEVICE:
            return OTHER_DEVICE if names_device(state.device_id) else NO_DEVICE
        return _UNFIT.get(shown, UNFIT_TOKEN)

    async def _holder(
        self, values: Sequence[bytes], scope: Scope, state: RequestState
    ) -> Principal | Problem:
        key = _api_key(values)
        if isinstance(key, Problem):
            return key
        shown = await self._api_keys.authenticate(key, partial(signed_request, scope, state))
        if isinstance(shown, SignatureRejection):
            return bad_signature(shown.value)
        return _UNFIT_KEYS.get(shown, BAD_API_KEY) if isinstance(shown, ApiKeyRejection) else shown


def _token(values: Sequence[bytes]) -> str | Problem:
    """The token of `Authorization`, which stands there; a problem where there is none to check."""
    if len(values) != 1:
        return TWO_TOKENS
    scheme, value = scheme_and_rest(values[0])
    if scheme != BEARER:
        return UNKNOWN_SCHEME
    if not value:
        return NO_TOKEN
    token = _text(value)
    if token is None:
        return BAD_TOKEN
    form = form_of(token)
    return _MISPLACED.get(form, token) if form is not None else token


def _api_key(values: Sequence[bytes]) -> str | Problem:
    if len(values) != 1:
        return TWO_KEYS
    if not values[0]:
        return NO_KEY
    key = _text(values[0])
    if key is None:
        return BAD_API_KEY
    return key if form_of(key) in (None, CredentialForm.API_KEY) else TOKEN_AS_KEY


def _text(value: bytes) -> str | None:
    """None for what is too long for any of ours, or not ASCII."""
    return value.decode("ascii") if len(value) <= TOKEN_LENGTH_MAX and value.isascii() else None
