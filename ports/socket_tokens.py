"""Whose token a WebSocket client shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.users import Role


@dataclass(frozen=True, slots=True)
class SocketIdentity:
    """Who a connection acts for. Unless it is refreshed, it ends at `expires_ms` (since the epoch)."""

    user_id: str
    username: str
    roles: frozenset[Role]
    session_id: str
    expires_ms: int


class SocketTokens(Protocol):
    async def verify(self, token: str, *, device_id: str | None) -> SocketIdentity | None:
        """None when the token is malformed, forged, expired or revoked. Raises `DependencyUnavailable`.

        Takes any text: it comes from a stranger. An access token must be shown by its own device.
        """
