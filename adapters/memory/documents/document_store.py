"""Plugins' documents in memory. Nothing awaits between a check and its write, so each call is atomic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.memory.audit import MemoryAuditLog
from domain.audit import AuditEvent
from domain.documents.document import Collection, Document, complete
from domain.documents.queries import Query, answer
from ports.documents.document_store import DocumentStore, FoundDocuments, Versions
from ports.errors import DependencyUnavailable

DOCUMENTS_MAX = 100_000


class MemoryDocuments:
    """At most `documents_max` of all collections together; one more is refused as unavailable."""

    def __init__(self, *, audit: MemoryAuditLog, documents_max: int = DOCUMENTS_MAX) -> None:
        self._audit = audit
        self._documents_max = documents_max
        self._count = 0
        self._kept: dict[str, dict[str, Document]] = {}
        self._versions: dict[str, str] = {}

    async def prepare(self, collections: Sequence[Collection]) -> None:
        for collection in collections:
            self._of(collection)

    async def get(self, collection: Collection, document_id: str) -> Document | None:
        found = self._of(collection).get(document_id)
        return None if found is None else _seen(collection, found)

    async def find(self, query: Query) -> FoundDocuments:
        kept = self._of(query.collection).values()
        documents = answer(query, [_seen(query.collection, each) for each in kept])
        return FoundDocuments(documents, self._versions_of(query.parts))

    async def versions(self, parts: Sequence[str]) -> Versions:
        return self._versions_of(parts)

    async def insert(self, collection: Collection, document: Document, event: AuditEvent) -> bool:
        kept = self._of(collection)
        if document.id in kept:
            return False
        if self._count >= self._documents_max:
            raise DependencyUnavailable("memory", "no room for another document")
        self._count += 1
        kept[document.id] = document
        self._written(collection, event, document)
        return True

    async def replace(self, collection: Collection, old: Document, new: Document, event: AuditEvent) -> bool:
        if not self._stands(collection, old):
            return False
        self._of(collection)[old.id] = new
        self._written(collection, event, old, new)
        return True

    async def delete(self, collection: Collection, old: Document, event: AuditEvent) -> bool:
        if not self._stands(collection, old):
            return False
        self._count -= 1
        del self._of(collection)[old.id]
        self._written(collection, event, old)
        return True

    def _of(self, collection: Collection) -> dict[str, Document]:
        return self._kept.setdefault(collection.full_name, {})

    def _stands(self, collection: Collection, old: Document) -> bool:
        standing = self._of(collection).get(old.id)
        return standing is not None and standing.revision == old.revision

    def _written(self, collection: Collection, event: AuditEvent, *documents: Document) -> None:
        for document in documents:
            self._versions[collection.part(document.id, document.fields)] = event.id
        self._audit.append(event)

    def _versions_of(self, parts: Sequence[str]) -> Versions:
        return {part: self._versions.get(part, "") for part in parts}


def _seen(collection: Collection, document: Document) -> Document:
    """A copy, in which fields that were declared since are None."""
    return replace(document, fields=complete(collection, document.fields))


def _proof(documents: MemoryDocuments) -> DocumentStore:
    """mypy holds the adapter to its port here."""
    return documents
