"""What a login or a refresh is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or a refresh gives."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int
    session_id: str
    device_id: str
    user_id: str


class LoginRejection(Enum):
    """In order of precedence."""

    INVALID_DEVICE_ID = "invalid_device_id"
    INVALID_CREDENTIALS = "invalid_credentials"
    """An unknown user or a wrong password: nobody learns which."""


class RefreshRejection(Enum):
    """In order of precedence."""

    OTHER_KIND = "other_kind"
    """Not a refresh token, but what looks like one of our other credentials."""
    INVALID_TOKEN = "invalid_token"
    """Not one of ours."""
    ENDED = "ended"
    """Ours, of a session that is over."""
    TOKEN_REUSED = "token_reused"
    """A retired token came back: the session is dead, and the address that showed it is suspect."""
    NO_DEVICE = "no_device"
    """Ours, and the request names no device."""
    OTHER_DEVICE = "other_device"


@dataclass(frozen=True, slots=True)
class RefreshDelayed:
    """The session was refreshed too often just now: nothing was done."""

    retry_after_ms: int
