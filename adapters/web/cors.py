"""Which pages of other origins may read our answers (the Fetch standard's CORS protocol)."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.asgi.request_head import RequestHead
from adapters.asgi.types import RawHeaders

PREFLIGHT_AGE_S = 600

_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = b"Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Device-Id, X-Request-ID"
_EXPOSED = b"Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
_VARY = (b"vary", b"Origin")


class Cors:
    """A list of origins as browsers write them; `*` is every origin, without its cookies."""

    __slots__ = ("_any", "_origins")

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    def headers(self, head: RequestHead) -> RawHeaders:
        """What an answer to this request carries."""
        if not self._origins:
            return []
        allowed = self._allowed(head)
        if not allowed:
            return [_VARY]
        return [*allowed, (b"access-control-expose-headers", _EXPOSED), _VARY]

    def preflight(self, head: RequestHead) -> RawHeaders | None:
        """The answer to a preflight of a listed origin; None for everything else."""
        if not self._origins or not head.all(b"access-control-request-method"):
            return None
        allowed = self._allowed(head)
        if not allowed:
            return None
        return [
            *allowed,
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", b"%d" % PREFLIGHT_AGE_S),
            _VARY,
        ]

    def _allowed(self, head: RequestHead) -> RawHeaders:
        origins = head.all(b"origin")
        if len(origins) != 1:
            return []
        if origins[0] in self._origins:
            return [
                (b"access-control-allow-origin", origins[0]),
                (b"access-control-allow-credentials", b"true"),
            ]
        return [(b"access-control-allow-origin", b"*")] if self._any else []
