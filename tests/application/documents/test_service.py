"""Roles, audit and the cache of plugins' documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.documents.cache import MemoryCache
from adapters.memory.documents.document_store import MemoryDocuments
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemEntropy
from application.documents.service import DocumentService
from domain.audit import AuditFilter, RequestContext
from domain.documents.document import Collection, DatabaseRole, Document, DocumentRejection, Fields
from domain.documents.queries import Equals, Query
from ports.documents.document_store import FoundDocuments
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.document_stores import NOTES
from tests.conformance.limiters import Time
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

CONTEXT = RequestContext(request_id="req-1", address="192.0.2.1", actor="user:usr_1")
WRITER, ADMIN = DatabaseRole.READ_WRITE, DatabaseRole.ADMIN
ADAS = Query(NOTES, (Equals("owner", "ada"),), limit=2)


class CountedDocuments(MemoryDocuments):
    finds = 0
    looks = 0

    async def find(self, query: Query) -> FoundDocuments:
        self.finds += 1
        return await super().find(query)

    async def versions(self, parts: Any) -> Any:
        self.looks += 1
        return await super().versions(parts)


class SwitchedCache(MemoryCache):
    is_away = False

    async def get(self, name: str) -> bytes | None:
        self._answer()
        return await super().get(name)

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        self._answer()
        await super().put(name, value, ttl_ms=ttl_ms)

    def _answer(self) -> None:
        if self.is_away:
            raise DependencyUnavailable("redis", "switched off")


@dataclass
class House:
    runtime: Runtime
    audit: MemoryAuditLog = field(default_factory=MemoryAuditLog)
    cache: SwitchedCache = field(default_factory=lambda: SwitchedCache(clock=Time()))
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)

    def __post_init__(self) -> None:
        self.store = CountedDocuments(audit=self.audit)
        self.service = self.worker()

    def worker(self) -> DocumentService:
        service = DocumentService(
            documents=self.store,
            cache=self.cache,
            runtime=self.runtime,
            clock=Time(),
            entropy=SystemEntropy(),
            metrics=self.metrics,
        )
        service.declare(NOTES)
        return service

    async def insert(self, fields: Fields, document_id: str | None = None) -> Document:
        document = await self.service.insert(NOTES, WRITER, fields, context=CONTEXT, document_id=document_id)
        assert isinstance(document, Document)
        return document

    def outcomes(self) -> dict[str, float]:
        names = ("hit", "miss", "stale", "unavailable")
        return {name: self.metrics.value("credit_cached_queries_total", name) for name in names}


def test_the_second_asking_is_answered_from_the_cache_on_every_worker(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        documents = [await house.insert({"owner": "ada"}, f"d{number}") for number in range(3)]
        first = await house.service.query(ADAS)
        assert list(first.documents) == documents[:2]
        assert first.next == ADAS.position_of(documents[1])
        again = await house.worker().query(ADAS)
        assert again == first
        assert house.store.finds == 1
        assert house.outcomes() == {"hit": 1, "miss": 1, "stale": 0, "unavailable": 0}

    run(body)


@pytest.mark.parametrize("write", ["insert", "update", "move in", "move out", "delete"])
def test_a_write_makes_cached_answers_stale_at_once_on_every_worker(run: Driver, write: str) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        other = house.worker()
        ada, bob = await house.insert({"owner": "ada"}, "a"), await house.insert({"owner": "bob"}, "b")
        everything = Query(NOTES)
        for query in (ADAS, everything):
            await other.query(query)
        match write:
            case "insert":
                await house.insert({"owner": "ada"}, "c")
            case "update":
                await house.service.update(NOTES, WRITER, ada.id, {"stars": 1}, context=CONTEXT)
            case "move in":
                await house.service.update(NOTES, WRITER, bob.id, {"owner": "ada"}, context=CONTEXT)
            case "move out":
                await house.service.update(NOTES, WRITER, ada.id, {"owner": "bob"}, context=CONTEXT)
            case _:
                await house.service.delete(NOTES, ADMIN, ada.id, context=CONTEXT)
        for query in (ADAS, everything):
            found = await house.store.find(query)
            assert (await other.query(query)).documents == tuple(found.documents)
        assert house.outcomes()["stale"] == 2

    run(body)


def test_a_write_to_another_part_leaves_a_partitioned_answer_in_the_cache(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        await house.insert({"owner": "ada"})
        await house.service.query(ADAS)
        await house.insert({"owner": "bob"})
        await house.service.query(ADAS)
        assert house.outcomes()["hit"] == 1

    run(body)


def test_without_the_cache_everything_works_and_what_was_written_meanwhile_is_seen_after(
    run: Driver,
) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        await house.insert({"owner": "ada"}, "a")
        await house.service.query(ADAS)
        house.cache.is_away = True
        assert len((await house.service.query(ADAS)).documents) == 1
        await house.insert({"owner": "ada"}, "b")
        house.cache.is_away = False
        # The cache still holds the old answer, and nobody could tell it: the versions do.
        assert len((await house.service.query(ADAS)).documents) == 2
        assert house.outcomes() == {"hit": 0, "miss": 1, "stale": 1, "unavailable": 1}

    run(body)


def test_hits_at_once_share_one_look_at_the_versions(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        await house.insert({"owner": "ada"})
        await house.service.query(ADAS)
        tasks = [runtime.start(lambda: house.service.query(ADAS), name="query") for _ in range(50)]
        pages = [await task.wait() for task in tasks]
        assert len({page.documents[0].id for page in pages}) == 1
        assert house.outcomes()["hit"] == 50
        assert house.store.looks < 50

    run(body)


def test_an_answer_too_large_to_keep_is_given_all_the_same(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        for number in range(2):
            await house.insert({"owner": "ada", "text": "x" * 40_000}, f"d{number}")
        for _ in range(2):
            assert len((await house.service.query(ADAS)).documents) == 2
        assert house.outcomes()["miss"] == 2

    run(body)


def test_every_write_is_audited_with_who_and_what(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        await house.insert({"owner": "ada"}, "a")
        await house.service.update(NOTES, WRITER, "a", {"stars": 1, "owner": "bob"}, context=CONTEXT)
        await house.service.delete(NOTES, ADMIN, "a", context=CONTEXT)
        events = (await house.audit.find(AuditFilter(), limit=10, cursor=None)).items
        assert sorted(event.action.value for event in events) == [
            "document.deleted",
            "document.inserted",
            "document.updated",
        ]
        assert {(event.actor, event.resource, event.address) for event in events} == {
            ("user:usr_1", "document:notes.note/a", "192.0.2.1")
        }
        # The names of what was changed, and no value.
        assert {event.action.value: dict(event.detail) for event in events} == {
            "document.inserted": {},
            "document.updated": {"fields": "owner,stars"},
            "document.deleted": {},
        }

    run(body)


def test_what_is_refused_leaves_no_trace(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        document = await house.insert({"owner": "ada", "text": "x"}, "a")
        service, reader = house.service, DatabaseRole.READ_ONLY
        say: Any = {"context": CONTEXT}
        answers = [
            await service.insert(NOTES, reader, {}, **say),
            await service.update(NOTES, reader, "a", {}, **say),
            await service.delete(NOTES, WRITER, "a", **say),
            await service.insert(NOTES, WRITER, {}, document_id="no id", **say),
            await service.insert(NOTES, WRITER, {"owner": 1}, **say),
            await service.insert(NOTES, WRITER, {}, document_id="a", **say),
            await service.update(NOTES, WRITER, "b", {}, **say),
            await service.update(NOTES, WRITER, "a", {"$set": 1}, **say),
            await service.update(NOTES, WRITER, "a", {}, revision="another", **say),
            await service.delete(NOTES, ADMIN, "a", revision="another", **say),
            await service.delete(NOTES, ADMIN, "no such id", **say),
        ]
        assert answers == [
            DocumentRejection.ROLE_FORBIDS,
            DocumentRejection.ROLE_FORBIDS,
            DocumentRejection.ROLE_FORBIDS,
            DocumentRejection.INVALID_ID,
            DocumentRejection.DECLARED_KIND_DIFFERS,
            DocumentRejection.DOCUMENT_EXISTS,
            DocumentRejection.DOCUMENT_NOT_FOUND,
            DocumentRejection.INVALID_FIELD_NAME,
            DocumentRejection.REVISION_DIFFERS,
            DocumentRejection.REVISION_DIFFERS,
            DocumentRejection.DOCUMENT_NOT_FOUND,
        ]
        assert await service.get(NOTES, "a") == document
        assert len((await house.audit.find(AuditFilter(), limit=10, cursor=None)).items) == 1

    run(body)


def test_updates_at_once_lose_nothing(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        await house.insert({}, "a")
        names = [f"field_{number}" for number in range(4)]

        async def update(name: str) -> object:
            return await house.service.update(NOTES, WRITER, "a", {name: 1}, context=CONTEXT)

        tasks = [runtime.start(lambda name=name: update(name), name=name) for name in names]  # type: ignore[misc]
        assert all([isinstance(await task.wait(), Document) for task in tasks])
        document = await house.service.get(NOTES, "a")
        assert document is not None
        assert set(names) <= set(document.fields)

    run(body)


def test_what_was_given_can_change_without_changing_what_is_kept(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        tags = ["one"]
        await house.insert({"tags": tags}, "a")
        tags.append("two")
        document = await house.service.get(NOTES, "a")
        assert document is not None
        assert document.fields["tags"] == ["one"]

    run(body)


def test_a_collection_is_declared_once_and_nobody_asks_an_undeclared_one(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = House(runtime)
        with pytest.raises(ValueError, match=r"notes\.note"):
            house.service.declare(NOTES)
        forged = Collection("notes", "note", NOTES.fields)
        for collection in (Collection("users", "users"), forged):
            with pytest.raises(LookupError):
                await house.service.query(Query(collection))
            with pytest.raises(LookupError):
                await house.service.get(collection, "a")
            with pytest.raises(LookupError):
                await house.service.insert(collection, ADMIN, {}, context=CONTEXT)

    run(body)
