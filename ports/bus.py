"""Messages between the workers of one service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Subscription(Protocol):
    """A live subscription."""

    async def close(self) -> None:
        """Ends it; no message is delivered once this returned."""


class Bus(Protocol):
    """At-most-once fan-out by topic, in order per topic and publisher."""

    async def publish(self, topic: str, message: bytes) -> None:
        """Hands the message to every subscriber of the topic, in this and all other workers."""

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        """Calls `receive` with each message published from now on. It must not block nor raise."""
