"""Readers and writers of documents on two workers, in every order that a seed can make of them.

What is held: an answer shows every write that was acknowledged before the question was asked, and
nothing that never was. A service that believes its cache, and one that keeps an answer with versions
of another moment, are found out by the same play.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.documents.cache import MemoryCache
from adapters.memory.documents.document_store import MemoryDocuments
from adapters.memory.metrics import MemoryMetrics
from application.documents.service import DocumentService
from domain.audit import AuditEvent, RequestContext
from domain.documents.document import Collection, DatabaseRole, Document, DocumentRejection
from domain.documents.queries import Equals, Query
from ports.documents.cache import Cache
from ports.documents.document_store import DocumentStore, FoundDocuments, Versions
from ports.errors import DependencyUnavailable
from ports.runtime import Task
from tests.conformance.document_stores import NOTES
from tests.seeds import examples
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation

TRAVEL_S_MAX = 0.004
CACHE_AWAY = 0.15
ROUNDS = 12
IDS = ("a", "b", "c")
OWNERS = ("ada", "bob")
CONTEXT = RequestContext(request_id="test")
QUERIES = (
    Query(NOTES),
    Query(NOTES, order_by="stars", descending=True, limit=2),
    *(Query(NOTES, (Equals("owner", owner),)) for owner in OWNERS),
)


class Outside:
    """The database and the cache that both workers reach, and how long the way to them takes."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.random = Random(simulation.random.random())
        self.documents = MemoryDocuments(audit=MemoryAuditLog())
        self.cache = MemoryCache(clock=simulation.clock())

    async def travel(self) -> None:
        await self.simulation.outside.sleep(self.random.random() * TRAVEL_S_MAX)


class FarDocuments:
    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def prepare(self, collections: Sequence[Collection]) -> None:
        await self._outside.documents.prepare(collections)

    async def get(self, collection: Collection, document_id: str) -> Document | None:
        await self._outside.travel()
        found = await self._outside.documents.get(collection, document_id)
        await self._outside.travel()
        return found

    async def find(self, query: Query) -> FoundDocuments:
        await self._outside.travel()
        found = await self._outside.documents.find(query)
        await self._outside.travel()
        return found

    async def versions(self, parts: Sequence[str]) -> Versions:
        await self._outside.travel()
        versions = await self._outside.documents.versions(parts)
        await self._outside.travel()
        return versions

    async def insert(self, collection: Collection, document: Document, event: AuditEvent) -> bool:
        await self._outside.travel()
        done = await self._outside.documents.insert(collection, document, event)
        await self._outside.travel()
        return done

    async def replace(self, collection: Collection, old: Document, new: Document, event: AuditEvent) -> bool:
        await self._outside.travel()
        done = await self._outside.documents.replace(collection, old, new, event)
        await self._outside.travel()
        return done

    async def delete(self, collection: Collection, old: Document, event: AuditEvent) -> bool:
        await self._outside.travel()
        done = await self._outside.documents.delete(collection, old, event)
        await self._outside.travel()
        return done


class TornDocuments(FarDocuments):
    """Reads the documents first and the versions after: what one snapshot is there to prevent."""

    async def find(self, query: Query) -> FoundDocuments:
        found = await super().find(query)
        return FoundDocuments(found.documents, await self.versions(query.parts))


class TrustingDocuments(FarDocuments):
    """Never tells that something was written: what a lost invalidation would be."""

    async def versions(self, parts: Sequence[str]) -> Versions:
        return dict.fromkeys(parts, "")

    async def find(self, query: Query) -> FoundDocuments:
        found = await super().find(query)
        return FoundDocuments(found.documents, await self.versions(query.parts))


class FarCache:
    """Away now and then; a value may arrive long after it was sent, over a newer one."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def get(self, name: str) -> bytes | None:
        await self._way()
        value = await self._outside.cache.get(name)
        await self._way()
        return value

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        await self._way()
        await self._outside.cache.put(name, value, ttl_ms=ttl_ms)
        await self._way()

    async def _way(self) -> None:
        await self._outside.travel()
        if self._outside.random.random() < CACHE_AWAY:
            raise DependencyUnavailable("redis", "away")


class History:
    """What was acknowledged of each id, which has one writer, and what readers saw against it."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str | None] = dict.fromkeys(IDS)
        """The revision of each; None where there is none."""
        self.begun = dict.fromkeys(IDS, 0)
        self.ended = dict.fromkeys(IDS, 0)
        self.stale: list[str] = []
        self.reads = 0

    def settled(self) -> dict[str, int]:
        """The ids that nobody writes to now, and how often they were written to."""
        return {each: count for each, count in self.ended.items() if count == self.begun[each]}


