"""Registration, login, refresh, logout, and the token for a WebSocket."""

from __future__ import annotations

from dataclasses import replace

from application.identity.login_throttle import LoginDelayed
from application.identity.sessions import LoginRejection, RefreshDelayed, RefreshRejection, TokenPair
from application.identity.users import InvalidUser, Taken
from credit_system import (
    BAD_DEVICE,
    DEVICE_COOKIE,
    NO_DEVICE,
    OTHER_DEVICE,
    PUBLIC,
    USER,
    Answer,
    Body,
    Call,
    ConnectionAPI,
    Headers,
    Idempotency,
    Problem,
    Remember,
    Route,
    limit_refusal,
    once,
)
from domain.identity.users import EMAIL_CHARACTERS_MAX, is_well_formed, uniqueness_key
from plugins.idempotency import KEY_CONFLICT
from plugins.main.happenings import note
from plugins.main.measures import Measures
from plugins.main.routes.problems import (
    ENDED_SESSION,
    INVALID_TOKEN,
    TAKEN,
    too_many_attempts,
    validation_failed,
)
from plugins.main.routes.users import Email, NewPassword, Text, Username, UserView, user_view

DEVICE_COOKIE_AGE_S = 400 * 86_400
"""The longest that browsers keep a cookie (RFC 6265bis, 5.6.2)."""

# Handing out credentials: what is stored between us and the client must not be (RFC 6749, 5.1).
_NO_CACHE: Headers = (("Pragma", "no-cache"),)

INVALID_CREDENTIALS = Problem(
    401,
    "invalid_credentials",
    "There is no such user, or the password is wrong.",
    headers=(("WWW-Authenticate", "Bearer"),),
)
TOKEN_REUSED = Problem(
    401,
    "token_reused",
    "This refresh token was used before; its session has been ended.",
    headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
)
OTHER_KIND = replace(
    INVALID_TOKEN, detail="This is no refresh token, but looks like another credential.", blameless=True
)
REFRESH_PROBLEMS = {
    RefreshRejection.OTHER_KIND: OTHER_KIND,
    RefreshRejection.INVALID_TOKEN: INVALID_TOKEN,
    RefreshRejection.ENDED: ENDED_SESSION,
    RefreshRejection.TOKEN_REUSED: TOKEN_REUSED,
    RefreshRejection.NO_DEVICE: NO_DEVICE,
    RefreshRejection.OTHER_DEVICE: OTHER_DEVICE,
}


class Registration(Body, frozen=True, kw_only=True):
    """A new user: 3 to 64 of letters, digits and `_.-`; a password of 8 to 256 characters."""

    username: Username
    email: Email
    password: NewPassword


class Login(Body, frozen=True, kw_only=True):
    """Either of the two names, and the password."""

    email: Text | None = None
    username: Text | None = None
    password: Text

    def __post_init__(self) -> None:
        if (self.email is None) == (self.username is None):
            raise ValueError("Either `email` or `username` is needed, and not both")


class TokenRefresh(Body, frozen=True, kw_only=True):
    refresh_token: Text


