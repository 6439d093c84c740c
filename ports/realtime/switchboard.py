"""Between the transports that hold connections and the service that sends to them."""

from __future__ import annotations

from typing import Protocol

from domain.realtime.events import CloseCode
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal


class Recipient(Protocol):
    """One connection, of any transport. Neither call may block or raise."""

    def deliver(self, text: str, size_bytes: int) -> None:
        """Queues one frame, shared with other recipients; one that reads too slowly closes itself."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Ends the connection; the first close wins."""


class Switchboard(Protocol):
    """Where a transport registers its connections. Calls that await may raise `DependencyUnavailable`."""

    async def authenticate(self, token: str, *, device_id: str | None) -> SocketIdentity | SocketRefusal:
        """Whose token it is, or why not. `device_id` is what the upgrade's cookie or header said."""

    async def attach(self, recipient: Recipient, identity: SocketIdentity) -> bool:
        """From its return on, the recipient misses nothing that is published to its user.

        False when its session was closed meanwhile. However it ends, the caller detaches in the end.
        """

    def renew(self, recipient: Recipient, before: SocketIdentity, after: SocketIdentity) -> bool:
        """A refreshed identity of the same user; its session may be another. False when that was closed."""

    async def detach(self, recipient: Recipient, identity: SocketIdentity) -> None:
        """Forgets the recipient; may be repeated."""
