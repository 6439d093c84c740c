"""Plugins' documents in MongoDB: read, written and deleted under three roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.mongo.audit import record_in
from adapters.mongo.document_filters import FIELDS, filter_of, sort_of
from adapters.mongo.driver import Document as Stored
from adapters.mongo.driver import Index, MongoCollection, MongoDriver, MongoTransaction
from adapters.mongo.errors import DuplicateKey
from adapters.mongo.schema import create_schema
from domain.audit import AuditEvent
from domain.document_queries import Query
from domain.documents import Collection, Document
from ports.documents import Documents, Found, Versions

VERSIONS = "document_versions"

_PRIMARY = Index("_id_", (("_id", 1),))
"""Every collection has it: declaring it makes the collection and nothing else."""

INDEXES = {VERSIONS: (_PRIMARY,)}


class MongoDocuments:
    """`reader`, `writer` and `admin` are pools under the three database users.

    A version is written in the transaction of the write that it tells of, so two writes to one part
    conflict, and the driver tries the one that lost again.
    """

    def __init__(self, *, reader: MongoDriver, writer: MongoDriver, admin: MongoDriver) -> None:
        self._reader = reader
        self._writer = writer
        self._admin = admin

    async def prepare(self, collections: Sequence[Collection]) -> None:
        declared = {_name(collection): _indexes(collection) for collection in collections}
        await create_schema(self._admin, [INDEXES, declared])

    async def get(self, collection: Collection, document_id: str) -> Document | None:
        found = await self._reader.collection(_name(collection)).find_one({"_id": {"$eq": document_id}})
        return None if found is None else _document(found)

    async def find(self, query: Query) -> Found:
        async def read(transaction: MongoTransaction) -> Found:
            # One snapshot for both. Reading one after the other would not do: after a fail-over the new
            # primary may show an older majority than the versions were read from.
            versions = await _versions(transaction.collection(VERSIONS), query.parts)
            documents = await transaction.collection(_name(query.collection)).find(
                filter_of(query), sort=sort_of(query), limit=query.limit + 1
            )
            return Found([_document(each) for each in documents], versions)

        return await self._reader.transaction(read)

    async def versions(self, parts: Sequence[str]) -> Versions:
        return await _versions(self._reader.collection(VERSIONS), parts)

    async def insert(self, collection: Collection, document: Document, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> None:
            await transaction.collection(_name(collection)).insert_one(_stored(document))
            await _note(transaction, event, collection, document)

        try:
            await self._writer.transaction(write)
        except DuplicateKey as refused:
            if refused.index != "_id_":
                raise
            return False
        return True

    async def replace(self, collection: Collection, old: Document, new: Document, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> bool:
            stored = _stored(new)
            updated = await transaction.collection(_name(collection)).update_one(
                _exactly(old), {"$set": {name: stored[name] for name in (FIELDS, "revision")}}
            )
            if updated.matched:
                await _note(transaction, event, collection, old, new)
            return updated.matched == 1

        return await self._writer.transaction(write)

    async def delete(self, collection: Collection, old: Document, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> bool:
            deleted = await transaction.collection(_name(collection)).delete_one(_exactly(old))
            if deleted:
                await _note(transaction, event, collection, old)
            return deleted == 1

        return await self._admin.transaction(write)


async def _versions(versions: MongoCollection, parts: Sequence[str]) -> Versions:
    found = await versions.find({"_id": {"$in": list(parts)}}, limit=len(parts))
    known = {each["_id"]: each["version"] for each in found}
    return {part: known.get(part, "") for part in parts}


async def _note(
    transaction: MongoTransaction, event: AuditEvent, collection: Collection, *documents: Document
) -> None:
    """What makes cached answers stale, and the audit event, both with the write."""
    for part in sorted({collection.part(document.id, document.fields) for document in documents}):
        await transaction.collection(VERSIONS).update_one(
            {"_id": part}, {"$set": {"version": event.id}}, upsert=True
        )
    await record_in(transaction, event)


def _name(collection: Collection) -> str:
    """Apart from the service's own collections, whose names have no dot."""
    return f"plugin.{collection.full_name}"


def _indexes(collection: Collection) -> tuple[Index, ...]:
    wanted = [*((name,) for name in collection.fields), *collection.indexes]
    # The id ends each, since it ends every order.
    found = [
        Index("by_" + "+".join(names), (*((f"{FIELDS}.{name}", 1) for name in names), ("_id", 1)))
        for names in wanted
    ]
    return (_PRIMARY, *found)


def _exactly(document: Document) -> Mapping[str, Any]:
    return {"_id": {"$eq": document.id}, "revision": {"$eq": document.revision}}


def _stored(document: Document) -> Stored:
    return {"_id": document.id, "revision": document.revision, FIELDS: document.fields}


def _document(stored: Stored) -> Document:
    return Document(stored["_id"], stored[FIELDS], stored["revision"])


def _proof(pools: Callable[[], MongoDriver]) -> Documents:
    """mypy holds the adapter to its port here."""
    return MongoDocuments(reader=pools(), writer=pools(), admin=pools())
