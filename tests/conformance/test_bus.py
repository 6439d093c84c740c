"""What every bus promises: in memory, over Redis and over a cluster of it, on asyncio and trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from functools import partial
from typing import Any

import pytest

from adapters.memory.bus import MemoryBus
from adapters.redis.bus import (
    BEAT_S,
    BEATS_MISSED_MAX,
    CHANNELS_A_SUBSCRIBE_MAX,
    MESSAGES_A_PIPELINE_MAX,
    RedisBus,
)
from adapters.redis.driver.connect import connect
from adapters.redis.driver.interface import RedisDriver, RedisListener, accepted
from adapters.redis.driver.single_server import PIPELINE_BYTES_MAX
from adapters.redis.key_names import KeyNames
from ports.errors import DependencyUnavailable
from ports.realtime.bus import Bus, Message
from ports.runtime import Runtime
from tests.conformance.runtimes import Driver
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer

KINDS = {"redis": "server", "cluster": "cluster"}
Open = Callable[[Runtime], AbstractAsyncContextManager[Bus]]

NAMING_KEY = b"n" * 32
TEST_TIMEOUT_MS_MAX = 5_000
ARRIVAL_S_MAX = 10.0
SLACK_S = 3.0
"""A busy machine's, on top of what is promised."""


def seal(plaintext: bytes) -> bytes:
    return bytes(byte ^ 0x5A for byte in plaintext)


