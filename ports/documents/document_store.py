"""Where plugins' documents are kept, and what tells that something was written there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.audit import AuditEvent
from domain.documents.document import Collection, Document
from domain.documents.queries import Query

Versions = Mapping[str, str]
"""A part of a collection to a text that no other state of it has: compared, and never read."""


@dataclass(frozen=True, slots=True)
class FoundDocuments:
    """An answer and the versions of the query's parts, both of one and the same moment."""

    documents: Sequence[Document]
    """At most the query's limit and one more, which tells that more follow."""
    versions: Versions


class DocumentStore(Protocol):
    """Reads see every acknowledged write. Each write is atomic with its audit event, whose id no other write
    has, and with a new version of each part that it touches. Raises `DependencyUnavailable`; a write whose
    fate is not known raises `OutcomeUnknown`.
    """

    async def prepare(self, collections: Sequence[Collection]) -> None:
        """Makes what they need to be asked quickly; idempotent."""

    async def get(self, collection: Collection, document_id: str) -> Document | None: ...

    async def find(self, query: Query) -> FoundDocuments: ...

    async def versions(self, parts: Sequence[str]) -> Versions:
        """Of all these parts, read after the call."""

    async def insert(self, collection: Collection, document: Document, event: AuditEvent) -> bool:
        """False, and no event, when there is one of this id."""

    async def replace(self, collection: Collection, old: Document, new: Document, event: AuditEvent) -> bool:
        """False, and no event, when the document of this id no longer is `old`, by its revision."""

    async def delete(self, collection: Collection, old: Document, event: AuditEvent) -> bool:
        """False, and no event, when the document of this id no longer is `old`, by its revision."""
