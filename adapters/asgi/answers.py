"""The answers that are given without Quart, to requests and in place of upgrades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adapters.asgi.problems import PROBLEM_TYPE, Headers, Problem, encode_problem
from adapters.asgi.request_state import RequestState
from adapters.asgi.types import DENIAL_EXTENSION, Header, Message, RawHeaders, Scope, Send

NO_STORE = (b"cache-control", b"no-store")
CLOSE = (b"connection", b"close")
NOSNIFF = (b"x-content-type-options", b"nosniff")
_REPLACED = frozenset({NO_STORE[0]})
_REPLACED_ON_HTTP2 = _REPLACED | {b"connection", b"upgrade"}
"""HTTP/2 and 3 have no place for fields of the connection (RFC 9113, 8.2.2)."""

_CLOSE_CODES = {401: 4401, 403: 4403, 429: 4429}
_TRY_AGAIN_LATER = 1013


class Unread(Protocol):
    """What of a request's body nobody has read yet."""

    has_come: bool

    async def discard(self) -> None: ...


class Responder:
    """`send` of one HTTP request: adds the headers that every answer carries, remembers the status.

    `Cache-Control` is written here and nowhere else: `no-store`, whatever a handler or the framework says,
    but for a success that its route declares to be everybody's (`Route.cache`) and that nobody asked for
    with a credential.
    """

    __slots__ = ("_is_head", "_replaced", "_send", "_state", "_unread", "headers", "status")

    def __init__(
        self,
        scope: Scope,
        send: Send,
        headers: RawHeaders,
        state: RequestState,
        unread: Unread | None = None,
    ) -> None:
        """`unread` is the body that the connection has to wait for, None where there is none."""
        self._send = send
        self._unread = unread
        self._state = state
        self._is_head = state.method == "HEAD"
        is_http1 = scope.get("http_version", "1.1").startswith("1")
        self._replaced = _REPLACED if is_http1 else _REPLACED_ON_HTTP2
        self.headers = headers
        self.status: int | None = None
        """None until the answer has begun."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = status = int(message["status"])
            replaced = self._replaced
            kept = [header for header in message["headers"] if header[0] not in replaced]
            message["headers"] = [*kept, self._caching(status), *self.headers]
            unread = self._unread
            if unread is not None and not unread.has_come:
                await unread.discard()
                if not unread.has_come:
                    message["headers"].append(CLOSE)
        await self._send(message)

    def _caching(self, status: int) -> tuple[bytes, bytes]:
        cache = self._state.cache
        if cache is None or status >= 400 or self._state.has_credentials:
            return NO_STORE
        return (NO_STORE[0], cache.encode("ascii"))

    async def answer(self, status: int, content_type: bytes, body: bytes, headers: RawHeaders) -> None:
        """A whole answer at once."""
        await self(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*about_body(content_type, body), *headers],
            }
        )
        await self._send({"type": "http.response.body", "body": b"" if self._is_head else body})

    async def empty(self, status: int, headers: RawHeaders) -> None:
        """An answer without a body (204)."""
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    async def problem(self, problem: Problem) -> None:
        """A refusal; the state remembers its code."""
        body = encode_problem(problem, self._state)
        await self.answer(problem.status, PROBLEM_TYPE, body, raw_headers(problem.headers))


def about_body(content_type: bytes, body: bytes) -> RawHeaders:
    """The headers that speak of a body."""
    return [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]


def raw_headers(headers: Headers) -> RawHeaders:
    """As ASGI wants them: lower case, bytes."""
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers]


def request_id_header(state: RequestState) -> tuple[bytes, bytes]:
    return (b"x-request-id", state.request_id.encode("latin-1"))


def first_headers(state: RequestState) -> RawHeaders:
    """What every answer carries that is no upgrade."""
    return [request_id_header(state), NOSNIFF]


async def refuse_upgrade(
    scope: Scope, send: Send, problem: Problem, state: RequestState, headers: Sequence[Header] = ()
) -> None:
    """Refuses a WebSocket that asked to connect: by an HTTP answer where the server can give one, else by a
    close, which servers make a bare 403 of. `headers` come beside those of every answer.
    """
    body = encode_problem(problem, state)
    if DENIAL_EXTENSION not in (scope.get("extensions") or {}):
        code = _CLOSE_CODES.get(problem.status, _TRY_AGAIN_LATER)
        await send({"type": "websocket.close", "code": code, "reason": problem.code})
        return
    head = [
        *about_body(PROBLEM_TYPE, body),
        *raw_headers(problem.headers),
        *first_headers(state),
        NO_STORE,
        *headers,
    ]
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": head})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
