"""The values that leave the protocol machine, for its caller to carry out, and those that enter it.

A reader learns the protocol here: frames come in as text, these values come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class CloseCode(IntEnum):
    """Why the service ends a connection (RFC 6455, 7.4; 4000–4999 are ours).

    44xx except 4413 and 4429 are final: a client must not reconnect unchanged.
    """

    TOO_BIG = 1009
    FAULT = 1011
    RESTARTING = 1012
    PROTOCOL_ERROR = 4400
    NOT_AUTHENTICATED = 4401
    FORBIDDEN = 4403
    TOO_LATE = 4408
    TOO_SLOW = 4413
    OVER_LIMIT = 4429


class ErrorCode(Enum):
    """Why a command was not carried out; the connection stays."""

    INVALID = "invalid"
    FORBIDDEN = "forbidden"
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"


# --- out of the machine


@dataclass(frozen=True, slots=True)
class Welcome:
    """The reply to `connect`: nothing reaches the client before it."""

    text: str


@dataclass(frozen=True, slots=True)
class Send:
    """Any later reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with this code, after all queued frames. The reason is at most 123 bytes."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Verify this token and answer the machine with a `Verdict`."""

    token: str


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """The same for a connection that has an identity already."""

    token: str


Command = Authenticate | Reauthenticate
Output = Welcome | Send | Close | Command


# --- into the machine


@dataclass(frozen=True, slots=True)
class Granted:
    """The token is good for `lifetime_ms` from now."""

    user: str
    session: str
    lifetime_ms: int


class Refusal(Enum):
    """There is no identity."""

    NOT_AUTHENTICATED = "not_authenticated"
    """The token is wrong, expired or revoked."""
    OTHER_KIND = "other_kind"
    """It is neither a WebSocket token nor an access token."""
    WRONG_DEVICE = "wrong_device"
    BANNED = "banned"
    OVER_LIMIT = "over_limit"
    UNAVAILABLE = "unavailable"
    """It could not be verified: a dependency is away."""


Verdict = Granted | Refusal