def play(seed: int, kind: type[FarDocuments]) -> tuple[History, MemoryMetrics]:
    """One writer an id, so that what is acknowledged is known exactly; readers on both workers."""
    simulation = Simulation(seed)
    outside, history, metrics = Outside(simulation), History(), MemoryMetrics()

    def worker(name: str) -> tuple[SimulatedRuntime, DocumentService]:
        runtime = simulation.process(name)
        documents: DocumentStore = kind(outside)
        cache: Cache = FarCache(outside)
        service = DocumentService(
            documents=documents,
            cache=cache,
            runtime=runtime,
            clock=simulation.clock(),
            entropy=_Entropy(outside.random),
            metrics=metrics,
        )
        service.declare(NOTES)
        return runtime, service

    async def write(service: DocumentService, document_id: str) -> None:
        for _ in range(ROUNDS):
            fields = {"owner": outside.random.choice(OWNERS), "stars": outside.random.randrange(3)}
            admin = DatabaseRole.ADMIN
            before = history.acknowledged[document_id]
            history.begun[document_id] += 1
            if before is None:
                done = await service.insert(NOTES, admin, fields, context=CONTEXT, document_id=document_id)
            elif outside.random.random() < 0.2:
                assert await service.delete(NOTES, admin, document_id, context=CONTEXT) is None
                done = None
            else:
                done = await service.update(NOTES, admin, document_id, fields, context=CONTEXT)
            assert not isinstance(done, DocumentRejection)
            history.acknowledged[document_id] = None if done is None else done.revision
            history.ended[document_id] += 1
            await outside.travel()

    async def read(service: DocumentService) -> None:
        for _ in range(ROUNDS * 2):
            query = outside.random.choice(QUERIES)
            settled = history.settled()
            page = await service.query(query)
            history.reads += 1
            shown = {document.id: document.revision for document in page.documents}
            for document_id, count in settled.items():
                # One that was written to during the call may show what it was or what it became.
                if count != history.begun[document_id]:
                    continue
                revision = history.acknowledged[document_id]
                is_asked_for = revision is not None and query is QUERIES[0]
                if shown.get(document_id, revision if not is_asked_for else None) != revision:
                    history.stale.append(f"{query.name} was wrong about {document_id}")
            await outside.travel()

    async def world() -> None:
        tasks: list[Task[None]] = []
        for name in ("first", "second"):
            runtime, service = worker(name)

            async def serve(
                service: DocumentService = service, runtime: SimulatedRuntime = runtime, name: str = name
            ) -> None:
                async with runtime.running():
                    mine = IDS[:2] if name == "first" else IDS[2:]
                    work = [
                        runtime.start(lambda each=each: write(service, each), name="writer")  # type: ignore[misc]
                        for each in mine
                    ]
                    work += [runtime.start(lambda: read(service), name="reader") for _ in range(3)]
                    for task in work:
                        await task.wait()

            tasks.append(runtime.launch(serve))
        for task in tasks:
            await task.wait()

    simulation.run(world)
    return history, metrics


class _Entropy:
    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


@given(st.integers(0, 2**32))
@settings(max_examples=examples(30), deadline=None)
def test_no_answer_is_older_than_what_was_acknowledged_before_it_was_asked_for(seed: int) -> None:
    history, metrics = play(seed, FarDocuments)
    assert history.reads > 0
    assert history.stale == []
    assert metrics.value("credit_cached_queries_total", "stale") > 0


@pytest.mark.parametrize("kind", [TornDocuments, TrustingDocuments])
def test_the_play_finds_a_store_that_tells_of_writes_too_late_or_never(kind: type[FarDocuments]) -> None:
    assert any(play(seed, kind)[0].stale for seed in range(60))


def test_the_play_comes_to_hits_too() -> None:
    hits = [play(seed, FarDocuments)[1].value("credit_cached_queries_total", "hit") for seed in range(10)]
    assert sum(hits) > 0
