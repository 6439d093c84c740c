"""Documents of plugins: roles, audit, and queries that are cached and never stale."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from application.call_log import traced
from domain.audit import AuditAction, AuditEvent, RequestContext, audit_event
from domain.documents.document import (
    Act,
    Collection,
    DatabaseRole,
    Document,
    DocumentRejection,
    Fields,
    complete,
    rejection_of,
)
from domain.documents.queries import Position, Query
from domain.ids import RANDOMNESS_BYTES, is_id, time_ordered_id
from ports.clock import Clock
from ports.documents.cache import VALUE_BYTES_MAX, Cache
from ports.documents.document_store import DocumentStore, FoundDocuments, Versions
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import Runtime

CACHE_TTL_MS = 300_000
"""How long an answer nobody asks for takes up room; not how long one may be stale, which is never."""
LOOKS_AT_ONCE_MAX = 256
LOOKS_WAITING_MAX = 8_192
WRITE_ATTEMPTS_MAX = 16
"""Races over one document that a write may lose before it is refused as `revision_differs`."""
FORMAT = "1"
"""Of cached answers: another one has other names."""

QUERIES = Metric(
    "credit_cached_queries_total",
    MetricKind.COUNTER,
    "Queries of documents, by what the cache had for them",
    ("outcome",),
)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. `next` is where the following page begins; None when this is the last."""

    documents: Sequence[Document]
    next: Position | None


@dataclass(frozen=True, slots=True)
class _Kept:
    page: Page
    versions: Versions


