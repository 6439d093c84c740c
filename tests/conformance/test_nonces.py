"""What every memory of nonces promises: in this process and in Redis, on asyncio and trio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from adapters.memory.identity.nonces import MemoryNonces
from adapters.redis.nonces import RedisNonces
from ports.errors import DependencyUnavailable
from ports.identity.nonces import Nonces
from ports.runtime import Runtime
from tests.conformance.limiters import START_MS, Time, connected
from tests.conformance.runtimes import Driver
from tests.servers.redis_server import RedisServer

Open = Callable[[Runtime], AbstractAsyncContextManager[Nonces]]
TTL_MS = 60_000


@pytest.fixture(params=["memory", "redis"])
def open_nonces(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":

        @asynccontextmanager
        async def in_memory(_runtime: Runtime) -> AsyncIterator[Nonces]:
            yield MemoryNonces(clock=Time())

        return in_memory
    server: RedisServer = request.getfixturevalue("redis_server")

    @asynccontextmanager
    async def in_redis(runtime: Runtime) -> AsyncIterator[Nonces]:
        async with connected(runtime, server) as driver:
            yield RedisNonces(driver=driver, naming_key=os.urandom(32))

    return in_redis


def test_a_nonce_is_used_once_by_each_owner(run_real: Driver, open_nonces: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_nonces(runtime) as nonces:
            assert await nonces.first_use("key_1", "a", ttl_ms=TTL_MS)
            assert not await nonces.first_use("key_1", "a", ttl_ms=TTL_MS)
            assert await nonces.first_use("key_1", "b", ttl_ms=TTL_MS)
            assert await nonces.first_use("key_2", "a", ttl_ms=TTL_MS)

    run_real(body)


def test_of_many_at_once_one_is_the_first(run_real: Driver, open_nonces: Open) -> None:
    async def body(runtime: Runtime) -> None:
        async with open_nonces(runtime) as nonces:
            tasks = [
                runtime.start(lambda: nonces.first_use("key_1", "a", ttl_ms=TTL_MS), name=f"caller {number}")
                for number in range(50)
            ]
            assert sorted([await task.wait() for task in tasks]) == [False] * 49 + [True]

    run_real(body)


def test_redis_forgets_a_nonce_by_itself_and_two_workers_share_it(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        key = os.urandom(32)
        async with connected(runtime, redis_server) as one, connected(runtime, redis_server) as other:
            first, second = (RedisNonces(driver=driver, naming_key=key) for driver in (one, other))
            assert await first.first_use("key_1", "a", ttl_ms=TTL_MS)
            assert not await second.first_use("key_1", "a", ttl_ms=TTL_MS)
            assert await first.first_use("key_1", "short", ttl_ms=1)
            while not await second.first_use("key_1", "short", ttl_ms=1):
                await runtime.sleep(0.001)

    run_real(body)


def test_memory_forgets_what_is_over_and_never_what_is_not(run_real: Driver) -> None:
    async def body(_runtime: Runtime) -> None:
        time = Time()
        nonces = MemoryNonces(clock=time, nonces_max=2)
        assert await nonces.first_use("key_1", "a", ttl_ms=10)
        assert await nonces.first_use("key_1", "b", ttl_ms=20)
        with pytest.raises(DependencyUnavailable):
            await nonces.first_use("key_1", "c", ttl_ms=10)
        assert not await nonces.first_use("key_1", "a", ttl_ms=10)
        time.moment_ms = START_MS + 10
        assert await nonces.first_use("key_1", "c", ttl_ms=10)
        assert not await nonces.first_use("key_1", "b", ttl_ms=10)

    run_real(body)