class Inbox:
    """Collects messages; a test waits until so many came."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._changed = runtime.event()
        self.messages: list[bytes] = []

    def receive(self, message: bytes) -> None:
        self.messages.append(message)
        self._changed.set()
        self._changed = self._runtime.event()

    async def holds(self, count: int) -> list[bytes]:
        async with self._runtime.deadline(ARRIVAL_S_MAX):
            while len(self.messages) < count:
                await self._changed.wait()
        return self.messages


@asynccontextmanager
async def redis_bus(
    runtime: Runtime, server: RedisServer | RedisCluster, naming_key: bytes = NAMING_KEY
) -> AsyncIterator[tuple[RedisBus, RedisDriver]]:
    driver = connect(
        runtime,
        url=server.url,
        password=server.password,
        decision_timeout_ms_max=TEST_TIMEOUT_MS_MAX,
        connect_timeout_ms_max=TEST_TIMEOUT_MS_MAX,
    )
    bus = RedisBus(
        runtime=runtime,
        driver=driver,
        naming_key=naming_key,
        seal=seal,
        open_sealed=seal,
        backoff_ms_max=100,
    )
    try:
        yield bus, driver
    finally:
        await bus.close()
        await driver.close()


@pytest.fixture(params=["memory", "redis", "cluster"])
def open_bus(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":

        @asynccontextmanager
        async def in_memory(_runtime: Runtime) -> AsyncIterator[Bus]:
            yield MemoryBus()

        return in_memory
    server: RedisServer | RedisCluster = request.getfixturevalue(f"redis_{KINDS[request.param]}")

    @asynccontextmanager
    async def over_redis(runtime: Runtime) -> AsyncIterator[Bus]:
        async with redis_bus(runtime, server) as (bus, _):
            yield bus

    return over_redis


def test_every_subscriber_of_a_topic_gets_its_messages_in_order_and_no_others(
    run_real: Driver, open_bus: Open
) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            first, second, other = Inbox(runtime), Inbox(runtime), Inbox(runtime)
            await bus.subscribe("room:a", first.receive)
            await bus.subscribe("room:a", second.receive)
            await bus.subscribe("room:b", other.receive)
            sent = [b"%d" % number for number in range(200)]
            for message in sent:
                await bus.publish("room:a", message)
            await bus.publish("room:b", b"")
            assert await first.holds(200) == sent
            assert await second.holds(200) == sent
            assert await other.holds(1) == [b""]

    run_real(body)


def test_nothing_is_delivered_once_a_subscription_is_closed(run_real: Driver, open_bus: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            gone, stays = Inbox(runtime), Inbox(runtime)
            subscription = await bus.subscribe("topic", gone.receive)
            await bus.subscribe("topic", stays.receive)
            await bus.publish("topic", b"1")
            await gone.holds(1)
            await subscription.close()
            await subscription.close()
            await bus.publish("topic", b"2")
            assert await stays.holds(2) == [b"1", b"2"]
            assert gone.messages == [b"1"]

    run_real(body)


def test_a_topic_subscribed_again_at_once_misses_nothing(run_real: Driver, open_bus: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            for number in range(20):
                inbox = Inbox(runtime)
                subscription = await bus.subscribe("topic", inbox.receive)
                await bus.publish("topic", b"%d" % number)
                assert await inbox.holds(1) == [b"%d" % number]
                await subscription.close()

    run_real(body)


def test_a_message_without_subscribers_is_gone(run_real: Driver, open_bus: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            inbox = Inbox(runtime)
            await bus.publish("topic", b"early")
            await bus.subscribe("topic", inbox.receive)
            await bus.publish("topic", b"late")
            assert await inbox.holds(1) == [b"late"]

    run_real(body)


def test_messages_published_together_come_in_order_topic_by_topic(run_real: Driver, open_bus: Open) -> None:
    topics, count = 7, 3 * MESSAGES_A_PIPELINE_MAX + 1

    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            inboxes = [Inbox(runtime) for _ in range(topics)]
            for number, inbox in enumerate(inboxes):
                await bus.subscribe(f"topic {number}", inbox.receive)
            await bus.publish("topic 0", b"before")
            await bus.publish_many((f"topic {number % topics}", b"%d" % number) for number in range(count))
            await bus.publish("topic 0", b"after")
            sent = [[b"%d" % number for number in range(first, count, topics)] for first in range(topics)]
            sent[0] = [b"before", *sent[0], b"after"]
            for inbox, messages in zip(inboxes, sent, strict=True):
                assert await inbox.holds(len(messages)) == messages

    run_real(body)


def test_nothing_published_together_is_nothing(run_real: Driver, open_bus: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            inbox = Inbox(runtime)
            await bus.subscribe("topic", inbox.receive)
            await bus.publish_many([])
            await bus.publish("topic", b"alone")
            assert await inbox.holds(1) == [b"alone"]

    run_real(body)


def test_messages_are_taken_as_they_go_out(run_real: Driver, open_bus: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_bus(runtime) as bus:
            inbox = Inbox(runtime)
            await bus.subscribe("topic", inbox.receive)

            def messages() -> Iterator[Message]:
                for number in range(MESSAGES_A_PIPELINE_MAX):
                    yield "topic", b"%d" % number
                raise ValueError("this one cannot be encoded")

            with pytest.raises(ValueError, match="cannot be encoded"):
                await bus.publish_many(messages())
            await bus.publish("topic", b"next")
            # What was made before the fault may have gone out or not; the bus goes on.
            async with runtime.deadline(ARRIVAL_S_MAX):
                while b"next" not in inbox.messages:
                    await runtime.sleep(0.01)
            assert inbox.messages[:-1] == [b"%d" % number for number in range(len(inbox.messages) - 1)]

    run_real(body)


# --- what only Redis has


def test_messages_published_together_share_round_trips_of_bounded_size(
    run_real: Driver, redis_server: RedisServer
) -> None:
    count, large = 10 * MESSAGES_A_PIPELINE_MAX, bytes(PIPELINE_BYTES_MAX // 4)

    async def body(runtime: Runtime) -> None:
        # Nothing is subscribed, so no beat goes out beside.
        async with redis_bus(runtime, redis_server) as (bus, driver):
            await bus.publish_many([("topic", b"%d" % number) for number in range(count)])
            assert (driver.commands, driver.pipelines) == (count, 10)
            # With what sealing and framing add, three of them fit into a pipeline.
            await bus.publish_many([("topic", large)] * 9)
            assert (driver.commands, driver.pipelines) == (count + 9, 13)

    run_real(body)


def test_when_some_are_refused_it_is_said_and_the_others_may_come(
    run_real: Driver, redis_server: RedisServer
) -> None:
    allowed = KeyNames(key=NAMING_KEY).channel("allowed").decode()
    narrow = ["reset", "on", f">{redis_server.password}", "~*", "+@all", f"&{allowed}"]

    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (listening, driver):
            accepted(await driver.execute("ACL", "SETUSER", "narrow", *narrow))
            publishing = connect(
                runtime,
                url=redis_server.url.replace(f"//{redis_server.user}@", "//narrow@"),
                password=redis_server.password,
            )
            bus = RedisBus(
                runtime=runtime, driver=publishing, naming_key=NAMING_KEY, seal=seal, open_sealed=seal
            )
            inbox = Inbox(runtime)
            await listening.subscribe("allowed", inbox.receive)
            await listening.subscribe("refused", inbox.receive)
            with pytest.raises(DependencyUnavailable, match="NOPERM"):
                await bus.publish_many([("allowed", b"1"), ("refused", b"2"), ("allowed", b"3")])
            await bus.publish("allowed", b"4")
            assert await inbox.holds(3) == [b"1", b"3", b"4"]
            await bus.close()
            await publishing.close()
            accepted(await driver.execute("ACL", "DELUSER", "narrow"))

    run_real(body)


def test_what_follows_a_lost_connection_is_not_published(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, driver):
            await bus.publish("topic", b"connected")
            made = 0

            def messages() -> Iterator[Message]:
                nonlocal made
                for number in range(10 * MESSAGES_A_PIPELINE_MAX):
                    if number == 2 * MESSAGES_A_PIPELINE_MAX:
                        redis_server.stop()
                    made += 1
                    yield "topic", b"%d" % number

            try:
                with pytest.raises(DependencyUnavailable):
                    await bus.publish_many(messages())
            finally:
                redis_server.start()
            assert made == 3 * MESSAGES_A_PIPELINE_MAX
            assert driver.connections == 1

    run_real(body)


def test_messages_reach_the_other_workers(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (one, _), redis_bus(runtime, redis_server) as (two, _):
            inbox = Inbox(runtime)
            await two.subscribe("topic", inbox.receive)
            await one.publish("topic", b"from one")
            await two.publish("topic", b"from two")
            assert await inbox.holds(2) == [b"from one", b"from two"]

    run_real(body)


def test_neither_topic_nor_message_can_be_read_in_redis(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, driver):
            inbox = Inbox(runtime)
            await bus.subscribe("user:ada", inbox.receive)
            channels = await driver.execute("PUBSUB", "CHANNELS")
            assert isinstance(channels, list)
            assert len(channels) == 2, "the topic's, and the beat's"
            assert b"ada" not in repr(channels).encode()

            listener = driver.listener()
            await listener.connect()
            await listener.send(("SUBSCRIBE", *channels))  # type: ignore[arg-type]  # channels are texts
            heard: list[object] = []
            while len(heard) < 2:
                if (reply := await listener.receive()) is not None:
                    heard.append(reply)
            await bus.publish("user:ada", b"balance 750")
            while len(heard) < 4:
                if (reply := await listener.receive()) is not None:
                    heard.append(reply)
            await listener.close()
            assert b"balance" not in repr(heard).encode()
            assert await inbox.holds(1) == [b"balance 750"]

    run_real(body)


def test_a_message_moved_to_another_channel_is_dropped(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, driver):
            inbox = Inbox(runtime)
            await bus.subscribe("b", inbox.receive)
            channels = await driver.execute("PUBSUB", "CHANNELS")
            assert isinstance(channels, list)
            foreign = seal(b"bus:{another channel}" + b"moved")
            for channel in channels:
                await driver.execute("PUBLISH", channel, foreign)  # type: ignore[arg-type]  # a text
            await bus.publish("b", b"own")
            assert await inbox.holds(1) == [b"own"]

    run_real(body)


def test_a_killed_subscription_is_told_of_as_a_gap_once_all_is_heard_again(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, driver):
            gap = Inbox(runtime)
            bus.on_gap(lambda: gap.receive(b"whole" if bus.is_whole else b"not yet"))
            inbox = Inbox(runtime)
            await bus.subscribe("topic", inbox.receive)
            assert await gap.holds(1) == [b"whole"]
            await driver.execute("CLIENT", "KILL", "TYPE", "pubsub")
            assert await gap.holds(2) == [b"whole"] * 2
            await bus.publish("topic", b"after the gap")
            assert await inbox.holds(1) == [b"after the gap"]

    run_real(body)


def test_many_topics_are_subscribed_again_in_few_commands(
    run_real: Driver, redis_server: RedisServer
) -> None:
    topics = 2 * CHANNELS_A_SUBSCRIBE_MAX + 1

    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, driver):
            gap, inbox = Inbox(runtime), Inbox(runtime)
            await bus.subscribe("first", inbox.receive)
            for start in range(0, topics, 100):
                asked = [
                    runtime.start(partial(bus.subscribe, f"topic {number}", inbox.receive), name="subscribe")
                    for number in range(start, min(topics, start + 100))
                ]
                for each in asked:
                    await each.wait()
            before = await subscribe_calls(driver)
            bus.on_gap(lambda: gap.receive(b""))
            await driver.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await gap.holds(1)
            assert await subscribe_calls(driver) == before + 3
            for number in (0, topics - 1):
                await bus.publish(f"topic {number}", b"%d" % number)
            assert await inbox.holds(2) == [b"0", b"%d" % (topics - 1)]

    run_real(body)


async def subscribe_calls(driver: RedisDriver) -> int:
    stats = await driver.execute("INFO", "commandstats")
    assert isinstance(stats, bytes)
    (line,) = (line for line in stats.splitlines() if line.startswith(b"cmdstat_subscribe:"))
    return int(line.partition(b"calls=")[2].partition(b",")[0])


class DeafAt:
    """A driver whose listeners hear another server than the one it publishes at, while it is told to."""

    def __init__(self, driver: RedisDriver, elsewhere: RedisDriver) -> None:
        self._driver, self._elsewhere = driver, elsewhere
        self.is_deaf = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def listener(self) -> RedisListener:
        return (self._elsewhere if self.is_deaf else self._driver).listener()


def test_a_listener_that_hears_another_server_is_given_up_by_its_beat(
    run_real: Driver, redis_server: RedisServer
) -> None:
    with closing(RedisServer().start()) as other_server:

        async def body(runtime: Runtime) -> None:
            elsewhere = connect(runtime, url=other_server.url, password=other_server.password)
            async with redis_bus(runtime, redis_server) as (_, driver):
                torn = DeafAt(driver, elsewhere)
                torn.is_deaf = True
                bus = RedisBus(
                    runtime=runtime, driver=torn, naming_key=NAMING_KEY, seal=seal, open_sealed=seal
                )
                inbox, gap = Inbox(runtime), Inbox(runtime)
                await bus.subscribe("topic", inbox.receive)
                torn.is_deaf = False
                bus.on_gap(lambda: gap.receive(b""))
                began_s = runtime.monotonic()
                await gap.holds(1)
                assert runtime.monotonic() - began_s < (BEATS_MISSED_MAX + 2) * BEAT_S + SLACK_S
                await bus.publish("topic", b"heard")
                assert await inbox.holds(1) == [b"heard"]
                await bus.close()
            await elsewhere.close()

        run_real(body)


def test_messages_of_a_cluster_all_go_one_way_and_reach_listeners_at_every_node(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with AsyncExitStack() as stack:
            buses = [
                (await stack.enter_async_context(redis_bus(runtime, redis_cluster)))[0] for _ in range(3)
            ]
            inboxes = [Inbox(runtime) for _ in buses]
            for bus, inbox in zip(buses, inboxes, strict=True):
                for topic in range(20):
                    await bus.subscribe(f"topic {topic}", inbox.receive)
            # In order over all topics: that is what one way for all of them gives.
            sent = [b"%d" % number for number in range(60)]
            for number, message in enumerate(sent):
                await buses[0].publish(f"topic {number % 20}", message)
            for inbox in inboxes:
                assert await inbox.holds(60) == sent

    run_real(body)


def test_a_receiver_that_raises_costs_nobody_else_the_message(
    run_real: Driver, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, _):
            inbox = Inbox(runtime)

            def broken(_message: bytes) -> None:
                raise LookupError("a bug")

            await bus.subscribe("topic", broken)
            await bus.subscribe("topic", inbox.receive)
            await bus.publish("topic", b"1")
            await bus.publish("topic", b"2")
            assert await inbox.holds(2) == [b"1", b"2"]

    run_real(body)
    assert "a receiver of the bus raised" in caplog.text


def test_after_a_lost_connection_the_subscriptions_are_there_again(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        async with redis_bus(runtime, redis_server) as (bus, _):
            inboxes = [Inbox(runtime) for _ in range(3)]
            for number, inbox in enumerate(inboxes):
                await bus.subscribe(f"topic {number}", inbox.receive)
            redis_server.restart()
            async with runtime.deadline(ARRIVAL_S_MAX):
                while not bus.reconnections:
                    await runtime.sleep(0.01)
            # Who subscribes to a topic now waits until it is live again, so nothing after that is lost.
            for number, inbox in enumerate(inboxes):
                await bus.subscribe(f"topic {number}", Inbox(runtime).receive)
                await published(runtime, bus, f"topic {number}")
                assert await inbox.holds(1) == [b"back"]

    async def published(runtime: Runtime, bus: Bus, topic: str) -> None:
        """The first publication after the restart may find the connection dead."""
        async with runtime.deadline(ARRIVAL_S_MAX):
            while True:
                try:
                    return await bus.publish(topic, b"back")
                except DependencyUnavailable:
                    await runtime.sleep(0.01)

    run_real(body)


def test_a_subscription_that_redis_does_not_confirm_is_refused_in_bounded_time(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = connect(runtime, url=redis_server.url, password="wrong")
        bus = RedisBus(
            runtime=runtime,
            driver=driver,
            naming_key=NAMING_KEY,
            seal=seal,
            open_sealed=seal,
            subscribe_timeout_ms_max=300,
            backoff_ms_max=50,
        )
        with pytest.raises(DependencyUnavailable, match="not confirmed"):
            await bus.subscribe("topic", Inbox(runtime).receive)
        await bus.close()

    run_real(body)