class DocumentService:
    """Raises `DependencyUnavailable` when the database is away; the cache is never missed.

    An answer is kept with the versions of its parts, both from one snapshot, and given again only
    while the versions in the database still are these, looked up after the question was asked.
    """

    def __init__(
        self,
        *,
        documents: DocumentStore,
        cache: Cache,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self._documents = documents
        self._cache = cache
        self._clock = clock
        self._entropy = entropy
        self._queries = metrics.register(QUERIES)
        self._declared: dict[str, Collection] = {}
        # One look answers all that asked before it began, so many hits cost the database one read.
        self._looks = runtime.batcher(self._look, items_max=LOOKS_AT_ONCE_MAX, waiting_max=LOOKS_WAITING_MAX)

    def declare(self, collection: Collection) -> None:
        """Makes a collection known, before the start. `ValueError` when its name is taken."""
        if collection.full_name in self._declared:
            raise ValueError(f"a collection {collection.full_name!r} is declared already")
        self._declared[collection.full_name] = collection

    async def start(self) -> None:
        """Makes the indexes of what was declared."""
        await self._documents.prepare(tuple(self._declared.values()))

    @traced
    async def query(self, query: Query) -> Page:
        """Sees every write that was acknowledged before the call, on whichever worker, cached or not."""
        self._check(query.collection)
        name = f"documents/{FORMAT}/{query.name}"
        kept = await self._kept(name, query)
        if kept is not None:
            if await self._looks.submit(query.parts) == kept.versions:
                self._queries.add(1, "hit")
                return kept.page
            self._queries.add(1, "stale")
        found = await self._documents.find(query)
        page = _page(query, found)
        await self._keep(name, page, found.versions)
        return page

    @traced
    async def get(self, collection: Collection, document_id: str) -> Document | None:
        """One by its id: as quick as asking whether a cached one still is true, so it is not cached."""
        self._check(collection)
        return await self._documents.get(collection, document_id) if is_id(document_id) else None

    @traced
    async def insert(
        self,
        collection: Collection,
        role: DatabaseRole,
        fields: Fields,
        *,
        context: RequestContext,
        document_id: str | None = None,
    ) -> Document | DocumentRejection:
        """A new document, under an id of its own unless one is given."""
        if rejection := self._forbids(collection, role, Act.INSERT):
            return rejection
        if document_id is not None and not is_id(document_id):
            return DocumentRejection.INVALID_ID
        if rejection := rejection_of(collection, fields):
            return rejection
        if document_id is None:
            randomness = self._entropy.token(RANDOMNESS_BYTES)
            document_id = time_ordered_id("doc", self._clock.now_ms(), randomness)
        event = self._event(context, AuditAction.DOCUMENT_INSERTED, collection, document_id)
        document = Document(document_id, complete(collection, fields), event.id)
        inserted = await self._documents.insert(collection, document, event)
        return document if inserted else DocumentRejection.DOCUMENT_EXISTS

    @traced
    async def update(
        self,
        collection: Collection,
        role: DatabaseRole,
        document_id: str,
        changes: Fields,
        *,
        context: RequestContext,
        revision: str | None = None,
    ) -> Document | DocumentRejection:
        """Sets whole fields. With a `revision`, only if the document still is at it."""
        if rejection := self._forbids(collection, role, Act.UPDATE):
            return rejection
        for _ in range(WRITE_ATTEMPTS_MAX):
            old = await self._at(collection, document_id, revision)
            if isinstance(old, DocumentRejection):
                return old
            fields = {**old.fields, **changes}
            if rejection := rejection_of(collection, fields):
                return rejection
            event = self._event(context, AuditAction.DOCUMENT_UPDATED, collection, document_id)
            new = Document(document_id, complete(collection, fields), event.id)
            if await self._documents.replace(collection, old, new, event):
                return new
        return DocumentRejection.REVISION_DIFFERS

    @traced
    async def delete(
        self,
        collection: Collection,
        role: DatabaseRole,
        document_id: str,
        *,
        context: RequestContext,
        revision: str | None = None,
    ) -> DocumentRejection | None:
        """None when it is gone. With a `revision`, only if the document still is at it."""
        if rejection := self._forbids(collection, role, Act.DELETE):
            return rejection
        for _ in range(WRITE_ATTEMPTS_MAX):
            old = await self._at(collection, document_id, revision)
            if isinstance(old, DocumentRejection):
                return old
            event = self._event(context, AuditAction.DOCUMENT_DELETED, collection, document_id)
            if await self._documents.delete(collection, old, event):
                return None
        return DocumentRejection.REVISION_DIFFERS

    def _check(self, collection: Collection) -> None:
        if self._declared.get(collection.full_name) is not collection:
            raise LookupError(f"the collection {collection.full_name!r} was not registered")

    def _forbids(self, collection: Collection, role: DatabaseRole, act: Act) -> DocumentRejection | None:
        self._check(collection)
        return None if role.may(act) else DocumentRejection.ROLE_FORBIDS

    async def _at(
        self, collection: Collection, document_id: str, revision: str | None
    ) -> Document | DocumentRejection:
        found = await self.get(collection, document_id)
        if found is None:
            return DocumentRejection.DOCUMENT_NOT_FOUND
        if revision is not None and found.revision != revision:
            return DocumentRejection.REVISION_DIFFERS
        return found

    def _event(
        self, context: RequestContext, action: AuditAction, collection: Collection, document_id: str
    ) -> AuditEvent:
        return audit_event(
            context,
            action,
            f"document:{collection.full_name}/{document_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._entropy.token(RANDOMNESS_BYTES),
        )

    async def _look(self, asked: Sequence[tuple[str, ...]]) -> Sequence[Versions]:
        known = await self._documents.versions(sorted(set(chain.from_iterable(asked))))
        return [{part: known[part] for part in parts} for parts in asked]

    async def _kept(self, name: str, query: Query) -> _Kept | None:
        try:
            value = await self._cache.get(name)
        except DependencyUnavailable:
            self._queries.add(1, "unavailable")
            return None
        if value is None:
            self._queries.add(1, "miss")
            return None
        return _decoded(query, value)

    async def _keep(self, name: str, page: Page, versions: Versions) -> None:
        value = _encoded(page, versions)
        if len(value) > VALUE_BYTES_MAX:
            return
        try:
            await self._cache.put(name, value, ttl_ms=CACHE_TTL_MS)
        except DependencyUnavailable:
            return  # What is not kept is asked for again.


def _page(query: Query, found: FoundDocuments) -> Page:
    documents = tuple(found.documents[: query.limit])
    has_more = len(found.documents) > query.limit
    return Page(documents, query.position_of(documents[-1]) if has_more else None)


def _encoded(page: Page, versions: Versions) -> bytes:
    documents = [[each.id, each.fields, each.revision] for each in page.documents]
    value = [versions, documents, page.next is not None]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(query: Query, value: bytes) -> _Kept:
    content: list[Any] = json.loads(value)
    versions, stored, has_more = content
    documents = tuple(Document(*each) for each in stored)
    return _Kept(Page(documents, query.position_of(documents[-1]) if has_more else None), versions)
