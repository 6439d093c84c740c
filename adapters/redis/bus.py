"""The bus over Redis's publish and subscribe: one subscribing connection a process."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from adapters.redis.driver import DEPENDENCY, Listener, Redis, Reply, accepted
from adapters.redis.names import Names
from ports.bus import Bus, Subscription
from ports.errors import DependencyUnavailable
from ports.runtime import DeadlineExceeded, Event, Runtime, Task, TaskCancelled

SUBSCRIBE_TIMEOUT_MS_MAX = 5_000
BACKOFF_MS_MIN = 50
BACKOFF_MS_MAX = 2_000
PING_S = 5.0
SILENCE_S_MAX = 15.0
"""A connection that says nothing for so long, not even a pong, is lost."""

_logger = logging.getLogger(__name__)


class RedisBus:
    """Channels are named by HMAC and messages sealed, each with its channel inside, so that one moved to
    another channel does not open there.

    A lost connection is made again, and what was subscribed is subscribed again; messages of the gap are
    lost, as at-most-once allows. `reconnections` tells that there was one.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        driver: Redis,
        naming_key: bytes,
        seal: Callable[[bytes], bytes],
        open_sealed: Callable[[bytes], bytes | None],
        subscribe_timeout_ms_max: int = SUBSCRIBE_TIMEOUT_MS_MAX,
        backoff_ms_max: int = BACKOFF_MS_MAX,
    ) -> None:
        self._runtime = runtime
        self._driver = driver
        self._names = Names(key=naming_key)
        self._seal = seal
        self._open = open_sealed
        self._subscribe_timeout_s = subscribe_timeout_ms_max / 1_000
        self._backoff_ms_max = backoff_ms_max
        self._channels: dict[bytes, _Channel] = {}
        # SUBSCRIBEs not answered yet: a channel is live when the last of them is.
        self._unanswered: Counter[bytes] = Counter()
        self._listener: Listener | None = None
        self._task: Task[None] | None = None
        self._connections = 0

    @property
    def reconnections(self) -> int:
        return max(0, self._connections - 1)

    async def publish(self, topic: str, message: bytes) -> None:
        channel = self._names.channel(topic)
        accepted(await self._driver.execute(b"PUBLISH", channel, self._seal(channel + message)))

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        """Returns when Redis has confirmed it; raises `DependencyUnavailable` when it does not in time."""
        name = self._names.channel(topic)
        if (channel := self._channels.get(name)) is None:
            channel = self._channels[name] = _Channel(self._runtime.event())
            await self._ask(b"SUBSCRIBE", name)
        subscription = _RedisSubscription(self, name)
        channel.receivers[subscription] = receive
        if self._task is None:
            self._task = self._runtime.start(self._listen, name="redis bus")
        try:
            async with self._runtime.deadline(self._subscribe_timeout_s):
                while not channel.live.is_set():
                    await channel.live.wait()
        except DeadlineExceeded as error:
            await subscription.close()
            raise DependencyUnavailable(DEPENDENCY, "the subscription was not confirmed") from error
        except BaseException:
            self._drop(subscription)
            raise
        return subscription

    async def unsubscribe(self, subscription: _RedisSubscription) -> None:
        """Ends one; with the last of its channel the server is told."""
        if self._drop(subscription):
            await self._ask(b"UNSUBSCRIBE", subscription.channel)

    async def close(self) -> None:
        """Ends every subscription and the connection, and returns when it is closed."""
        self._channels.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(TaskCancelled):
                await task.wait()

    def _drop(self, subscription: _RedisSubscription) -> bool:
        """Whether it was the last of its channel."""
        channel = self._channels.get(subscription.channel)
        if channel is None or channel.receivers.pop(subscription, None) is None:
            return False
        if channel.receivers:
            return False
        del self._channels[subscription.channel]
        return True

    async def _ask(self, verb: bytes, channel: bytes) -> None:
        listener = self._listener
        if listener is None:
            return  # `_listen` subscribes whatever stands in `_channels` once it has connected.
        if verb == b"SUBSCRIBE":
            self._unanswered[channel] += 1
        try:
            await listener.send((verb, channel))
        except DependencyUnavailable:
            return  # `_listen` notices by itself and connects anew.

    async def _listen(self) -> None:
        backoff_ms = BACKOFF_MS_MIN
        while True:
            listener = self._driver.listener()
            pings: Task[None] | None = None
            try:
                await listener.connect()
                self._connections += 1
                backoff_ms = BACKOFF_MS_MIN
                await self._resubscribe(listener)
                pings = self._runtime.start(partial(self._ping, listener), name="redis bus ping")
                await self._receive_all(listener)
            except DependencyUnavailable as error:
                _logger.warning("the bus lost its connection: %s", error)
            finally:
                self._listener = None
                self._unanswered.clear()
                if pings is not None:
                    pings.cancel()
                for channel in self._channels.values():
                    if channel.live.is_set():
                        channel.live = self._runtime.event()
                await listener.close()
            await self._runtime.sleep(backoff_ms / 1_000)
            backoff_ms = min(self._backoff_ms_max, backoff_ms * 2)

    async def _resubscribe(self, listener: Listener) -> None:
        # Set first: a subscription that comes between may be asked for twice, never not at all.
        self._listener = listener
        for channel in list(self._channels):
            self._unanswered[channel] += 1
            await listener.send((b"SUBSCRIBE", channel))

    async def _receive_all(self, listener: Listener) -> None:
        """Until the connection is lost: raises `DependencyUnavailable`."""
        heard_s = self._runtime.monotonic()
        while True:
            try:
                async with self._runtime.deadline(SILENCE_S_MAX):
                    reply = await listener.receive()
            except DeadlineExceeded as error:
                raise DependencyUnavailable(DEPENDENCY, "silence") from error
            now_s = self._runtime.monotonic()
            if reply is not None:
                heard_s = now_s
                self._hear(accepted(reply))
            elif now_s - heard_s > SILENCE_S_MAX:
                raise DependencyUnavailable(DEPENDENCY, "silence")

    async def _ping(self, listener: Listener) -> None:
        try:
            while True:
                await self._runtime.sleep(PING_S)
                await listener.send((b"PING",))
        except DependencyUnavailable:
            return  # `_listen` notices by itself and connects anew.

    def _hear(self, reply: Reply) -> None:
        match reply:
            case [b"message", bytes() as name, bytes() as sealed]:
                self._deliver(name, sealed)
            case [b"subscribe", bytes() as name, _]:
                self._confirm(name)
            case _:
                return  # a pong, or the end of a subscription

    def _confirm(self, name: bytes) -> None:
        self._unanswered[name] -= 1
        if self._unanswered[name] > 0:
            return
        del self._unanswered[name]
        if (channel := self._channels.get(name)) is not None:
            channel.live.set()

    def _deliver(self, name: bytes, sealed: bytes) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        opened = self._open(sealed)
        if opened is None or not opened.startswith(name):
            _logger.warning("a message on the bus did not open and was dropped")
            return
        message = opened[len(name) :]
        for subscription, receive in list(channel.receivers.items()):
            if subscription not in channel.receivers:
                continue
            try:
                receive(message)
            except Exception:
                # The others must not lose the bus by one receiver's fault.
                _logger.exception("a receiver of the bus raised")


class _Channel:
    __slots__ = ("live", "receivers")

    def __init__(self, live: Event) -> None:
        self.live = live
        self.receivers: dict[_RedisSubscription, Callable[[bytes], None]] = {}


class _RedisSubscription:
    def __init__(self, bus: RedisBus, channel: bytes) -> None:
        self._bus = bus
        self.channel = channel

    async def close(self) -> None:
        await self._bus.unsubscribe(self)


def _proof(bus: RedisBus, subscription: _RedisSubscription) -> tuple[Bus, Subscription]:
    """mypy holds the adapter to its port here."""
    return bus, subscription