class Tokens(Body, frozen=True, kw_only=True):
    """A session's tokens. The refresh token works once; the device id goes back as cookie or header."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
    session_id: str
    device_id: str


class SocketToken(Body, frozen=True, kw_only=True):
    """For the first frame of a WebSocket, within its few seconds."""

    token: str
    expires_in: int


class AuthenticationRoutes:
    """Each handler: one use case, one answer."""

    def __init__(self, api: ConnectionAPI, measures: Measures, idempotency: Idempotency) -> None:
        self._api = api
        self._idempotency = idempotency
        self._measures = measures

    def routes(self) -> tuple[Route, ...]:
        tags = ("authentication",)
        return (
            Route("POST", "/auth/register", "register", PUBLIC, self.register, body=Registration,
                  answer=UserView, success=201, problems=(*TAKEN.values(), KEY_CONFLICT),
                  policies=("register",), tags=tags, summary="A new user"),
            Route("POST", "/auth/login", "login", PUBLIC, self.login, body=Login, answer=Tokens,
                  problems=(BAD_DEVICE, INVALID_CREDENTIALS), policies=("login",), asks_device=True,
                  ignores_key=True, tags=tags, summary="A new session on this device"),
            Route("POST", "/auth/refresh", "refresh", PUBLIC, self.refresh, body=TokenRefresh, answer=Tokens,
                  policies=("refresh",), problems=(TOKEN_REUSED, INVALID_TOKEN, NO_DEVICE), asks_device=True,
                  ignores_key=True, tags=tags, summary="The session's next tokens"),
            Route("POST", "/auth/logout", "logout", USER, self.logout, success=204, tags=tags,
                  summary="End this session"),
            Route("POST", "/auth/websocket-token", "websocket_token", USER, self.websocket_token,
                  answer=SocketToken, ignores_key=True, tags=tags, summary="A token for a WebSocket"),
        )  # fmt: skip

    async def register(self, call: Call[Registration, None]) -> Answer | Problem:
        async def register(remember: Remember) -> Answer | Problem:
            return await self._register(call, remember)

        return await once(self._idempotency, call, "register", register)

    async def _register(self, call: Call[Registration, None], remember: Remember) -> Answer | Problem:
        body = call.body
        limited = await self._limited(body.username)
        if limited is not None:
            return limited
        user = await self._api.users.register(
            username=body.username,
            email=body.email,
            password=body.password,
            context=call.context,
            answer=lambda user: remember.answer(201, user_view(user)),
        )
        if isinstance(user, InvalidUser):
            return validation_failed(user.problems)
        if isinstance(user, Taken):
            return TAKEN[user]
        note("user registered", call.context, user=user.id)
        return Answer(201, user_view(user))

    async def login(self, call: Call[Login, None]) -> Answer | Problem:
        name = (call.body.email if call.body.email is not None else call.body.username) or ""
        pair = await self._api.sessions.login(
            login=name, password=call.body.password, device_id=call.device_id, context=call.context
        )
        if isinstance(pair, LoginDelayed):
            self._measures.logins.add(1, "limited")
            return too_many_attempts(pair.retry_after_ms)
        if isinstance(pair, LoginRejection):
            self._measures.logins.add(1, "rejected")
            note("login refused", call.context, reason=pair.value)
            return BAD_DEVICE if pair is LoginRejection.INVALID_DEVICE_ID else INVALID_CREDENTIALS
        self._measures.logins.add(1, "success")
        note("logged in", call.context, user=pair.user_id, session=pair.session_id)
        return _tokens(pair, (*_NO_CACHE, ("Set-Cookie", device_cookie(pair.device_id))))

    async def refresh(self, call: Call[TokenRefresh, None]) -> Answer | Problem:
        pair = await self._api.sessions.refresh(
            token=call.body.refresh_token, device_id=call.device_id, context=call.context
        )
        if pair is RefreshRejection.TOKEN_REUSED:
            self._measures.tokens_reused.add(1)
            note("a retired refresh token came back", call.context)
            await self._api.rate_limiter.violate_address(call.context.address)
            return REFRESH_PROBLEMS[pair]
        if isinstance(pair, RefreshDelayed):
            return too_many_attempts(pair.retry_after_ms)
        if isinstance(pair, RefreshRejection):
            return REFRESH_PROBLEMS[pair]
        note("session refreshed", call.context, user=pair.user_id, session=pair.session_id)
        return _tokens(pair, _NO_CACHE)

    async def logout(self, call: Call[None, None]) -> Answer:
        await self._api.sessions.logout(call.caller, call.context)
        note("logged out", call.context, session=call.caller.session_id)
        return Answer(204)

    async def websocket_token(self, call: Call[None, None]) -> Answer | Problem:
        issued = await self._api.sessions.websocket_token(call.caller)
        if issued is None:
            return ENDED_SESSION
        return Answer(200, SocketToken(token=issued.text, expires_in=issued.expires_in_s), _NO_CACHE)

    async def _limited(self, name: str) -> Problem | None:
        """Attempts to register one name are counted whatever address they come from."""
        if len(name) > EMAIL_CHARACTERS_MAX or not is_well_formed(name):
            return None
        return limit_refusal(
            await self._api.rate_limiter.admit_account_name("register", uniqueness_key(name))
        )


def device_cookie(device_id: str) -> str:
    """Bound to this host and path by its prefix, unreadable for scripts, never sent across sites."""
    attributes = f"Path=/; Max-Age={DEVICE_COOKIE_AGE_S}; Secure; HttpOnly; SameSite=Strict"
    return f"{DEVICE_COOKIE}={device_id}; {attributes}"


def _tokens(pair: TokenPair, headers: Headers) -> Answer:
    tokens = Tokens(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        token_type="Bearer",
        expires_in=pair.expires_in_s,
        session_id=pair.session_id,
        device_id=pair.device_id,
    )
    return Answer(200, tokens, headers)
