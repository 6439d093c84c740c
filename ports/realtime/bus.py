"""Messages between the workers of one service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Subscription(Protocol):
    """A live subscription."""

    async def close(self) -> None:
        """Ends it; no message is delivered once this returned."""


class Bus(Protocol):
    """At-most-once fan-out by topic, in order per publisher. What is lost is lost in gaps, and those are told
    of: whoever must not miss anything looks where it is kept, then."""

    @property
    def is_whole(self) -> bool:
        """Whether every topic is heard, as far as this worker knows. A gap may have begun before it ends."""

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Calls back when messages of any topic may have been missed and all are heard again. It must not
        block nor raise."""

    async def publish(self, topic: str, message: bytes) -> None:
        """Hands the message to every subscriber of the topic, in this and all other workers.

        Raises `DependencyUnavailable`; then some may have got it."""

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        """Calls `receive` with each message published from now on. It must not block nor raise."""
