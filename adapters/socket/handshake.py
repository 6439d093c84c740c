"""Whether a connection may be upgraded: path, origin and subprotocol, decided from the scope alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.asgi.problems import RETRY_AFTER_S, Problem
from adapters.asgi.request_head import RequestHead
from adapters.asgi.request_state import request_state
from adapters.asgi.types import Scope
from domain.realtime.protocol import SUBPROTOCOL

PATH: Final = "/ws"

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """`subprotocol` is what was offered and is spoken."""

    subprotocol: str


@dataclass(frozen=True, slots=True)
class Mute:
    """Whoever offers no subprotocol is upgraded and closed at once, with 4400: a browser shows its page
    nothing of an HTTP refusal but 1006, after which it comes again, and shows code and reason of a close.
    (Where others are offered, clients end the handshake themselves unless one of these is chosen.)"""

    reason: str


NOT_FOUND: Final = Problem(404, "not_found", f"WebSockets are served at {PATH}")
FOREIGN_ORIGIN: Final = Problem(403, "forbidden", "this origin may not connect")
NO_SUBPROTOCOL: Final = Problem(400, "validation_failed", f"the only subprotocol here is {SUBPROTOCOL}")
MUTE: Final = Mute(f"offer the subprotocol {SUBPROTOCOL}")
UNAVAILABLE: Final = Problem(
    503,
    "dependency_unavailable",
    "no more connections now, try again later",
    headers=(("Retry-After", str(RETRY_AFTER_S)),),
)


def judge(scope: Scope, origins: frozenset[str]) -> Accepted | Mute | Problem:
    """`origins` are allowed besides the service's own, as `normal_origin` writes them."""
    if scope["path"] != PATH:
        return NOT_FOUND
    if not _may_connect(request_state(scope).head, origins):
        return FOREIGN_ORIGIN
    offered = scope.get("subprotocols") or ()
    if not offered:
        return MUTE
    return Accepted(SUBPROTOCOL) if SUBPROTOCOL in offered else NO_SUBPROTOCOL


def normal_origin(origin: str) -> str | None:
    """`https://App.example:443` as `https://app.example` (RFC 6454, 6.2); None when it is no web origin."""
    scheme, separator, authority = origin.strip().lower().partition("://")
    if not separator or scheme not in _DEFAULT_PORTS or not authority:
        return None
    if any(character in "/?#@\\" or character.isspace() for character in authority):
        return None
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS[scheme])}"


def _may_connect(head: RequestHead, origins: frozenset[str]) -> bool:
    """Browsers always name the origin of a page that connects; who names none is no browser."""
    named = head.all(b"origin")
    if not named:
        return True
    origin = normal_origin(named[0].decode("latin-1")) if len(named) == 1 else None
    if origin is None:
        return False
    if origin in origins:
        return True
    # A proxy may have ended TLS, so only the authority can be compared with the page's.
    hosts = head.all(b"host") or head.all(b":authority")
    scheme = origin.partition("://")[0]
    return len(hosts) == 1 and normal_origin(f"{scheme}://{hosts[0].decode('latin-1')}") == origin
