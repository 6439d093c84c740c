"""The bus within one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ports.realtime.bus import Bus, Message, Subscription


class MemoryBus:
    """Hands each message over at once, to the subscribers in the order in which they came."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[_MemorySubscription, Callable[[bytes], None]]] = {}

    @property
    def is_whole(self) -> bool:
        return True

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Within one process nothing is missed."""

    async def publish(self, topic: str, message: bytes) -> None:
        # A copy: a receiver may subscribe or close. A subscription closed by an earlier one gets nothing.
        for subscription, receive in list(self._topics.get(topic, {}).items()):
            if subscription.live:
                receive(message)

    async def publish_many(self, messages: Iterable[Message]) -> None:
        for topic, message in messages:
            await self.publish(topic, message)

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        subscription = _MemorySubscription(self, topic)
        self._topics.setdefault(topic, {})[subscription] = receive
        return subscription

    def remove(self, subscription: _MemorySubscription) -> None:
        """Forgets a closed subscription, and its topic with the last one."""
        receivers = self._topics.get(subscription.topic, {})
        receivers.pop(subscription, None)
        if not receivers:
            self._topics.pop(subscription.topic, None)


class _MemorySubscription:
    def __init__(self, bus: MemoryBus, topic: str) -> None:
        self._bus = bus
        self.topic = topic
        self.live = True

    async def close(self) -> None:
        self.live = False
        self._bus.remove(self)


def _proof(bus: MemoryBus, subscription: _MemorySubscription) -> tuple[Bus, Subscription]:
    """mypy holds the adapter to its port here."""
    return bus, subscription
