"""Servers that keep their connections and say nothing: every call still ends within its bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing

import pytest

from adapters.mongo.driver.client import Bounds
from adapters.mongo.driver.connect import DriverName
from adapters.redis.driver.connect import connect
from adapters.redis.driver.interface import NotOpen, RedisListener
from adapters.redis.driver.resp import Reply
from adapters.redis.driver.single_server import AWAY_S, OPENING_S_MAX, SLOW_FAILURE_S, SingleServer
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.identity import connect_as_app
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer

PATIENCE_S = 10.0
"""Far longer than any bound set here, far shorter than the minute that a TLS handshake may take."""
HASTY = Bounds(operation_timeout_ms_max=300, server_selection_timeout_ms_max=300)


@pytest.mark.parametrize("name", ["pymongo", "motor"])
def test_a_frozen_mongod_holds_no_call_past_its_bound(name: DriverName, run_real: Driver) -> None:
    with closing(MongodServer()) as mongod:
        mongod.start()

        async def body(runtime: Runtime) -> None:
            driver = await connect_as_app(runtime, mongod, mongod.url, name, HASTY)
            things = driver.collection("things")
            await things.insert_one({"_id": 1})
            mongod.freeze()
            for _ in range(3):
                async with runtime.deadline(PATIENCE_S):
                    with pytest.raises(DependencyUnavailable):
                        await things.find_one({"_id": 1})
            mongod.thaw()
            await answers(runtime, lambda: things.find_one({"_id": 1}))
            await driver.close()

        run_real(body)


def test_a_frozen_redis_holds_no_call_past_its_bound(run_real: Driver) -> None:
    with closing(RedisServer()) as server:
        server.start()

        async def body(runtime: Runtime) -> None:
            driver = connect(runtime, url=server.url, password=server.password, connect_timeout_ms_max=300)
            assert await driver.execute("PING") == b"PONG"
            server.freeze()
            for _ in range(3):
                async with runtime.deadline(PATIENCE_S):
                    with pytest.raises(DependencyUnavailable):
                        await driver.execute("PING")
            server.thaw()
            await answers(runtime, lambda: driver.execute("PING"))
            await driver.close()

        run_real(body)


async def answers(runtime: Runtime, call: Callable[[], Awaitable[object]]) -> None:
    """Returns once a call goes through."""
    async with runtime.deadline(PATIENCE_S):
        while True:
            try:
                await call()
            except DependencyUnavailable:
                await runtime.sleep(0.05)
            else:
                return


class Frozen:
    """A server to which every attempt to connect takes its whole bound, and then fails, or does not."""

    def __init__(
        self, runtime: Runtime, *, connect_s: float = 2 * SLOW_FAILURE_S, fails: bool = True
    ) -> None:
        self._runtime = runtime
        self._connect_s = connect_s
        self._fails = fails
        self.attempts = 0
        self.is_open = False

    @property
    def connections(self) -> int:
        return 0

    def transport(self, *, timeout_ms_max: int) -> Frozen:
        assert timeout_ms_max > 0
        return self

    def listener(self) -> RedisListener:
        raise AssertionError("nobody listens here")

    async def connect(self) -> None:
        self.attempts += 1
        await self._runtime.sleep(self._connect_s)
        if self._fails:
            raise DependencyUnavailable("redis", "no answer")
        self.is_open = True

    async def exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        if not self.is_open:
            raise NotOpen
        return [b"PONG"] * len(packed)

    async def drop(self) -> None:
        return

    async def close(self) -> None:
        return


def test_after_a_slow_failure_calls_fail_at_once_for_a_while(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        server = Frozen(runtime)
        driver = SingleServer(runtime=runtime, connector=server)
        for _ in range(3):
            with pytest.raises(DependencyUnavailable):
                await driver.execute("PING")
        assert server.attempts == 1
        await runtime.sleep(2 * SLOW_FAILURE_S + AWAY_S)
        with pytest.raises(DependencyUnavailable):
            await driver.execute("PING")
        assert server.attempts == 2
        await driver.close()

    run(body)


def test_a_call_waits_for_a_connection_only_so_long_and_the_opening_goes_on_without_it(run: Driver) -> None:
    connect_s = 4 * OPENING_S_MAX

    async def body(runtime: Runtime) -> list[float]:
        server = Frozen(runtime, connect_s=connect_s, fails=False)
        driver = SingleServer(runtime=runtime, connector=server)
        waited = []
        for _ in range(3):
            began_s = runtime.monotonic()
            with pytest.raises(DependencyUnavailable, match="not connected yet"):
                await driver.execute("PING")
            waited.append(runtime.monotonic() - began_s)
        await runtime.sleep(connect_s)
        assert await driver.execute("PING") == b"PONG"
        assert server.attempts == 1
        return waited

    waited_s = run(body)
    if run.runtime == "simulated":
        assert waited_s == pytest.approx([OPENING_S_MAX, 0, 0])


def test_whoever_asks_for_the_connection_itself_waits_for_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        server = Frozen(runtime, connect_s=2 * OPENING_S_MAX, fails=False)
        driver = SingleServer(runtime=runtime, connector=server, lanes=2)
        await driver.reach()
        assert server.attempts == 2

    run(body)
