"""The request's head, read once: only the headers that the guard looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from adapters.asgi.request_state import request_state
from adapters.asgi.signed import http_request
from adapters.asgi.types import Scope
from domain.audit import RequestContext
from domain.identity.request_signing import HttpRequest
from domain.identity.sessions import is_device_id

DEVICE_COOKIE = "__Host-device"
"""The cookie that names the caller's device, set at login."""
BEARER = b"bearer"

_WANTED = frozenset(
    {
        b"access-control-request-method",
        b"authorization",
        b"content-length",
        b"cookie",
        b"expect",
        b"forwarded",
        b"origin",
        b"transfer-encoding",
        b"user-agent",
        b"x-api-key",
        b"x-device-id",
        b"x-forwarded-for",
        b"x-request-id",
    }
)
_COOKIE_PREFIX = DEVICE_COOKIE.encode() + b"="
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}\Z")
_NONE: tuple[bytes, ...] = ()

_USER_AGENT_LENGTH_MAX = 256
_DEVICE_ID_LENGTH_MAX = 65
"""One more than a good one has, so that a longer one is still seen to be bad."""


class RequestHead:
    """The values of the wanted headers, in their order."""

    __slots__ = ("_scope", "_values")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _WANTED:
                values.setdefault(name, []).append(value)
        self._values = values

    def all(self, name: bytes) -> Sequence[bytes]:
        return self._values.get(name, _NONE)

    def request_id(self) -> str | None:
        """The caller's, when there is one and it is sane."""
        values = self.all(b"x-request-id")
        if len(values) != 1 or not _REQUEST_ID.match(values[0]):
            return None
        return values[0].decode("ascii")

    def device_id(self) -> str | None:
        """From the cookie, else from the header, as it was sent: its form is the domain's to judge. Empty
        names none, and a cookie that can be nobody's hides no header."""
        cookie = self._device_cookie()
        if cookie is not None and is_device_id(cookie):
            return cookie
        values = self.all(b"x-device-id")
        return (_device_id(values[0]) if len(values) == 1 else None) or cookie

    def _device_cookie(self) -> str | None:
        for cookies in self.all(b"cookie"):
            for cookie in cookies.split(b";"):
                text = cookie.strip()
                if text.startswith(_COOKIE_PREFIX):
                    return _device_id(text[len(_COOKIE_PREFIX) :])
        return None

    def has_bad_device(self) -> bool:
        """Whether the header is there and names no device: empty, of another form, or twice."""
        values = self.all(b"x-device-id")
        return bool(values) and (len(values) > 1 or not is_device_id(_device_id(values[0])))

    @property
    def has_body(self) -> bool:
        """Whether the request says that a body follows it."""
        lengths = self.all(b"content-length")
        return b"transfer-encoding" in self._values or bool(lengths and lengths[0] != b"0")

    @property
    def withholds_body(self) -> bool:
        """Whether the client sends the body only when it is asked to (RFC 9110, 10.1.1)."""
        return b"expect" in self._values

    @property
    def has_credentials(self) -> bool:
        """Whether anything says who calls, in whatever form."""
        return b"authorization" in self._values or b"x-api-key" in self._values

    @property
    def exempt(self) -> bool:
        """Whether nothing is held against the address."""
        return request_state(self._scope).exempt

    def context(self) -> RequestContext:
        """Where it comes from; who sends it is not known yet."""
        state = request_state(self._scope)
        return RequestContext(request_id=state.request_id, address=state.address, user_agent=state.user_agent)

    def request(self) -> HttpRequest:
        """All of it, for a signature to be checked."""
        return http_request(self._scope)

    def user_agent(self) -> str:
        values = self.all(b"user-agent")
        return values[0][:_USER_AGENT_LENGTH_MAX].decode("latin-1") if values else ""


def scheme_and_rest(authorization: bytes) -> tuple[bytes, bytes]:
    """The scheme, in lower case, and what follows it (RFC 9110, 11.6.2)."""
    scheme, _, rest = authorization.partition(b" ")
    return scheme.lower(), rest.strip()


def _device_id(value: bytes) -> str:
    return value[:_DEVICE_ID_LENGTH_MAX].decode("latin-1")
