"""Plugins' documents in MongoDB: read, written and deleted under three roles."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from hashlib import sha256
from operator import itemgetter
from typing import Any

from adapters.mongo.audit import AuditEntries
from adapters.mongo.documents.filters import filter_of, sort_of
from adapters.mongo.documents.stored_documents import FIELDS, SEALED, StoredDocuments, rewriting
from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Index, MongoCollection, MongoDriver, MongoTransaction
from adapters.mongo.indexes import create_indexes
from adapters.mongo.sweep import MongoSweep
from adapters.mongo.validators import TEXT, Validators, documents_of
from domain.audit import AuditEvent
from domain.documents.document import Collection, Document
from domain.documents.queries import Query
from domain.encryption.policies import Encrypted
from ports.documents.document_store import DocumentStore, FoundDocuments, Versions
from ports.runtime import Lock, Overloaded, Runtime

VERSIONS = "document_versions"
PLUGIN_PREFIX = "plugin."
MARKS = 16
"""Of each part."""
TURN_S_MAX = 5.0
"""How long a write waits for those before it to its part."""
WAITING_MAX = 1_000

_PRIMARY = Index("_id_", (("_id", 1),))
"""Every collection has it: declaring it makes the collection and nothing else."""

INDEXES = {VERSIONS: (Index("by_part", (("part", 1), ("_id", 1))),)}

VALIDATORS: Validators = {VERSIONS: documents_of({"_id": TEXT, "part": TEXT, "write": TEXT})}


class MongoDocuments:
    """`reader`, `writer` and `admin` are pools under the three database users.

    What makes a version another one is written in the transaction of the write that it tells of, and two
    transactions that write to one document conflict. So the writes of a process to one part take turns, and a
    part has `MARKS` documents, of which each try renews one by chance: processes seldom meet there, and the
    driver tries the one that lost again. All marks together are the version.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        reader: MongoDriver,
        writer: MongoDriver,
        admin: MongoDriver,
        audit: AuditEntries,
        documents: StoredDocuments,
        turn_seconds_max: float = TURN_S_MAX,
    ) -> None:
        self._runtime = runtime
        self._reader = reader
        self._writer = writer
        self._admin = admin
        self._audit = audit
        self._documents = documents
        self._turn_seconds_max = turn_seconds_max
        # As many as there are parts of declared collections.
        self._turns: dict[str, Lock] = {}
        self._waiting = 0
        self._prepared: tuple[Collection, ...] = ()

    async def prepare(self, collections: Sequence[Collection]) -> None:
        declared = {_name(collection): _indexes(collection) for collection in collections}
        await create_indexes(self._admin, [INDEXES, declared])
        self._prepared = tuple(collections)

    def encrypted_collections(self) -> Sequence[MongoSweep]:
        """Of the prepared ones, those with encrypted fields."""
        return [
            MongoSweep(
                driver=self._admin,
                name=collection.full_name,
                stored_name=_name(collection),
                fields=(FIELDS, SEALED, "revision"),
                rewriting=partial(self._documents.settling, collection),
            )
            for collection in self._prepared
            if collection.encrypted
        ]

    async def get(self, collection: Collection, document_id: str) -> Document | None:
        found = await self._reader.collection(_name(collection)).find_one({"_id": {"$eq": document_id}})
        return None if found is None else self._documents.read(collection, found)

    async def find(self, query: Query) -> FoundDocuments:
        async def read(transaction: MongoTransaction) -> FoundDocuments:
            # One snapshot for both. Reading one after the other would not do: after a fail-over the new
            # primary may show an older majority than the versions were read from.
            versions = await _versions(transaction.collection(VERSIONS), query.parts)
            documents = await transaction.collection(_name(query.collection)).find(
                filter_of(query, self._documents.equal), sort=sort_of(query), limit=query.limit + 1
            )
            return FoundDocuments(
                [self._documents.read(query.collection, each) for each in documents], versions
            )

        return await self._reader.transaction(read)

    async def versions(self, parts: Sequence[str]) -> Versions:
        return await _versions(self._reader.collection(VERSIONS), parts)

    async def insert(self, collection: Collection, document: Document, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> None:
            await transaction.collection(_name(collection)).insert_one(
                self._documents.stored(collection, document)
            )
            await self._note(transaction, event, collection, document)

        try:
            async with self._turn_of(collection, document):
                await self._writer.transaction(write)
        except DuplicateKey as refused:
            if refused.index != "_id_":
                raise
            return False
        return True

    async def replace(self, collection: Collection, old: Document, new: Document, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> bool:
            stored = self._documents.stored(collection, new)
            updated = await transaction.collection(_name(collection)).update_one(
                _exactly(old), rewriting(stored)
            )
            if updated.matched:
                await self._note(transaction, event, collection, old, new)
            return updated.matched == 1

        async with self._turn_of(collection, old, new):
            return await self._writer.transaction(write)

    async def delete(self, collection: Collection, old: Document, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> bool:
            deleted = await transaction.collection(_name(collection)).delete_one(_exactly(old))
            if deleted:
                await self._note(transaction, event, collection, old)
            return deleted == 1

        async with self._turn_of(collection, old):
            return await self._admin.transaction(write)

    async def _note(
        self, transaction: MongoTransaction, event: AuditEvent, collection: Collection, *documents: Document
    ) -> None:
        """What makes cached answers stale, and the audit event, both with the write."""
        for part in _parts(collection, documents):
            mark = f"{part}/{random.randrange(MARKS):02}"  # noqa: S311 - not a secret
            await transaction.collection(VERSIONS).update_one(
                {"_id": mark}, {"$set": {"part": part, "write": event.id}}, upsert=True
            )
        await self._audit.record_in(transaction, event)

    @asynccontextmanager
    async def _turn_of(self, collection: Collection, *documents: Document) -> AsyncIterator[None]:
        """Raises `Overloaded` when too many wait, `DeadlineExceeded` when it does not come in time."""
        if self._waiting >= WAITING_MAX:
            raise Overloaded(f"{WAITING_MAX} writes wait for their turn")
        async with AsyncExitStack() as stack:
            self._waiting += 1
            try:
                async with self._runtime.deadline(self._turn_seconds_max):
                    # In one order for all, so that no two wait for each other.
                    for part in _parts(collection, documents):
                        if part not in self._turns:
                            self._turns[part] = self._runtime.lock()
                        await stack.enter_async_context(_held(self._turns[part]))
            finally:
                self._waiting -= 1
            yield


@asynccontextmanager
async def _held(lock: Lock) -> AsyncIterator[None]:
    async with lock:
        yield


def _parts(collection: Collection, documents: Sequence[Document]) -> list[str]:
    return sorted({collection.part(document.id, document.fields) for document in documents})


async def _versions(versions: MongoCollection, parts: Sequence[str]) -> Versions:
    found = await versions.find({"part": {"$in": list(parts)}}, limit=len(parts) * MARKS)
    marks: dict[str, list[str]] = {part: [] for part in parts}
    for each in sorted(found, key=itemgetter("_id")):
        marks[each["part"]] += each["_id"], each["write"]
    return {part: sha256("\0".join(marks[part]).encode()).hexdigest() for part in parts}


def _name(collection: Collection) -> str:
    """Apart from the service's own collections, whose names have no dot."""
    return PLUGIN_PREFIX + collection.full_name


def _indexes(collection: Collection) -> tuple[Index, ...]:
    found_by = [
        name for name in collection.fields if collection.encrypted.get(name, Encrypted(indexed=True)).indexed
    ]
    wanted = [*((name,) for name in found_by), *collection.indexes]
    # The id ends each, since it ends every order.
    found = [
        Index("by_" + "+".join(names), (*((f"{FIELDS}.{name}", 1) for name in names), ("_id", 1)))
        for names in wanted
    ]
    return (_PRIMARY, *found)


def _exactly(document: Document) -> Mapping[str, Any]:
    return {"_id": {"$eq": document.id}, "revision": {"$eq": document.revision}}


def _proof(documents: MongoDocuments) -> DocumentStore:
    """mypy holds the adapter to its port here."""
    return documents
