"""Whatever an administrator of the real MongoDB does to a book is found, and named by its number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from bson import Int64
from pymongo.database import Database

from adapters.mongo.catalog import CATALOG
from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.driver.connect import connect
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger.checkpoints import MongoCheckpoints
from adapters.mongo.ledger.journal import MongoJournal
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from application.ledger.verification import Verification, verify
from domain.ledger.chain import AppendResult, Head, JournalDocument, seal
from domain.ledger.crossings import Snapshot
from tests.application.ledger.forgery import Lived, lived
from tests.conformance.identity import database_of_its_own
from tests.servers.mongod import Credentials, MongodServer
from tests.simulation.ledger_world import BOOK

WRONG = 12
"""The number of the document that most of these are about."""


@dataclass(frozen=True)
class Stored:
    """A book that was copied into a database of its own, and how it is proved there."""

    life: Lived
    database: Database[dict[str, Any]]
    prove: Callable[[], Verification]

    def document(self, seq: int = WRONG) -> dict[str, Any]:
        found = self.database.journal.find_one({"book": BOOK, "seq": seq})
        assert found is not None
        return found

    def change(self, change: dict[str, Any], seq: int = WRONG) -> None:
        result = self.database.journal.update_one({"book": BOOK, "seq": seq}, change)
        assert result.modified_count == 1

    def found(self) -> int:
        problem = self.prove().problem
        assert problem is not None, "nothing was found"
        return problem.seq


@pytest.fixture
def stored(mongod: MongodServer) -> Iterator[Stored]:
    life = lived(0)
    with (
        database_of_its_own(mongod) as url,
        mongod.client(mongod.admin) as admin,
        asyncio.Runner() as runner,
        ExitStack() as stack,
    ):
        runtime = AsyncioRuntime()
        home = runtime.running()
        runner.run(_entered(home))
        stack.callback(lambda: runner.run(home.__aexit__(None, None, None)))

        def as_(who: Credentials) -> ClientDriver:
            driver = runner.run(connect(runtime=runtime, url=url, user=who.user, password=who.password))
            stack.callback(lambda: runner.run(driver.close()))
            return driver

        writer, reader = as_(mongod.app), as_(mongod.analytics)
        runner.run(create_indexes(writer, CATALOG))
        runner.run(copied(life, MongoJournal(writer), MongoCheckpoints(writer)))
        journal, checkpoints = MongoJournal(reader), MongoCheckpoints(reader)

        def prove() -> Verification:
            return runner.run(verify(journal, checkpoints, BOOK, runtime=runtime, expected=life.expected))

        assert prove().problem is None
        yield Stored(life, admin[writer.database], prove)


async def _entered(home: AbstractAsyncContextManager[None]) -> None:
    await home.__aenter__()


async def copied(life: Lived, journal: MongoJournal, checkpoints: MongoCheckpoints) -> None:
    for document in life.documents:
        assert await journal.append(document) is AppendResult.APPENDED
    states = list(life.checkpoints._states.values())
    await checkpoints.save(BOOK, states)
    await checkpoints.keep(BOOK, [Snapshot(state, life.documents[state.seq - 1].time_ms) for state in states])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a stored document that holds no other, by its path."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for place, each in enumerate(value):
            yield from leaves(each, f"{path}.{place}")
    else:
        yield path, value


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return Int64(value + 1)
    return f"{value}x" if isinstance(value, str) else "x"


def test_every_field_of_every_document_is_covered(stored: Stored) -> None:
    # Each is changed in turn and put back. The number is the fence's, and has a test of its own.
    for seq in (1, WRONG, len(stored.life.documents)):
        true = stored.document(seq)
        for path, value in leaves(true):
            if path in ("_id", "seq"):
                continue
            stored.change({"$set": {path: another(value)}}, seq)
            wrong = stored.found()
            assert wrong == seq, path
            stored.database.journal.delete_one({"_id": true["_id"]})
            stored.database.journal.insert_one(true)


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"note": "added"}},
        {"$set": {"entries.0.note": "added"}},
        {"$unset": {"subjects": 1}},
        {"$unset": {"digest": 1}},
        {"$unset": {"entries": 1}},
        {"$unset": {"entries.0.kind": 1}},
        {"$unset": {"entries.0.keys": 1}},
        {"$set": {"entries": []}},
        {"$set": {"entries": "none"}},
        {"$set": {"time": 1.5}},
        {"$set": {"subjects": []}},
        {"$push": {"subjects": "a:mallory"}},
        {"$set": {"seq": 10_000}},
        {"$set": {"book": "elsewhere"}},
    ],
)
def test_a_document_that_no_writer_of_ours_made_is_named(stored: Stored, change: dict[str, Any]) -> None:
    stored.change(change)
    assert stored.found() == WRONG


def test_a_document_that_is_gone_is_named(stored: Stored) -> None:
    stored.database.journal.delete_one({"book": BOOK, "seq": WRONG})
    assert stored.found() == WRONG


def test_a_tail_that_is_gone_is_named(stored: Stored) -> None:
    stored.database.journal.delete_many({"book": BOOK, "seq": {"$gte": WRONG}})
    assert stored.found() == WRONG


def test_the_first_of_two_swapped_documents_is_named(stored: Stored) -> None:
    first, second = stored.document(WRONG), stored.document(WRONG + 5)
    stored.database.journal.delete_many({"_id": {"$in": [first["_id"], second["_id"]]}})
    first["seq"], second["seq"] = second["seq"], first["seq"]
    stored.database.journal.insert_many([first, second])
    assert stored.found() == WRONG


def test_a_document_with_another_nonce_is_named(stored: Stored) -> None:
    true = stored.document()
    stored.database.journal.delete_one({"_id": true["_id"]})
    stored.database.journal.insert_one({**true, "_id": "another"})
    assert stored.found() == WRONG


def test_a_second_document_of_one_number_is_named(stored: Stored) -> None:
    # The index would refuse it: whoever may drop that may add one.
    stored.database.journal.drop_indexes()
    for seq in (1, WRONG, len(stored.life.documents)):
        stored.database.journal.insert_one({**stored.document(seq), "_id": "copy"})
        assert stored.found() == seq
        stored.database.journal.delete_one({"_id": "copy"})


@pytest.mark.parametrize("seq", [None, "12", 0, -3, 12.5, [10**6], {"is": 12}])
def test_an_added_document_without_a_number_is_found(stored: Stored, seq: Any) -> None:
    stored.database.journal.drop_indexes()
    stored.database.journal.insert_one({**stored.document(), "_id": "added", "seq": seq})
    assert stored.prove().problem is not None


def test_a_document_that_was_hashed_anew_is_named(stored: Stored) -> None:
    seq = next(
        document.seq
        for document in stored.life.documents[1:-1]
        for entry in document.entries
        if entry.actor == "test"
    )
    true = stored.life.documents[seq - 1]
    forged = hashed_anew(true)
    stored.change({"$set": {"entries.0.actor": "mallory", "digest": forged}}, seq)
    assert stored.found() == seq


def hashed_anew(document: JournalDocument) -> str:
    entries = (document.entries[0]._replace(actor="mallory"), *document.entries[1:])
    head = Head(document.seq - 1, document.time_ms, document.previous)
    return seal(document.book, head, entries, time_ms=document.time_ms, nonce=document.nonce).digest


@pytest.mark.parametrize(
    "change",
    [
        {"$inc": {"posted": 1}},
        {"$inc": {"held": 1}},
        {"$inc": {"entries": 1}},
        {"$set": {"asset": "GOLD"}},
        {"$set": {"overdraft_limit": 10**6}},
        {"$set": {"posted": 1.5}},
        {"$set": {"due": 1}},
        {"$set": {"note": "added"}},
        {"$unset": {"posted": 1}},
    ],
)
@pytest.mark.parametrize("kind", ["accounts", "account_snapshots"])
def test_a_changed_checkpoint_or_snapshot_is_named(stored: Stored, kind: str, change: dict[str, Any]) -> None:
    true = stored.database[kind].find_one({"key": "alice"})
    assert true is not None
    if kind == "account_snapshots":
        change = {
            operator: {f"state.{name}": value for name, value in fields.items()}
            for operator, fields in change.items()
        }
    stored.database[kind].update_one({"_id": true["_id"]}, change)
    assert stored.found() == true["seq"]


def test_a_checkpoint_moved_ahead_or_to_another_account_is_named(stored: Stored) -> None:
    accounts = stored.database.accounts
    accounts.update_one({"key": "alice"}, {"$set": {"seq": 500}})
    assert stored.found() == 500
    accounts.delete_one({"key": "alice"})
    other = accounts.find_one({"key": "bob"})
    assert other is not None
    accounts.insert_one({**other, "_id": "forged", "key": "mallory"})
    assert stored.found() == other["seq"]


def test_without_checkpoints_the_book_is_as_good(stored: Stored) -> None:
    stored.database.accounts.delete_many({})
    stored.database.account_snapshots.delete_many({})
    assert stored.prove().problem is None
