"""The bus over Redis's publish and subscribe: one subscribing connection a process.

A subscription can be deaf without a sign: its connection may be good and its server the wrong one. So the
bus goes by three rules. A subscription on a new connection has a gap before it, always. A beat goes to the
process itself once a second, by the way that all messages go, and is missed when it does not come back. And
the beat writes, for a replica takes messages too, and hands them to none of the master's subscribers.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from secrets import token_hex

from adapters.redis.driver.interface import DEPENDENCY, RedisDriver, RedisListener, accepted
from adapters.redis.driver.resp import Reply, pack
from adapters.redis.driver.single_server import PIPELINE_COMMANDS_MAX
from adapters.redis.key_names import KeyNames
from ports.errors import DependencyUnavailable
from ports.realtime.bus import Bus, Message, Subscription
from ports.runtime import DeadlineExceeded, Event, Runtime, Task, TaskCancelled

SUBSCRIBE_TIMEOUT_MS_MAX = 5_000
BACKOFF_MS_MIN = 50
BACKOFF_MS_MAX = 2_000
PING_S = 1.0
SILENCE_S_MAX = 5.0
"""A connection that says nothing for so long, not even a pong, is lost."""
BEAT_S = 1.0
BEATS_MISSED_MAX = 3
"""So many beats that Redis took, and that were not heard: the listener hears another server, or none."""
BEAT_AGE_S_MAX = 6.0
"""A process that has not heard itself for so long is deaf: detectors and a new connection had their time."""
BEAT_TTL_MS = 10_000
CONNECTION_AGE_S_MIN = 5.0
"""A connection is not given up sooner because of another driver's finding: each time has a gap."""
CHANNELS_A_SUBSCRIBE_MAX = 500
MESSAGES_A_PIPELINE_MAX = PIPELINE_COMMANDS_MAX

_logger = logging.getLogger(__name__)


