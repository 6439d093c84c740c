"""The store of plugins' documents, with versions that change with every write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent
from domain.documents.document import Collection, Document
from domain.documents.queries import Query

Versions = Mapping[str, str]
"""By part of a collection, a text that no other state of the part has. Compared, never interpreted."""


@dataclass(frozen=True, slots=True)
class FoundDocuments:
    """The documents of a query and the versions of its parts, both of one snapshot."""

    documents: Sequence[Document]
    """At most one document more than the limit of the query, which shows that more follow."""
    versions: Versions


class DocumentStore(Protocol):
    """Reads see every acknowledged write. Each write is atomic with its audit event, whose id is unique, and
    with a new version of each part that it touches.

    Every method raises `DependencyUnavailable`; a write whose result is unknown raises `OutcomeUnknown`.
    """

    async def prepare(self, collections: Sequence[Collection]) -> None:
        """Creates the indexes of collections. May be called again."""

    async def get(self, collection: Collection, document_id: str) -> Document | None:
        """The document of an id; None when there is none."""

    async def find(self, query: Query) -> FoundDocuments:
        """The documents that `domain.documents.queries.answer` selects."""

    async def versions(self, parts: Sequence[str]) -> Versions:
        """The version of each part, read after the call began."""

    async def insert(self, collection: Collection, document: Document, event: AuditEvent) -> bool:
        """Adds a document. False, and no event, when its id is taken."""

    async def replace(self, collection: Collection, old: Document, new: Document, event: AuditEvent) -> bool:
        """Replaces `old` by `new`, of the same id. False, and no event, when its revision has changed."""

    async def delete(self, collection: Collection, old: Document, event: AuditEvent) -> bool:
        """Deletes `old`. False, and no event, when its revision has changed."""
