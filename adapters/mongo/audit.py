"""The audit log in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Document, Index, MongoDriver, MongoTransaction
from adapters.mongo.encrypted_fields import opened, sealed
from adapters.mongo.validators import INTEGER, OBJECT, PERSONAL, TEXT, Validators, documents_of
from domain.audit import AuditAction, AuditEvent, AuditFilter, first_id_at
from ports.audit import AuditLog, AuditPage, OnRecorded
from ports.encryption.field_cipher import FieldCipher

COLLECTION = "audit_logs"
EVENTS_A_MESSAGE = 1_000
"""So many are inserted at once, however many a transaction brings."""

INDEXES = {
    COLLECTION: (
        Index("by_actor", (("actor", 1), ("_id", -1))),
        Index("by_action", (("action", 1), ("_id", -1))),
        Index("by_resource", (("resource", 1), ("_id", -1))),
    )
}

VALIDATORS: Validators = {
    COLLECTION: documents_of(
        {
            "_id": TEXT,
            "at_ms": INTEGER,
            "actor": TEXT,
            "action": TEXT,
            "resource": TEXT,
            "address": PERSONAL,
            "request_id": TEXT,
            "detail": OBJECT,
        }
    )
}


class AuditEntries:
    """Audit events as they are stored, written along with others' writes. `address` is its field's cipher."""

    def __init__(self, *, address: FieldCipher) -> None:
        self._address = address

    async def record_all_in(self, transaction: MongoTransaction, events: Sequence[AuditEvent]) -> None:
        """`record_in` of each, in few messages."""
        for place in range(0, len(events), EVENTS_A_MESSAGE):
            some = events[place : place + EVENTS_A_MESSAGE]
            await transaction.collection(COLLECTION).insert_many([self.document(event) for event in some])
        for event in events:
            transaction.tell_of(event)

    async def record_in(self, transaction: MongoTransaction, event: AuditEvent) -> None:
        """Stores the event of a write together with the write."""
        await transaction.collection(COLLECTION).insert_one(self.document(event))
        transaction.tell_of(event)

    def document(self, event: AuditEvent) -> Document:
        return {
            "_id": event.id,
            "at_ms": event.at_ms,
            "actor": event.actor,
            "action": event.action.value,
            "resource": event.resource,
            "address": sealed(self._address, event.id, event.address),
            "request_id": event.request_id,
            "detail": dict(event.detail),
        }

    def read(self, document: Document) -> AuditEvent:
        """Raises `UnreadableField`."""
        return AuditEvent(
            id=document["_id"],
            at_ms=document["at_ms"],
            actor=document["actor"],
            action=AuditAction(document["action"]),
            resource=document["resource"],
            address=opened(self._address, document["_id"], document["address"]),
            request_id=document["request_id"],
            detail=document["detail"],
        )


class MongoAuditLog:
    """Ids are time-ordered, so the primary key is the order of the log."""

    def __init__(
        self,
        *,
        drivers: Sequence[MongoDriver],
        entries: AuditEntries,
        on_recorded: OnRecorded | None = None,
    ) -> None:
        """Writes through the first driver, and removes through the last. `on_recorded` hears of events that
        go along with others' writes, too, through any of them."""
        self._events = drivers[0].collection(COLLECTION)
        self._all_events = drivers[-1].collection(COLLECTION)
        self._entries = entries
        self._on_recorded = on_recorded
        for driver in drivers:
            driver.on_commit(self._note)

    async def record(self, event: AuditEvent) -> None:
        try:
            await self._events.insert_one(self._entries.document(event))
        except DuplicateKey:
            return  # An earlier try came through.
        self._note(event)

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str | None) -> AuditPage:
        found = await self._events.find(_query(wanted, cursor), sort=(("_id", -1),), limit=limit + 1)
        items = tuple(map(self._entries.read, found[:limit]))
        return AuditPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)

    async def remove_before(self, moment_ms: int, *, limit: int) -> int:
        over = {"_id": {"$lt": first_id_at(moment_ms)}}
        found = await self._all_events.find(over, sort=(("_id", 1),), limit=limit, projection={"_id": 1})
        if not found:
            return 0
        # Of workers that do this at once, each removes what the others have left of it.
        await self._all_events.delete_many({"_id": {"$lte": found[-1]["_id"]}})
        return len(found)

    def _note(self, event: object) -> None:
        if self._on_recorded is not None and isinstance(event, AuditEvent):
            self._on_recorded(event)


def _query(wanted: AuditFilter, cursor: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if wanted.actor is not None:
        query["actor"] = wanted.actor
    if wanted.action is not None:
        query["action"] = wanted.action.value
    if wanted.resource is not None:
        query["resource"] = wanted.resource
    # By the id, whose beginning is the time: every index ends with it, and none holds `at_ms`.
    before = [] if wanted.until_ms is None else [first_id_at(wanted.until_ms)]
    if cursor is not None:
        before.append(cursor)
    if before:
        query["_id"] = {"$lt": min(before)}
    if wanted.from_ms is not None:
        query["_id"] = query.get("_id", {}) | {"$gte": first_id_at(wanted.from_ms)}
    return query


def _proof(log: MongoAuditLog) -> AuditLog:
    """mypy holds the adapter to its port here."""
    return log
