"""What every cache promises: to give back what was put there, or nothing."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import pytest

from adapters.crypto.sealing import AesGcmSealer
from adapters.memory.documents.cache import MemoryCache
from adapters.redis.cache import RedisCache
from adapters.redis.driver.interface import RedisDriver
from adapters.runtime.system import SystemClock, SystemEntropy
from ports.documents.cache import VALUE_BYTES_MAX, Cache
from ports.runtime import Runtime
from tests.conformance.limiters import Time, connected
from tests.conformance.runtimes import Driver
from tests.servers.redis_server import RedisServer

LONG_MS = 60_000
OnCache = Callable[[Callable[[Runtime, Cache], Awaitable[None]]], None]


def redis_cache(driver: RedisDriver, *, key: bytes | None = None, places: int = 4_096) -> RedisCache:
    root = key or os.urandom(32)
    sealer = AesGcmSealer(root_key=root, purpose="cache", entropy=SystemEntropy())
    return RedisCache(
        driver=driver, naming_key=root, seal=sealer.seal, open_sealed=sealer.open, places=places
    )


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest, run_real: Driver) -> OnCache:
    def on_memory(body: Callable[[Runtime, Cache], Awaitable[None]]) -> None:
        async def main(runtime: Runtime) -> None:
            await body(runtime, MemoryCache(clock=SystemClock()))

        run_real(main)

    def on_redis(body: Callable[[Runtime, Cache], Awaitable[None]]) -> None:
        server: RedisServer = request.getfixturevalue("redis_server")

        async def main(runtime: Runtime) -> None:
            async with connected(runtime, server) as driver:
                await body(runtime, redis_cache(driver))

        run_real(main)

    return on_memory if request.param == "memory" else on_redis


def test_what_was_put_is_given_back(cache: OnCache) -> None:
    async def body(_runtime: Runtime, cache: Cache) -> None:
        assert await cache.get("a") is None
        await cache.put("a", b"one", ttl_ms=LONG_MS)
        await cache.put("b", b"", ttl_ms=LONG_MS)
        await cache.put("é\0" * 1_000, bytes(range(256)), ttl_ms=LONG_MS)
        assert await cache.get("a") == b"one"
        assert await cache.get("b") == b""
        assert await cache.get("é\0" * 1_000) == bytes(range(256))
        await cache.put("a", b"two", ttl_ms=LONG_MS)
        assert await cache.get("a") == b"two"

    cache(body)


def test_it_is_forgotten_in_time(cache: OnCache) -> None:
    async def body(runtime: Runtime, cache: Cache) -> None:
        await cache.put("a", b"one", ttl_ms=20)
        while await cache.get("a") is not None:
            await runtime.sleep(0.005)

    cache(body)


def test_a_value_over_the_bound_is_refused(cache: OnCache) -> None:
    async def body(_runtime: Runtime, cache: Cache) -> None:
        await cache.put("a", bytes(VALUE_BYTES_MAX), ttl_ms=LONG_MS)
        assert await cache.get("a") == bytes(VALUE_BYTES_MAX)
        with pytest.raises(ValueError, match=str(VALUE_BYTES_MAX)):
            await cache.put("a", bytes(VALUE_BYTES_MAX + 1), ttl_ms=LONG_MS)

    cache(body)


def test_memory_forgets_the_least_recently_used(run_real: Driver) -> None:
    async def body(_runtime: Runtime) -> None:
        cache = MemoryCache(clock=Time(), entries_max=2)
        for name in ("a", "b"):
            await cache.put(name, name.encode(), ttl_ms=LONG_MS)
        assert await cache.get("a") == b"a"
        await cache.put("c", b"c", ttl_ms=LONG_MS)
        assert [await cache.get(name) for name in ("a", "b", "c")] == [b"a", None, b"c"]

    run_real(body)


def test_redis_holds_no_more_keys_than_places_each_for_a_time(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            await driver.execute("FLUSHALL")
            cache = redis_cache(driver, places=3)
            for number in range(20):
                await cache.put(f"name {number}", b"%d" % number, ttl_ms=LONG_MS)
            keys = await driver.execute("KEYS", "*")
            assert isinstance(keys, list)
            assert len(keys) == 3
            for key in keys:
                assert isinstance(key, bytes)
                left_ms = await driver.execute("PTTL", key)
                assert isinstance(left_ms, int)
                assert 0 < left_ms <= LONG_MS
            given = [await cache.get(f"name {number}") for number in range(20)]
            # One that was pushed out is not there; it never is another's value.
            assert [value for number, value in enumerate(given) if value not in (None, b"%d" % number)] == []
            assert sum(value is not None for value in given) == 3

    run_real(body)


def test_nothing_in_redis_tells_names_or_values_and_nothing_forged_opens(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_server) as driver:
            await driver.execute("FLUSHALL")
            key = os.urandom(32)
            cache = redis_cache(driver, key=key)
            await cache.put("query of alice", b"the secret answer", ttl_ms=LONG_MS)
            (place,) = await driver.execute("KEYS", "*")  # type: ignore[misc]
            assert isinstance(place, bytes)
            sealed = await driver.execute("GET", place)
            assert isinstance(sealed, bytes)
            assert b"alice" not in place
            assert b"secret" not in sealed
            # Another worker with the same root key reads it; one with another key does not.
            assert await redis_cache(driver, key=key).get("query of alice") == b"the secret answer"
            assert await redis_cache(driver).get("query of alice") is None
            for forged in (b"", b"x", sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\0" * 200):
                await driver.execute("SET", place, forged)
                assert await cache.get("query of alice") is None

    run_real(body)
