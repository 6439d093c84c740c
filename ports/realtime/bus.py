"""Messages between the workers of one service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

Message: TypeAlias = tuple[str, bytes]
"""A topic, and the bytes that its subscribers get."""


class Subscription(Protocol):
    """A live subscription."""

    async def close(self) -> None:
        """Ends it; no message is delivered once this returned."""


class Bus(Protocol):
    """At-most-once fan-out by topic, in order per publisher. Messages are lost in gaps, and the bus tells of
    those: a subscriber that must not miss anything then reads it where it is kept."""

    @property
    def is_whole(self) -> bool:
        """Whether every topic is heard, as far as this worker knows. A gap may have begun before it ends."""

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Calls back when messages of any topic may have been missed and all are heard again. It must not
        block nor raise."""

    async def publish(self, topic: str, message: bytes) -> None:
        """Hands the message to every subscriber of the topic, in this and all other workers.

        Raises `DependencyUnavailable`; then some may have got it."""

    async def publish_many(self, messages: Iterable[Message]) -> None:
        """As `publish`, for several messages of any topics, in their order and in few round trips. They are
        taken from `messages` as they go out, so a generator encodes no more than the next few.

        Raises `DependencyUnavailable` when the bus did not take all of them; any of them may have arrived.
        """

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        """Calls `receive` with each message published from now on. It must not block nor raise."""
