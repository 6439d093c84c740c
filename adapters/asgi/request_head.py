"""The request's head: its headers, scanned once, and what the guard and the views read from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from adapters.asgi.types import Header
from domain.identity.sessions import is_device_id

DEVICE_COOKIE = "__Host-device"
"""The cookie that names the caller's device, set at login."""
BEARER = b"bearer"

_COOKIE_PREFIX = DEVICE_COOKIE.encode() + b"="
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}\Z")
_NONE: tuple[bytes, ...] = ()

_USER_AGENT_LENGTH_MAX = 256
_DEVICE_ID_LENGTH_MAX = 65
"""One more than a good one has, so that a longer one is still seen to be bad."""
_LENGTH_DIGITS_MAX = 19


class RequestHead:
    """Header values by name. ASGI servers give names in lower case."""

    __slots__ = ("_repeated", "_values")

    def __init__(self, headers: Sequence[Header]) -> None:
        self._values = dict(headers)
        # Hardly a request repeats a name, and `dict` alone is several times as fast as a list for each name.
        self._repeated = None if len(self._values) == len(headers) else _by_name(headers)

    def all(self, name: bytes) -> Sequence[bytes]:
        """The values of a header, in the order of their arrival."""
        if self._repeated is not None:
            return self._repeated.get(name, _NONE)
        value = self._values.get(name)
        return _NONE if value is None else (value,)

    def first(self, name: bytes) -> bytes | None:
        """The first value of a header; None where there is none."""
        values = self.all(name)
        return values[0] if values else None

    def texts(self) -> Mapping[str, Sequence[str]]:
        """All headers as text."""
        return {
            name.decode("latin-1"): [value.decode("latin-1") for value in self.all(name)]
            for name in self._values
        }

    def request_id(self) -> str | None:
        """The caller's `X-Request-ID`: one value of 1 to 64 letters, digits and `_.-`. None otherwise."""
        values = self.all(b"x-request-id")
        if len(values) != 1 or not _REQUEST_ID.match(values[0]):
            return None
        return values[0].decode("ascii")

    def device_id(self) -> str | None:
        """From the cookie, else from `X-Device-Id`, as it was sent: its form is the domain's to judge. Empty
        names no device, and a cookie that can be no device's id hides no header."""
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
        """Whether `X-Device-Id` is there and names no device: empty, of another form, or twice."""
        values = self.all(b"x-device-id")
        return bool(values) and (len(values) > 1 or not is_device_id(_device_id(values[0])))

    @property
    def has_body(self) -> bool:
        """Whether the request says that a body follows it."""
        return b"transfer-encoding" in self._values or self.first(b"content-length") not in (None, b"0")

    @property
    def body_length(self) -> int | None:
        """Bytes of the body, as the request declares them; None where it does not, or in no readable way."""
        value = self.first(b"content-length")
        return None if value is None or not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX else int(value)

    @property
    def withholds_body(self) -> bool:
        """Whether the client sends the body only when it is asked to (RFC 9110, 10.1.1)."""
        return b"expect" in self._values

    @property
    def has_credentials(self) -> bool:
        """Whether the request carries a credential, good or bad."""
        return b"authorization" in self._values or b"x-api-key" in self._values

    def user_agent(self) -> str:
        """At most 256 characters of `User-Agent`; empty where there is none."""
        value = self.first(b"user-agent")
        return "" if value is None else value[:_USER_AGENT_LENGTH_MAX].decode("latin-1")


def scheme_and_rest(authorization: bytes) -> tuple[bytes, bytes]:
    """The scheme, in lower case, and what follows it (RFC 9110, 11.6.2)."""
    scheme, _, rest = authorization.partition(b" ")
    return scheme.lower(), rest.strip()


def _by_name(headers: Iterable[Header]) -> Mapping[bytes, Sequence[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return values


def _device_id(value: bytes) -> str:
    return value[:_DEVICE_ID_LENGTH_MAX].decode("latin-1")