class RedisBus:
    """Channels are named by HMAC and messages sealed, each with its channel inside, so that one moved to
    another channel does not open there.

    A lost connection is made again, with its subscriptions; messages of the gap are lost, as at-most-once
    allows, and the callbacks of `on_gap` are told.

    In a cluster every message goes to the node of one slot, which hands it to all the others: so messages
    of different topics come in the order of their publisher, and a beat tries the way that all of them go.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        driver: RedisDriver,
        naming_key: bytes,
        seal: Callable[[bytes], bytes],
        open_sealed: Callable[[bytes], bytes | None],
        subscribe_timeout_ms_max: int = SUBSCRIBE_TIMEOUT_MS_MAX,
        backoff_ms_max: int = BACKOFF_MS_MAX,
    ) -> None:
        self._runtime = runtime
        self._driver = driver
        self._names = KeyNames(key=naming_key)
        self._seal = seal
        self._open = open_sealed
        self._subscribe_timeout_s = subscribe_timeout_ms_max / 1_000
        self._backoff_ms_max = backoff_ms_max
        self._channels: dict[bytes, _Channel] = {}
        # SUBSCRIBEs not answered yet: a channel is live when the last of them is.
        self._unanswered: Counter[bytes] = Counter()
        self._listener: RedisListener | None = None
        self._task: Task[None] | None = None
        self._connections = 0
        self._on_gap: list[Callable[[], None]] = []
        # Those of a new connection that are not confirmed yet; None while there is no connection.
        self._unsettled: set[bytes] | None = None
        name = token_hex(16)
        self._beat_key, self._beat_channel = self._names.beat(name), self._names.channel(f"beat:{name}")
        # Numbers of beats: the last one that was sent, that Redis took, that came back.
        self._beat_sent = self._beat_taken = self._beat_heard = 0
        self._heard_itself_s = runtime.monotonic()
        self._lost = ""
        """Why there is no connection; empty while there is one."""

    @property
    def reconnections(self) -> int:
        return max(0, self._connections - 1)

    @property
    def is_whole(self) -> bool:
        return self._unsettled is not None and not self._unsettled

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._on_gap.append(callback)

    async def publish(self, topic: str, message: bytes) -> None:
        await self._publish(self._names.channel(topic), message)

    async def publish_many(self, messages: Iterable[Message]) -> None:
        """One pipeline after another, so that a call of any length holds neither the event loop nor the
        beat up; the driver bounds their bytes. The first one that is not taken whole is the last."""
        left = iter(messages)
        while some := list(islice(left, MESSAGES_A_PIPELINE_MAX)):
            packed = [self._publication(self._names.channel(topic), message) for topic, message in some]
            for reply in await self._driver.execute_all_packed(packed, self._names.bus_route):
                accepted(reply)

    async def _publish(self, channel: bytes, message: bytes) -> None:
        packed = self._publication(channel, message)
        accepted(await self._driver.execute_packed(packed, self._names.bus_route))

    def _publication(self, channel: bytes, message: bytes) -> bytes:
        return pack((b"PUBLISH", channel, self._seal(channel + message)))

    def check_hearing(self) -> None:
        """Raises `DependencyUnavailable` when messages of this process do not come back to it."""
        if self._task is not None and self._runtime.monotonic() - self._heard_itself_s > BEAT_AGE_S_MAX:
            raise DependencyUnavailable(DEPENDENCY, "what is published is not heard")

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        """Returns when Redis has confirmed it; raises `DependencyUnavailable` when it does not in time."""
        name = self._names.channel(topic)
        if self._task is None:
            # First of all, so that a subscriber of any topic hears the beat, too.
            self._channels[self._beat_channel] = _Channel(self._runtime.event())
        if (channel := self._channels.get(name)) is None:
            channel = self._channels[name] = _Channel(self._runtime.event())
            await self._ask(b"SUBSCRIBE", name)
        subscription = _RedisSubscription(self, name)
        channel.receivers[subscription] = receive
        if self._task is None:
            self._heard_itself_s = self._runtime.monotonic()
            self._task = self._runtime.start(self._listen, name="redis bus")
        try:
            async with self._runtime.deadline(self._subscribe_timeout_s):
                while not channel.live.is_set():
                    await channel.live.wait()
        except DeadlineExceeded as error:
            await subscription.close()
            what = "the subscription was not confirmed"
            raise DependencyUnavailable(
                DEPENDENCY, f"{self._lost}; {what}" if self._lost else what
            ) from error
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
            return  # `_listen` subscribes all of `_channels` once it has connected.
        if verb == b"SUBSCRIBE":
            self._unanswered[channel] += 1
        try:
            await listener.send((verb, channel))
        except DependencyUnavailable:
            return  # `_listen` notices by itself and connects anew.

    async def _listen(self) -> None:
        backoff_ms = BACKOFF_MS_MIN
        beats = self._runtime.start(self._beat, name="redis bus beat")
        try:
            while True:
                if await self._hear_one_connection():
                    backoff_ms = BACKOFF_MS_MIN
                await self._runtime.sleep(backoff_ms / 1_000)
                backoff_ms = min(self._backoff_ms_max, backoff_ms * 2)
        finally:
            beats.cancel()

    async def _hear_one_connection(self) -> bool:
        """Returns when it is lost; whether there was one."""
        # A connection that is opened from here on is not older than this generation.
        generation, listener = self._driver.generation, self._driver.listener()
        pings: Task[None] | None = None
        was_connected = False
        try:
            await listener.connect()
            self._connections += 1
            self._lost = ""
            was_connected = True
            await self._resubscribe(listener)
            pings = self._runtime.start(partial(self._ping, listener), name="redis bus ping")
            await self._receive_all(listener, generation)
        except DependencyUnavailable as error:
            if was_connected or error.reason != self._lost:  # Not at every attempt, every two seconds.
                _logger.warning("the bus lost its connection: %s", error)
            self._lost = error.reason
        finally:
            self._listener = self._unsettled = None
            self._beat_heard = self._beat_taken
            self._unanswered.clear()
            if pings is not None:
                pings.cancel()
            for channel in self._channels.values():
                if channel.live.is_set():
                    channel.live = self._runtime.event()
            await listener.close()
        return was_connected

    async def _resubscribe(self, listener: RedisListener) -> None:
        # Set first: a subscription that comes between may be asked for twice, never not at all.
        self._listener = listener
        channels = list(self._channels)
        self._unsettled = set(channels)
        for start in range(0, len(channels), CHANNELS_A_SUBSCRIBE_MAX):
            some = channels[start : start + CHANNELS_A_SUBSCRIBE_MAX]
            self._unanswered.update(some)
            await listener.send((b"SUBSCRIBE", *some))

    async def _receive_all(self, listener: RedisListener, generation: int) -> None:
        """Until the connection is lost, or not believed any more: raises `DependencyUnavailable`.

        Every pong is an occasion to look, so that nothing has to break into a read."""
        connected_s = heard_s = self._runtime.monotonic()
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
            if self._beat_taken - self._beat_heard >= BEATS_MISSED_MAX:
                raise DependencyUnavailable(DEPENDENCY, "it does not hear what it publishes")
            if self._driver.generation != generation and now_s - connected_s >= CONNECTION_AGE_S_MIN:
                raise DependencyUnavailable(DEPENDENCY, "its server is not the one wanted")

    async def _beat(self) -> None:
        """By the connection that publishes; only what Redis took can be missed."""
        write = pack((b"SET", self._beat_key, 1, b"PX", BEAT_TTL_MS))
        while True:
            await self._runtime.sleep(BEAT_S)
            self._beat_sent = number = self._beat_sent + 1
            try:
                # That it is the wrong server is what matters, and the driver sees to that.
                await self._driver.execute_packed(write, self._names.bus_route)
                await self._publish(self._beat_channel, b"%d" % number)
            except DependencyUnavailable:
                continue
            if self.is_whole:
                self._beat_taken = number

    async def _ping(self, listener: RedisListener) -> None:
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
        if self._unsettled and name in self._unsettled:
            self._unsettled.discard(name)
            if not self._unsettled:
                self._end_gap()

    def _end_gap(self) -> None:
        self._beat_heard = self._beat_taken = self._beat_sent
        for callback in self._on_gap:
            try:
                callback()
            except Exception:
                # The others must hear of it, and the bus must go on.
                _logger.exception("a watcher of the bus raised")

    def _deliver(self, name: bytes, sealed: bytes) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        opened = self._open(sealed)
        if opened is None or not opened.startswith(name):
            _logger.warning("a message on the bus did not open and was dropped")
            return
        message = opened[len(name) :]
        if name == self._beat_channel:
            self._beat_heard, self._heard_itself_s = int(message), self._runtime.monotonic()
            return
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
