"""Verification of the tokens that WebSocket clients present."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from domain.identity.users import Role


@dataclass(frozen=True, slots=True)
class SocketIdentity:
    """The user that a connection acts for. Unless refreshed, it ends at `expires_ms` (since the epoch)."""

    user_id: str
    username: str
    roles: frozenset[Role]
    session_id: str
    expires_ms: int


class SocketRefusal(Enum):
    """Why a token opens no WebSocket."""

    NOT_VALID = "not_valid"
    """Malformed, forged, expired or revoked."""
    OTHER_KIND = "other_kind"
    """It looks like another of our credentials, and was not looked into."""
    WRONG_DEVICE = "wrong_device"


class SocketTokens(Protocol):
    async def verify(self, token: str, *, device_id: str | None) -> SocketIdentity | SocketRefusal:
        """Raises `DependencyUnavailable`.

        Takes any text: it comes from a stranger. An access token must be shown by its own device.
        """
