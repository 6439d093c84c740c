"""Limiters under test, with a time that the test moves."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest

from adapters.memory.limits.limiter import MemoryLimiter
from adapters.redis.driver.connect import connect
from adapters.redis.driver.interface import RedisDriver
from adapters.redis.limits.limiter import RedisLimiter
from domain.limits.admission import Admission, Charge, Identifier, IdentifierType
from domain.limits.bans import BanPolicy
from domain.limits.windows import Algorithm, Policy
from ports.limits.limiter import Limiter
from ports.runtime import Runtime
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer

START_MS = 1_800_000_000_000
SEAL_MASK = 0x5A
TEST_TIMEOUT_MS_MAX = 5_000
"""The rules are tested here, not how fast a busy machine answers."""

ADDRESS = Identifier(IdentifierType.IP, "192.0.2.7")
USER = Identifier(IdentifierType.USER, "usr_1")
ACCOUNT_NAME = Identifier(IdentifierType.ACCOUNT_NAME, "ada@example.org")
API_KEY = Identifier(IdentifierType.API_KEY, "key_1")
BAN_POLICY = BanPolicy(threshold=2, base_ms=60_000, max_ms=600_000, half_life_ms=3_600_000)


def policy(limit: int = 3, period_ms: int = 60_000, name: str = "ip") -> Policy:
    return Policy(name, limit, period_ms, Algorithm.FIXED_WINDOW)


@dataclass
class Time:
    """A clock that stands still until it is moved."""

    moment_ms: int = START_MS

    def now_ms(self) -> int:
        return self.moment_ms


def seal(plaintext: bytes) -> bytes:
    return bytes(byte ^ SEAL_MASK for byte in plaintext)


def redis_limiter(driver: RedisDriver, time: Time | None, ban_policy: BanPolicy = BAN_POLICY) -> RedisLimiter:
    return RedisLimiter(
        driver=driver,
        ban_policy=ban_policy,
        naming_key=os.urandom(32),
        seal=seal,
        open_sealed=seal,
        now_ms=None if time is None else time.now_ms,
    )


@asynccontextmanager
async def connected(runtime: Runtime, server: RedisServer | RedisCluster) -> AsyncIterator[RedisDriver]:
    driver = connect(
        runtime,
        url=server.url,
        password=server.password,
        decision_timeout_ms_max=TEST_TIMEOUT_MS_MAX,
        connect_timeout_ms_max=TEST_TIMEOUT_MS_MAX,
    )
    try:
        yield driver
    finally:
        await driver.close()


class Open(Protocol):
    """Opens a fresh limiter."""

    def __call__(
        self, runtime: Runtime, time: Time, ban_policy: BanPolicy = BAN_POLICY, /
    ) -> AbstractAsyncContextManager[Limiter]: ...


@pytest.fixture(params=["memory", "redis", "redis cluster"])
def open_limiter(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":

        @asynccontextmanager
        async def in_memory(
            _runtime: Runtime, time: Time, ban_policy: BanPolicy = BAN_POLICY
        ) -> AsyncIterator[Limiter]:
            yield MemoryLimiter(clock=time, ban_policy=ban_policy)

        return in_memory
    name = "redis_server" if request.param == "redis" else "redis_cluster"
    server: RedisServer | RedisCluster = request.getfixturevalue(name)

    @asynccontextmanager
    async def in_redis(
        runtime: Runtime, time: Time, ban_policy: BanPolicy = BAN_POLICY
    ) -> AsyncIterator[Limiter]:
        async with connected(runtime, server) as driver:
            yield redis_limiter(driver, time, ban_policy)

    return in_redis


async def ask(limiter: Limiter, *charges: Charge, session: str | None = None) -> Admission:
    return await limiter.decide(charges, session=session, jitter=0.0)


async def gather(runtime: Runtime, work: Callable[[], Awaitable[Admission]], count: int) -> list[Admission]:
    tasks = [runtime.start(work, name=f"caller {number}") for number in range(count)]
    return [await task.wait() for task in tasks]
