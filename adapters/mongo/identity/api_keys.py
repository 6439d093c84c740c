"""Service keys in MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.mongo.audit import AuditEntries
from adapters.mongo.driver.interface import Document, Index, MongoDriver, MongoTransaction, UpdateOne
from adapters.mongo.idempotency import remember_in
from adapters.mongo.identity.users import note_key_in
from adapters.mongo.validators import BYTES, INTEGER, LIST, TEXT, Validators, documents_of, or_null
from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.api_keys import KEYS_PER_SPONSOR_MAX, ApiKey, Scope
from ports.identity.api_keys import ApiKeyPage, ApiKeys, KeyAdded
from ports.identity.sessions import EndEvent

COLLECTION = "api_keys"

INDEXES = {
    COLLECTION: (
        Index("by_book", (("book", 1), ("_id", -1))),
        Index("by_place", (("made_for", 1),), partial={"made_for": {"$type": "string"}}),
        Index("living_by_sponsor", (("sponsor_id", 1), ("expires_ms", 1)), partial={"revoked_ms": None}),
        Index("by_revocation", (("revoked_ms", -1),), partial={"revoked_ms": {"$type": "number"}}),
    )
}

VALIDATORS: Validators = {
    COLLECTION: documents_of(
        {
            "_id": TEXT,
            "name": TEXT,
            "scopes": LIST,
            "book": TEXT,
            "secret_digest": BYTES,
            "created_ms": INTEGER,
            "created_by": TEXT,
            "expires_ms": or_null(INTEGER),
            "revoked_ms": or_null(INTEGER),
            "last_used_ms": or_null(INTEGER),
        },
        {"sponsor_id": or_null(TEXT), "made_for": or_null(TEXT), "signing_secret": or_null(BYTES)},
    )
}


class MongoApiKeys:
    def __init__(self, *, driver: MongoDriver, audit: AuditEntries) -> None:
        self._driver = driver
        self._audit = audit
        self._keys = driver.collection(COLLECTION)

    async def add(
        self, key: ApiKey, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> KeyAdded:
        async def write(transaction: MongoTransaction) -> KeyAdded:
            keys = transaction.collection(COLLECTION)
            if key.sponsor_id is not None:
                # First: from here on no other key in this name commits.
                if not await note_key_in(transaction, key.sponsor_id):
                    return KeyAdded.SPONSOR_GONE
                living = _living(key.sponsor_id, key.created_ms)
                if await keys.count(living, limit=KEYS_PER_SPONSOR_MAX) >= KEYS_PER_SPONSOR_MAX:
                    return KeyAdded.TOO_MANY
            await remember_in(transaction, answer)
            await keys.insert_one(_document(key))
            await self._audit.record_in(transaction, event)
            return KeyAdded.ADDED

        return await self._driver.transaction(write)

    async def get(self, key_id: str) -> ApiKey | None:
        document = await self._keys.find_one({"_id": key_id})
        return None if document is None else _key(document)

    async def list_page(self, *, limit: int, cursor: str | None) -> ApiKeyPage:
        query = {} if cursor is None else {"_id": {"$lt": cursor}}
        found = await self._keys.find(query, sort=(("_id", -1),), limit=limit + 1)
        items = tuple(map(_key, found[:limit]))
        return ApiKeyPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)

    async def revoke(self, key_id: str, *, now_ms: int, event: AuditEvent) -> bool:
        async def write(transaction: MongoTransaction) -> bool:
            updated = await transaction.collection(COLLECTION).update_one(
                {"_id": key_id, "revoked_ms": None}, {"$set": {"revoked_ms": now_ms}}
            )
            if updated.matched:
                await self._audit.record_in(transaction, event)
            return updated.matched == 1

        return await self._driver.transaction(write)

    async def living_made_for(self, place: str, *, limit: int) -> Sequence[str]:
        found = await self._keys.find(
            {"made_for": place, "revoked_ms": None}, sort=(("_id", 1),), limit=limit, projection={"_id": 1}
        )
        return tuple(document["_id"] for document in found)

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        found = await self._keys.find(
            # The type said as the index says it, or the server goes through all of the collection.
            {"revoked_ms": {"$gte": since_ms, "$type": "number"}},
            sort=(("revoked_ms", -1),),
            limit=limit,
            projection={"_id": 1},
        )
        return tuple(document["_id"] for document in found)

    async def touch(self, last_used_ms: Mapping[str, int]) -> None:
        # In MongoDB's order of types null is less than any number, so the first use wins over none.
        updates = [
            UpdateOne({"_id": key_id}, {"$max": {"last_used_ms": at_ms}})
            for key_id, at_ms in last_used_ms.items()
        ]
        await self._keys.bulk_write(updates)


async def revoke_sponsored_in(
    transaction: MongoTransaction, user_id: str, now_ms: int, end_event: EndEvent, audit: AuditEntries
) -> tuple[str, ...]:
    """The ids of the user's keys that lived, each with its event; at most `KEYS_PER_SPONSOR_MAX` do."""
    keys = transaction.collection(COLLECTION)
    living = _living(user_id, now_ms)
    found = await keys.find(living, sort=(("_id", 1),), projection={"_id": 1})
    if found:
        await keys.update_many(living, {"$set": {"revoked_ms": now_ms}})
    ended = tuple(document["_id"] for document in found)
    await audit.record_all_in(transaction, [end_event(key_id) for key_id in ended])
    return ended


def _living(sponsor_id: str, now_ms: int) -> Document:
    """Those in this user's name that are neither revoked nor expired."""
    unexpired = [{"expires_ms": None}, {"expires_ms": {"$gt": now_ms}}]
    return {"sponsor_id": sponsor_id, "revoked_ms": None, "$or": unexpired}


def _document(key: ApiKey) -> Document:
    return {
        "_id": key.id,
        "name": key.name,
        "scopes": sorted(scope.value for scope in key.scopes),
        "book": key.book,
        "secret_digest": key.secret_digest,
        "created_ms": key.created_ms,
        "created_by": key.created_by,
        "sponsor_id": key.sponsor_id,
        "made_for": key.made_for,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
        "last_used_ms": key.last_used_ms,
        "signing_secret": key.signing_secret,
    }


def _key(document: Document) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        name=document["name"],
        scopes=frozenset(map(Scope, document["scopes"])),
        book=document["book"],
        secret_digest=bytes(document["secret_digest"]),
        created_ms=document["created_ms"],
        created_by=document["created_by"],
        expires_ms=document["expires_ms"],
        revoked_ms=document["revoked_ms"],
        last_used_ms=document["last_used_ms"],
        # Keys of earlier releases have none of these.
        sponsor_id=document.get("sponsor_id"),
        made_for=document.get("made_for"),
        signing_secret=document.get("signing_secret"),
    )


def _proof(keys: MongoApiKeys) -> ApiKeys:
    """mypy holds the adapter to its port here."""
    return keys
