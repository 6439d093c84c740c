"""Cached queries of two workers on a real MongoDB and a real Redis, which fail."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import pytest

from adapters.memory.metrics import MemoryMetrics
from adapters.redis.driver.connect import connect
from adapters.runtime.system import SystemClock, SystemEntropy
from application.documents.service import DocumentService
from domain.audit import RequestContext
from domain.documents.document import DatabaseRole, Document
from domain.documents.queries import Equals, Query
from ports.documents.cache import Cache
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.document_stores import NOTES, mongo_documents
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver, run_real
from tests.conformance.test_cache import redis_cache
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer

__all__ = ["run_real"]

CONTEXT = RequestContext(request_id="test")
ADAS = Query(NOTES, (Equals("owner", "ada"),), order_by="stars")
ADMIN = DatabaseRole.ADMIN


@dataclass(frozen=True, slots=True)
class Worker:
    service: DocumentService
    metrics: MemoryMetrics

    async def add(self, stars: int) -> None:
        fields = {"owner": "ada", "stars": stars}
        assert isinstance(await self.service.insert(NOTES, ADMIN, fields, context=CONTEXT), Document)

    async def stars(self) -> list[int]:
        return [document.fields["stars"] for document in (await self.service.query(ADAS)).documents]

    def counted(self, outcome: str) -> float:
        return self.metrics.value("credit_cached_queries_total", outcome)


class Gate:
    """Holds back what is put into a cache until it is opened."""

    def __init__(self, cache: Cache, runtime: Runtime) -> None:
        self._cache = cache
        self.reached, self.open = runtime.event(), runtime.event()

    async def get(self, name: str) -> bytes | None:
        return await self._cache.get(name)

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        self.reached.set()
        await self.open.wait()
        await self._cache.put(name, value, ttl_ms=ttl_ms)


@asynccontextmanager
async def a_worker(
    runtime: Runtime, mongod: MongodServer, mongo_url: str, redis: RedisServer, redis_port: int, key: bytes
) -> AsyncIterator[Worker]:
    driver = connect(
        runtime,
        url=redis.url.replace(f":{redis.port}", f":{redis_port}"),
        password=redis.password,
        decision_timeout_ms_max=2_000,
    )
    metrics = MemoryMetrics()
    async with mongo_documents(runtime, mongod, mongo_url) as (documents, _):
        service = DocumentService(
            documents=documents,
            cache=redis_cache(driver, key=key),
            runtime=runtime,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            metrics=metrics,
        )
        service.declare(NOTES)
        try:
            yield Worker(service, metrics)
        finally:
            await driver.close()


def test_a_write_whose_worker_cannot_reach_redis_is_seen_at_once_by_one_that_can(
    run_real: Driver, mongod: MongodServer, redis_server: RedisServer
) -> None:
    proxy, key = FaultProxy(redis_server.port), os.urandom(32)
    with proxy.running(), database_of_its_own(mongod) as url:

        async def body(runtime: Runtime) -> None:
            async with (
                a_worker(runtime, mongod, url, redis_server, redis_server.port, key) as near,
                a_worker(runtime, mongod, url, redis_server, proxy.port, key) as far,
            ):
                await near.add(1)
                assert await near.stars() == await far.stars() == [1]
                assert (near.counted("miss"), far.counted("hit")) == (1, 1)
                proxy.refuse()
                await far.add(2)
                assert await near.stars() == [1, 2]
                assert await far.stars() == [1, 2]
                assert (near.counted("stale"), far.counted("unavailable")) == (1, 1)
                await near.add(3)
                proxy.heal()
                assert await far.stars() == [1, 2, 3]
                assert await near.stars() == [1, 2, 3]
                assert near.counted("hit") == 1

        run_real(body)


def test_an_answer_that_is_put_there_late_is_never_believed(
    run_real: Driver, mongod: MongodServer, redis_server: RedisServer
) -> None:
    """The reader read before the write, and its answer reaches Redis after that of a reader after it."""
    key = os.urandom(32)
    with database_of_its_own(mongod) as url:

        async def body(runtime: Runtime) -> None:
            port = redis_server.port
            async with (
                a_worker(runtime, mongod, url, redis_server, port, key) as quick,
                a_worker(runtime, mongod, url, redis_server, port, key) as slow,
            ):
                await quick.add(1)
                gate = Gate(slow.service._cache, runtime)
                slow.service._cache = gate
                reading = runtime.start(slow.stars, name="slow reader")
                await gate.reached.wait()
                await quick.add(2)
                assert await quick.stars() == [1, 2]
                gate.open.set()
                assert await reading.wait() == [1]
                assert await quick.stars() == [1, 2]
                assert quick.counted("stale") == 1
                assert await slow.stars() == [1, 2]
                assert slow.counted("hit") == 1

        run_real(body)


def test_a_flushed_redis_costs_a_read_and_nothing_else(
    run_real: Driver, mongod: MongodServer, redis_server: RedisServer
) -> None:
    key = os.urandom(32)
    with database_of_its_own(mongod) as url:

        async def body(runtime: Runtime) -> None:
            async with a_worker(runtime, mongod, url, redis_server, redis_server.port, key) as worker:
                await worker.add(1)
                assert await worker.stars() == await worker.stars() == [1]
                driver = connect(runtime, url=redis_server.url, password=redis_server.password)
                await driver.execute("FLUSHALL")
                await driver.close()
                assert await worker.stars() == [1]
                assert (worker.counted("miss"), worker.counted("hit")) == (2, 1)

        run_real(body)


def test_a_cached_answer_is_refused_while_mongod_cannot_say_whether_it_is_true(
    run_real: Driver, redis_server: RedisServer
) -> None:
    key = os.urandom(32)
    with closing(MongodServer()) as mongod:
        mongod.start()

        async def body(runtime: Runtime) -> None:
            async with a_worker(runtime, mongod, mongod.url, redis_server, redis_server.port, key) as worker:
                await worker.add(1)
                assert await worker.stars() == [1]
                mongod.kill()
                with pytest.raises(DependencyUnavailable):
                    await worker.stars()
                mongod.start()
                await worker.add(2)
                assert await worker.stars() == [1, 2]

        run_real(body)
