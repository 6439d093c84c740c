"""What every store of documents promises."""

from __future__ import annotations

from contextlib import AsyncExitStack
from itertools import product

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.documents.document_store import MemoryDocuments
from adapters.mongo.documents.document_store import WAITING_MAX
from domain.audit import AuditAction
from domain.documents.document import PARTS, Collection, Document
from domain.documents.queries import Condition, Equals, Query, Range, answer
from ports.errors import DependencyUnavailable
from ports.runtime import DeadlineExceeded, Overloaded, Runtime
from tests.conformance.document_stores import (
    NOTES,
    PLAIN,
    SECRETS,
    Kept,
    OnDocuments,
    kept,
    mongo_documents,
    written,
)
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer

__all__ = ["kept"]

ALL = Query(NOTES, limit=200)


def test_a_document_is_read_as_it_was_written(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        fields = {"owner": "ada", "text": "é\n", "list": [1, None, {"deep": [True, 1.5]}], "big": 2**63 - 1}
        document, event = written("d1", fields)
        assert await kept.documents.insert(NOTES, document, event)
        assert await kept.documents.get(NOTES, "d1") == document
        assert document.fields["stars"] is None
        assert (await kept.documents.find(ALL)).documents == [document]
        assert await kept.documents.get(NOTES, "d2") is None
        assert await kept.actions() == [AuditAction.DOCUMENT_INSERTED]

    kept(body)


def test_collections_share_nothing(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        assert await kept.documents.insert(NOTES, *written("d1", {"owner": "ada"}))
        assert await kept.documents.get(PLAIN, "d1") is None
        assert (await kept.documents.find(Query(PLAIN))).documents == []
        assert await kept.documents.insert(PLAIN, *written("d1", {"a": 1}, PLAIN))

    kept(body)


def test_a_taken_id_is_refused_without_a_trace(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        first, event = written("d1", {"owner": "ada"})
        assert await kept.documents.insert(NOTES, first, event)
        before = await kept.documents.versions(NOTES.parts())
        assert not await kept.documents.insert(NOTES, *written("d1", {"owner": "bob"}))
        assert await kept.documents.get(NOTES, "d1") == first
        assert await kept.documents.versions(NOTES.parts()) == before
        assert len(await kept.actions()) == 1

    kept(body)


def test_only_what_still_stands_is_replaced_or_deleted(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        first, event = written("d1", {"owner": "ada"})
        assert await kept.documents.insert(NOTES, first, event)
        second, event = written("d1", {"owner": "bob"})
        assert await kept.documents.replace(NOTES, first, second, event)
        third, event = written("d1", {"owner": "eve"})
        assert not await kept.documents.replace(NOTES, first, third, event)
        assert not await kept.documents.delete(NOTES, first, event)
        assert await kept.documents.get(NOTES, "d1") == second
        assert await kept.documents.delete(NOTES, second, event)
        assert await kept.documents.get(NOTES, "d1") is None
        assert not await kept.documents.delete(NOTES, second, written("d1", {})[1])
        # Again under the same id: it is another document, whatever it holds.
        again, event = written("d1", {"owner": "ada"})
        assert await kept.documents.insert(NOTES, again, event)
        assert not await kept.documents.replace(NOTES, first, third, written("d1", {})[1])
        assert len(await kept.actions()) == 4
        assert len(kept.recorded) == 4

    kept(body)


def test_a_write_changes_the_version_of_each_part_that_it_touches_and_of_no_other(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        adas, bobs = NOTES.part_of_value("ada"), NOTES.part_of_value("bob")
        assert adas != bobs
        seen = [dict(await kept.documents.versions(NOTES.parts()))]

        async def touched() -> set[str]:
            seen.append(dict(await kept.documents.versions(NOTES.parts())))
            return {part for part in NOTES.parts() if seen[-1][part] != seen[-2][part]}

        assert len(seen[0]) == PARTS
        first, event = written("d1", {"owner": "ada"})
        assert await kept.documents.insert(NOTES, first, event)
        assert await touched() == {adas}
        second, event = written("d1", {"owner": "bob"})
        assert await kept.documents.replace(NOTES, first, second, event)
        assert await touched() == {adas, bobs}
        assert await kept.documents.delete(NOTES, second, written("d1", {})[1])
        assert await touched() == {bobs}
        assert not await kept.documents.delete(NOTES, second, written("d1", {})[1])
        assert await touched() == set()
        for number in range(40):
            await kept.documents.insert(NOTES, *written(f"n{number}", {"owner": "ada"}))
            assert await touched() == {adas}
        assert len({versions[adas] for versions in seen}) == 43

    kept(body)


def test_an_answer_comes_with_the_versions_of_its_parts(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        document, event = written("d1", {"owner": "ada"})
        assert await kept.documents.insert(NOTES, document, event)
        found = await kept.documents.find(Query(NOTES, (Equals("owner", "ada"),)))
        assert found.documents == [document]
        assert found.versions == await kept.documents.versions([NOTES.part_of_value("ada")])
        assert (await kept.documents.find(ALL)).versions == await kept.documents.versions(NOTES.parts())

    kept(body)


def test_writes_to_one_part_at_once_all_succeed(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        pairs = [written(f"d{number}", {"owner": "ada", "stars": number}) for number in range(64)]

        async def insert(document: Document, event: object) -> bool:
            return await kept.documents.insert(NOTES, document, event)  # type: ignore[arg-type]

        tasks = [
            kept.runtime.start(lambda pair=pair: insert(*pair), name="insert")  # type: ignore[misc]
            for pair in pairs
        ]
        assert [await task.wait() for task in tasks] == [True] * 64
        assert len((await kept.documents.find(ALL)).documents) == 64

    kept(body)


def test_writes_that_swap_two_parts_do_not_wait_for_each_other(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        async def swap(number: int, owners: tuple[str, str]) -> bool:
            old, event = written(f"d{number}", {"owner": owners[0]})
            assert await kept.documents.insert(NOTES, old, event)
            return await kept.documents.replace(NOTES, old, *written(f"d{number}", {"owner": owners[1]}))

        ways = (("ada", "bob"), ("bob", "ada"))
        tasks = [
            kept.runtime.start(lambda number=number: swap(number, ways[number % 2]), name="swap")  # type: ignore[misc]
            for number in range(20)
        ]
        assert all([await task.wait() for task in tasks])

    kept(body)


def test_a_write_waits_for_its_turn_so_long_and_no_longer(run_real: Driver, mongod: MongodServer) -> None:
    with database_of_its_own(mongod) as url:

        async def body(runtime: Runtime) -> None:
            async with mongo_documents(runtime, mongod, url) as (documents, _):
                documents._turn_seconds_max = 0.05
                document, event = written("d1", {"owner": "ada"})
                held, over = runtime.event(), runtime.event()

                async def hold() -> None:
                    async with documents._turn_of(NOTES, document):
                        held.set()
                        await over.wait()

                holding = runtime.start(hold, name="another write")
                await held.wait()
                with pytest.raises(DeadlineExceeded):
                    await documents.insert(NOTES, document, event)
                # Another part has its own turn.
                assert await documents.insert(NOTES, *written("d2", {"owner": "bob"}))
                over.set()
                await holding.wait()
                assert await documents.insert(NOTES, document, event)
                documents._waiting = WAITING_MAX
                with pytest.raises(Overloaded):
                    await documents.insert(NOTES, *written("d3", {"owner": "ada"}))

        run_real(body)


def test_many_workers_write_to_one_part_at_once(run_real: Driver, mongod: MongodServer) -> None:
    with database_of_its_own(mongod) as url:

        async def body(runtime: Runtime) -> None:
            async with AsyncExitStack() as stack:
                workers = [
                    (await stack.enter_async_context(mongo_documents(runtime, mongod, url)))[0]
                    for _ in range(4)
                ]

                async def write(number: int) -> bool:
                    pair = written(f"d{number}", {"owner": "ada"})
                    return await workers[number % 4].insert(NOTES, *pair)

                tasks = [
                    runtime.start(lambda number=number: write(number), name="write")  # type: ignore[misc]
                    for number in range(40)
                ]
                assert all([await task.wait() for task in tasks])

        run_real(body)


CONDITIONS: tuple[tuple[Condition, ...], ...] = (
    (),
    (Equals("owner", "ada"),),
    (Equals("owner", None),),
    (Equals("done", True), Equals("owner", "ada")),
    (Range("stars", 0, 2),),
    (Range("stars", below=1), Equals("done", False)),
    (Range("owner", at_least="b"),),
    (Equals("stars", 1), Equals("stars", 2)),
)


def test_every_kind_of_query_means_what_the_domain_says(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        everything = []
        texts = (None, "ada", "bob", "€", "z", "\U0001f600", "Ada")
        for number, (owner, stars, done) in enumerate(product(texts, (None, -1, 1, 2), (True, False))):
            document, event = written(
                f"d{number * 7 % 61:02}", {"owner": owner, "stars": stars, "done": done}
            )
            everything.append(document)
            assert await kept.documents.insert(NOTES, document, event)
        for where, order, descending in product(CONDITIONS, (None, "owner", "stars", "done"), (False, True)):
            query = Query(NOTES, where, order, descending, limit=7)
            for _ in range(12):
                expected = answer(query, everything)
                found = (await kept.documents.find(query)).documents
                assert [each.id for each in found] == [each.id for each in expected], query.name
                if len(found) <= 7:
                    break
                query = Query(NOTES, where, order, descending, 7, query.position_of(found[6]))
            else:
                raise AssertionError("the pages do not end")

    kept(body)


def test_text_that_looks_like_an_operator_is_text(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        for document_id, owner in (("d1", '{"$ne": null}'), ("d2", "$owner"), ("d3", "x")):
            assert await kept.documents.insert(NOTES, *written(document_id, {"owner": owner}))
        found = await kept.documents.find(Query(NOTES, (Equals("owner", "$owner"),)))
        assert [each.id for each in found.documents] == ["d2"]
        found = await kept.documents.find(Query(NOTES, (Equals("owner", '{"$ne": null}'),)))
        assert [each.id for each in found.documents] == ["d1"]

    kept(body)


def test_an_encrypted_field_is_read_and_found_as_any_other(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        async def found(*where: Condition) -> list[str]:
            query = Query(SECRETS, where)
            return sorted(each.id for each in (await kept.documents.find(query)).documents)

        diary = {"pages": ["é", 1.5, None]}
        first, event = written("d1", {"owner": "ada", "phone": "0161", "stars": 3, "diary": diary}, SECRETS)
        assert await kept.documents.insert(SECRETS, first, event)
        for number, phone in enumerate(["0161", "0162", "", None]):
            other, event = written(f"e{number}", {"phone": phone, "stars": number}, SECRETS)
            assert await kept.documents.insert(SECRETS, other, event)
        assert await kept.documents.get(SECRETS, "d1") == first
        assert await found(Equals("phone", "0161")) == ["d1", "e0"]
        assert await found(Equals("phone", "0161"), Equals("stars", 3)) == ["d1"]
        assert await found(Equals("phone", "")) == ["e2"]
        assert await found(Equals("phone", None)) == ["e3"]
        changed, event = written("d1", {"phone": "0163", "diary": None}, SECRETS)
        assert await kept.documents.replace(SECRETS, first, changed, event)
        assert await found(Equals("phone", "0163")) == ["d1"]
        assert await kept.documents.get(SECRETS, "d1") == changed

    kept(body)


def test_a_field_that_is_declared_later_is_none_in_what_was_there(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        before = Collection("notes", "note")
        assert await kept.documents.insert(before, *written("d1", {"text": "x"}, before))
        document, event = written("d2", {"owner": "ada", "stars": 1})
        assert await kept.documents.insert(NOTES, document, event)
        old = await kept.documents.get(NOTES, "d1")
        assert old is not None
        assert old.fields == {"owner": None, "stars": None, "done": None, "text": "x"}
        query = Query(NOTES, order_by="stars", limit=1)
        first, second = (await kept.documents.find(query)).documents
        assert [first.id, second.id] == ["d1", "d2"]
        after = Query(NOTES, order_by="stars", after=query.position_of(first))
        assert [each.id for each in (await kept.documents.find(after)).documents] == ["d2"]
        assert len((await kept.documents.find(Query(NOTES, (Equals("owner", None),)))).documents) == 1

    kept(body)


def test_what_a_reader_does_to_its_copy_is_nobody_else_s(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        assert await kept.documents.insert(NOTES, *written("d1", {"tags": ["a"]}))
        seen = await kept.documents.get(NOTES, "d1")
        assert seen is not None
        seen.fields["tags"].append("b")
        for again in (await kept.documents.get(NOTES, "d1"), (await kept.documents.find(ALL)).documents[0]):
            assert again is not None
            assert again.fields["tags"] == ["a"]

    kept(body)


def test_preparing_again_changes_nothing(kept: OnDocuments) -> None:
    async def body(kept: Kept) -> None:
        document, event = written("d1", {"owner": "ada"})
        assert await kept.documents.insert(NOTES, document, event)
        await kept.documents.prepare([NOTES, PLAIN])
        assert await kept.documents.get(NOTES, "d1") == document

    kept(body)


def test_memory_holds_so_many_documents_and_no_more(run_real: Driver) -> None:
    async def body(_runtime: Runtime) -> None:
        documents = MemoryDocuments(audit=MemoryAuditLog(), documents_max=2)
        first, event = written("d1", {})
        assert await documents.insert(NOTES, first, event)
        assert await documents.insert(PLAIN, *written("d2", {}, PLAIN))
        with pytest.raises(DependencyUnavailable):
            await documents.insert(NOTES, *written("d3", {}))
        assert await documents.delete(NOTES, first, event)
        assert await documents.insert(NOTES, *written("d3", {}))

    run_real(body)
