"""Parsers of settings: a text in, a checked value out, or `ValueError` with a reason for operators."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from domain.addresses import Network, parse_network
from domain.limits.windows import UNIT_MS, parse_policy_rate

Choice = TypeVar("Choice", bound=Enum)

DURATION_MS_MAX = 10 * 366 * 24 * 3600 * 1000
SIZE_BYTES_MAX = 1 << 40

_UNIT_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)?")
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
_CREDENTIAL_OPTIONS = frozenset(
    {"password", "username", "authmechanismproperties", "tlscertificatekeyfilepassword"}
)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` in each period."""

    limit: int
    period_ms: int


def duration_ms(text: str) -> int:
    """`50ms`, `60s`, `5m`, `1h`, `7d` in milliseconds, above 0."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("not a duration: a whole number and ms, s, m, h or d, such as 60s")
    value = int(match[1]) * UNIT_MS[match[2]]
    if not 0 < value <= DURATION_MS_MAX:
        raise ValueError("a duration is more than nothing and at most ten years")
    return value


def optional_duration_ms(text: str) -> int | None:
    """A duration; None for an empty text."""
    return duration_ms(text) if text else None


def size_bytes(text: str) -> int:
    """`65536`, `64KiB`, `1MiB` in bytes, above 0."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("not a size: a whole number and B, KiB, MiB or GiB, such as 1MiB")
    value = int(match[1]) * _UNIT_BYTES[match[2] or "B"]
    if not 0 < value <= SIZE_BYTES_MAX:
        raise ValueError("a size is more than nothing and at most 1024GiB")
    return value


def rate(text: str) -> Rate:
    """`100/60s`: a limit and its period, within the range that the limiter counts exactly."""
    return Rate(*parse_policy_rate(text))


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`, both included."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 18 or not low <= int(text) <= high:
            raise ValueError(f"not a whole number from {low} to {high}")
        return int(text)

    return parse


def truth(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text == "true"


def one_of(kind: type[Choice]) -> Callable[[str], Choice]:
    """A member of the enumeration, by its value."""

    def parse(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise ValueError("not one of " + ", ".join(str(member.value) for member in kind)) from None

    return parse


def word(text: str) -> str:
    """A name of letters, digits, `_`, `.` and `-`."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", text):
        raise ValueError("not a name: 1 to 63 letters, digits, _, . or -")
    return text


def networks(text: str) -> tuple[Network, ...]:
    """Comma-separated addresses and networks. An IPv4 address embedded in an IPv6 one counts as IPv4."""
    parsed = []
    for part in _parts(text):
        try:
            parsed.append(parse_network(part))
        except ValueError:
            raise ValueError(f"{part!r} is not an address or a network such as 10.0.0.0/8") from None
    return tuple(parsed)


def origins(text: str) -> tuple[str, ...]:
    """Comma-separated origins as browsers send them (RFC 6454), lower case."""
    parsed = []
    for part in _parts(text):
        if not _ORIGIN.fullmatch(part):
            raise ValueError(f"{part!r} is not an origin such as https://app.example")
        parsed.append(part.lower())
    return tuple(parsed)


def path(text: str) -> Path:
    """A file or a directory."""
    if not text or "\0" in text:
        raise ValueError("not a path")
    return Path(text).expanduser()


def optional_path(text: str) -> Path | None:
    """A directory; None for an empty text."""
    return path(text) if text else None


def optional_token(text: str) -> str | None:
    """A bearer token of 16 to 512 visible characters; None for an empty text."""
    if not text:
        return None
    if not re.fullmatch(r"[\x21-\x7e]{16,512}", text):
        raise ValueError("not a token: 16 to 512 visible ASCII characters")
    return text


def mongo_url(text: str) -> str:
    """A connection string without credentials, which belong into secret files."""
    return _url(text, ("mongodb", "mongodb+srv"))


def redis_url(text: str) -> str:
    """`redis://` or, with TLS, `rediss://`, with or without a user name, never with a password.

    `redis+cluster://` and `rediss+cluster://` name some nodes of a cluster.
    """
    if text.partition("://")[0] in _CLUSTER_SCHEMES and urlsplit(text).path not in ("", "/", "/0"):
        raise ValueError("a cluster has no database but 0")
    return _url(text, ("redis", "rediss", *_CLUSTER_SCHEMES), user_allowed=True)


def _url(text: str, schemes: tuple[str, ...], *, user_allowed: bool = False) -> str:
    scheme, separator, rest = text.partition("://")
    if scheme not in schemes or not separator or not rest:
        raise ValueError("not a URL beginning with " + " or ".join(f"{name}://" for name in schemes))
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("not a URL") from None
    user = parts.netloc.rpartition("@")[0]
    if ":" in user or (user and not user_allowed):
        raise ValueError("holds credentials: these are read from secret files only")
    if any(name.lower() in _CREDENTIAL_OPTIONS for name, _ in parse_qsl(parts.query)):
        raise ValueError("holds credentials: these are read from secret files only")
    return text


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
