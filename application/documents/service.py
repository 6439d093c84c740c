"""Plugins' documents: writes by database role, with audit events, and cached queries that are never stale."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from domain.documents.queries import DocumentPosition, Query
from domain.ids import RANDOMNESS_BYTES, is_id, time_ordered_id
from ports.clock import Clock
from ports.documents.cache import VALUE_BYTES_MAX, Cache
from ports.documents.document_store import DocumentStore, FoundDocuments, Versions
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import Runtime

CACHE_TTL_MS = 300_000
"""How long an unused answer stays in the cache. It bounds the room that answers take, not their age."""
VERSION_READS_AT_ONCE_MAX = 256
VERSION_READS_WAITING_MAX = 8_192
WRITE_ATTEMPTS_MAX = 16
"""Races over one document that a write may lose before it is refused as `revision_differs`."""
FORMAT = "1"
"""The format of cached answers, a part of their names: a new one hides answers of the old one."""

QUERIES = Metric(
    "credit_cached_queries_total",
    MetricKind.COUNTER,
    "Queries of documents, by what the cache had for them",
    ("outcome",),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of documents. `next` is the position after it; None on the last page."""

    documents: Sequence[Document]
    next: DocumentPosition | None


@dataclass(frozen=True, slots=True)
class _CachedPage:
    page: Page
    versions: Versions


class DocumentService:
    """Reads and writes plugins' documents. Queries are cached and never stale.

    An answer is cached with the versions of its parts, both of one snapshot. It is returned again only while
    the database has the same versions, which are read after the query arrived.

    Every coroutine raises `DependencyUnavailable` when the database is unavailable; the cache may be. Methods
    raise `LookupError` for a collection that was not declared.
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
        # One read of versions serves all queries that arrived before it, so that many hits cost one read.
        self._version_reads = runtime.batcher(
            self._read_versions, items_max=VERSION_READS_AT_ONCE_MAX, waiting_max=VERSION_READS_WAITING_MAX
        )

    def declare(self, collection: Collection) -> None:
        """Declares a collection, before `start`. Raises `ValueError` when its name is taken."""
        if collection.full_name in self._declared:
            raise ValueError(f"a collection {collection.full_name!r} is declared already")
        self._declared[collection.full_name] = collection

    async def start(self) -> None:
        """Creates the indexes of the declared collections."""
        await self._documents.prepare(tuple(self._declared.values()))

    @traced
    async def query(self, query: Query) -> Page:
        """A page of the documents that a query selects, from the cache or the database.

        Includes every write that any worker acknowledged before the call. Raises `Overloaded` when too many
        queries wait for versions.
        """
        self._check(query.collection)
        name = f"documents/{FORMAT}/{query.name}"
        cached = await self._read_cache(name, query)
        if cached is not None:
            if await self._version_reads.submit(query.parts) == cached.versions:
                self._queries.add(1, "hit")
                return cached.page
            self._queries.add(1, "stale")
        found = await self._documents.find(query)
        page = _page(query, found)
        await self._write_cache(name, page, found.versions)
        return page

    @traced
    async def get(self, collection: Collection, document_id: str) -> Document | None:
        """The document of an id; None without one. Never cached: checking its version costs as much."""
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
        """Adds a document, under `document_id` or a new id. The document, or why nothing was written."""
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
        """Sets the fields of `changes`, each as a whole. The new document, or why nothing was written.

        With a `revision`, only a document of that revision is changed.
        """
        if rejection := self._forbids(collection, role, Act.UPDATE):
            return rejection
        for _ in range(WRITE_ATTEMPTS_MAX):
            old = await self._at(collection, document_id, revision)
            if isinstance(old, DocumentRejection):
                return old
            fields = {**old.fields, **changes}
            if rejection := rejection_of(collection, fields):
                return rejection
            changed = ",".join(sorted(changes))
            event = self._event(
                context, AuditAction.DOCUMENT_UPDATED, collection, document_id, {"fields": changed}
            )
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
        """Deletes a document; None when done, or why nothing was written.

        With a `revision`, only a document of that revision is deleted.
        """
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
        self,
        context: RequestContext,
        action: AuditAction,
        collection: Collection,
        document_id: str,
        detail: Mapping[str, str] | None = None,
    ) -> AuditEvent:
        return audit_event(
            context,
            action,
            f"document:{collection.full_name}/{document_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._entropy.token(RANDOMNESS_BYTES),
            detail=detail,
        )

    async def _read_versions(self, queries: Sequence[tuple[str, ...]]) -> Sequence[Versions]:
        versions = await self._documents.versions(sorted(set(chain.from_iterable(queries))))
        return [{part: versions[part] for part in parts} for parts in queries]

    async def _read_cache(self, name: str, query: Query) -> _CachedPage | None:
        try:
            value = await self._cache.get(name)
        except DependencyUnavailable:
            self._queries.add(1, "unavailable")
            return None
        if value is None:
            self._queries.add(1, "miss")
            return None
        return _decoded(query, value)

    async def _write_cache(self, name: str, page: Page, versions: Versions) -> None:
        value = _encoded(page, versions)
        if len(value) > VALUE_BYTES_MAX:
            return
        try:
            await self._cache.put(name, value, ttl_ms=CACHE_TTL_MS)
        except DependencyUnavailable:
            return  # The next query reads the database again.


def _page(query: Query, found: FoundDocuments) -> Page:
    documents = tuple(found.documents[: query.limit])
    has_more = len(found.documents) > query.limit
    return Page(documents, query.position_of(documents[-1]) if has_more else None)


def _encoded(page: Page, versions: Versions) -> bytes:
    documents = [[each.id, each.fields, each.revision] for each in page.documents]
    value = [versions, documents, page.next is not None]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(query: Query, value: bytes) -> _CachedPage:
    content: list[Any] = json.loads(value)
    versions, stored, has_more = content
    documents = tuple(Document(*each) for each in stored)
    return _CachedPage(Page(documents, query.position_of(documents[-1]) if has_more else None), versions)
