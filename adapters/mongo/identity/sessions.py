"""Sessions in MongoDB: what outlives every cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from adapters.mongo.audit import AuditEntries
from adapters.mongo.driver.interface import Document, Index, MongoDriver, MongoTransaction
from adapters.mongo.encrypted_fields import opened, sealed
from adapters.mongo.identity.users import note_login_in
from adapters.mongo.validators import DATE, INTEGER, LIST, PERSONAL, TEXT, Validators, documents_of, or_null
from domain.audit import AuditEvent
from domain.identity.sessions import Session, surplus
from domain.identity.users import device_digest
from ports.encryption.field_cipher import FieldCipher
from ports.identity.sessions import ActiveCount, EndEvent, Sessions

COLLECTION = "user_sessions"

INDEXES = {
    COLLECTION: (
        Index("by_user", (("user_id", 1), ("_id", -1))),
        Index("by_revocation", (("revoked_ms", -1),), partial={"revoked_ms": {"$type": "number"}}),
        # Whose ends lie ahead; `idle_expires_ms` is never after `absolute_expires_ms`.
        Index("living", (("idle_expires_ms", 1), ("user_id", 1)), partial={"revoked_ms": None}),
        Index("purge", (("purge_at", 1),), expire_after_seconds=86_400),
    )
}

VALIDATORS: Validators = {
    COLLECTION: documents_of(
        {
            "_id": TEXT,
            "user_id": TEXT,
            "device_id": TEXT,
            "credential_version": INTEGER,
            "created_ms": INTEGER,
            "rotated_ms": INTEGER,
            "last_seen_ms": INTEGER,
            "idle_expires_ms": INTEGER,
            "absolute_expires_ms": INTEGER,
            "purge_at": DATE,
            "generation": INTEGER,
            "revoked_ms": or_null(INTEGER),
            "address": PERSONAL,
            "user_agent": PERSONAL,
        },
        {"rotations_ms": LIST, "shown_generation": INTEGER},
    )
}


class MongoSessions:
    """The server deletes a session a day after its absolute expiry. `address` and `user_agent` are the
    ciphers of those fields."""

    def __init__(
        self, *, driver: MongoDriver, address: FieldCipher, user_agent: FieldCipher, audit: AuditEntries
    ) -> None:
        self._driver = driver
        self._address = address
        self._user_agent = user_agent
        self._audit = audit
        self._sessions = driver.collection(COLLECTION)

    async def add(
        self,
        session: Session,
        event: AuditEvent,
        *,
        per_user_max: int,
        end_event: EndEvent,
    ) -> Sequence[str] | None:
        now_ms, user_id = session.created_ms, session.user_id

        async def write(transaction: MongoTransaction) -> Sequence[str] | None:
            # First: from here on no other login of this user commits.
            if not await note_login_in(
                transaction,
                user_id,
                credential_version=session.credential_version,
                device=device_digest(user_id, session.device_id),
                now_ms=now_ms,
            ):
                return None
            sessions = transaction.collection(COLLECTION)
            living = await sessions.find(_living(user_id, now_ms), sort=(("_id", -1),))
            # Where they came from is not asked for: one that cannot be read keeps no one from logging in.
            ended = [old.id for old in surplus([_session(each, "", "") for each in living], per_user_max)]
            if ended:
                await sessions.update_many({"_id": {"$in": ended}}, {"$set": {"revoked_ms": now_ms}})
            await self._audit.record_all_in(transaction, [end_event(session_id) for session_id in ended])
            await sessions.insert_one({**_document(session), **self._origin(session)})
            await self._audit.record_in(transaction, event)
            return ended

        return await self._driver.transaction(write)

    async def get(self, session_id: str) -> Session | None:
        document = await self._sessions.find_one({"_id": session_id})
        return None if document is None else self._read(document)

    async def rotate(self, successor: Session, *, expected_generation: int) -> bool:
        updated = await self._sessions.update_one(
            {"_id": successor.id, "generation": expected_generation, "revoked_ms": None},
            {
                "$set": {
                    "generation": successor.generation,
                    "rotated_ms": successor.rotated_ms,
                    "rotations_ms": list(successor.rotations_ms),
                    "last_seen_ms": successor.last_seen_ms,
                    "idle_expires_ms": successor.idle_expires_ms,
                    **self._origin(successor),
                }
            },
        )
        return updated.matched == 1

    async def confirm_generation(self, session_id: str, *, generation: int) -> None:
        await self._sessions.update_one(
            {"_id": session_id, "generation": generation}, {"$set": {"shown_generation": generation}}
        )

    async def revoke(self, session_id: str, *, now_ms: int, events: Sequence[AuditEvent]) -> bool:
        async def write(transaction: MongoTransaction) -> bool:
            updated = await transaction.collection(COLLECTION).update_one(
                {"_id": session_id, "revoked_ms": None}, {"$set": {"revoked_ms": now_ms}}
            )
            if updated.matched:
                await self._audit.record_all_in(transaction, events)
            return updated.matched == 1

        return await self._driver.transaction(write)

    async def revoke_all(
        self, user_id: str, *, now_ms: int, event: AuditEvent, end_event: EndEvent
    ) -> Sequence[str]:
        async def write(transaction: MongoTransaction) -> Sequence[str]:
            ended = await end_all_in(transaction, user_id, now_ms, end_event, self._audit)
            if ended:
                await self._audit.record_in(transaction, event)
            return ended

        return await self._driver.transaction(write)

    async def list_of_user(self, user_id: str, *, now_ms: int, limit: int) -> Sequence[Session]:
        found = await self._sessions.find(_living(user_id, now_ms), sort=(("_id", -1),), limit=limit)
        return tuple(map(self._read, found))

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        found = await self._sessions.find(
            # The type said as the index says it, or the server goes through all of the collection.
            {"revoked_ms": {"$gte": since_ms, "$type": "number"}},
            sort=(("revoked_ms", -1),),
            limit=limit,
            projection={"_id": 1},
        )
        return tuple(document["_id"] for document in found)

    async def ended_among(self, session_ids: Sequence[str], *, now_ms: int) -> Sequence[str]:
        found = await self._sessions.find(
            {
                "_id": {"$in": list(session_ids)},
                "revoked_ms": None,
                "idle_expires_ms": {"$gt": now_ms},
                "absolute_expires_ms": {"$gt": now_ms},
            },
            projection={"_id": 1},
        )
        living = {document["_id"] for document in found}
        return tuple(session_id for session_id in session_ids if session_id not in living)

    async def count_active(self, now_ms: int) -> ActiveCount:
        found = await self._sessions.aggregate(
            [
                {"$match": {"revoked_ms": None, "idle_expires_ms": {"$gt": now_ms}}},
                {"$group": {"_id": "$user_id", "sessions": {"$sum": 1}}},
                {"$group": {"_id": None, "users": {"$sum": 1}, "sessions": {"$sum": "$sessions"}}},
            ]
        )
        return ActiveCount(found[0]["sessions"], found[0]["users"]) if found else ActiveCount(0, 0)

    def _origin(self, session: Session) -> Document:
        return {
            "address": sealed(self._address, session.id, session.address),
            "user_agent": sealed(self._user_agent, session.id, session.user_agent),
        }

    def _read(self, document: Document) -> Session:
        """Raises `UnreadableField`."""
        session_id = document["_id"]
        return _session(
            document,
            opened(self._address, session_id, document["address"]),
            opened(self._user_agent, session_id, document["user_agent"]),
        )


async def end_all_in(
    transaction: MongoTransaction, user_id: str, now_ms: int, end_event: EndEvent, audit: AuditEntries
) -> tuple[str, ...]:
    """The ids of those that had not been revoked, each with its event. There are few: `per_user_max` of them
    live, and what expired is purged."""
    sessions = transaction.collection(COLLECTION)
    not_revoked = {"user_id": user_id, "revoked_ms": None}
    found = await sessions.find(not_revoked, sort=(("_id", 1),), projection={"_id": 1})
    if found:
        await sessions.update_many(not_revoked, {"$set": {"revoked_ms": now_ms}})
    ended = tuple(document["_id"] for document in found)
    await audit.record_all_in(transaction, [end_event(session_id) for session_id in ended])
    return ended


async def leave_in(transaction: MongoTransaction, user_id: str, now_ms: int) -> None:
    """Forgets where a removed user's sessions came from, and has the server delete them in a day."""
    gone = {"address": "", "user_agent": "", "purge_at": datetime.fromtimestamp(now_ms / 1000, UTC)}
    await transaction.collection(COLLECTION).update_many({"user_id": user_id}, {"$set": gone})


def _living(user_id: str, now_ms: int) -> Document:
    return {
        "user_id": user_id,
        "revoked_ms": None,
        "idle_expires_ms": {"$gt": now_ms},
        "absolute_expires_ms": {"$gt": now_ms},
    }


def _document(session: Session) -> Document:
    """But for where it came from."""
    return {
        "_id": session.id,
        "user_id": session.user_id,
        "device_id": session.device_id,
        "credential_version": session.credential_version,
        "created_ms": session.created_ms,
        "rotated_ms": session.rotated_ms,
        "last_seen_ms": session.last_seen_ms,
        "idle_expires_ms": session.idle_expires_ms,
        "absolute_expires_ms": session.absolute_expires_ms,
        "purge_at": datetime.fromtimestamp(session.absolute_expires_ms / 1000, UTC),
        "generation": session.generation,
        "rotations_ms": list(session.rotations_ms),
        "shown_generation": session.confirmed_generation,
        "revoked_ms": session.revoked_ms,
    }


def _session(document: Document, address: str, user_agent: str) -> Session:
    return Session(
        id=document["_id"],
        user_id=document["user_id"],
        device_id=document["device_id"],
        credential_version=document["credential_version"],
        created_ms=document["created_ms"],
        rotated_ms=document["rotated_ms"],
        last_seen_ms=document["last_seen_ms"],
        idle_expires_ms=document["idle_expires_ms"],
        absolute_expires_ms=document["absolute_expires_ms"],
        generation=document["generation"],
        rotations_ms=_rotations(document),
        confirmed_generation=document.get("shown_generation", 0),
        revoked_ms=document["revoked_ms"],
        address=address,
        user_agent=user_agent,
    )


def _rotations(document: Document) -> tuple[int, ...]:
    """An earlier release writes none, and leaves those of a later one as they were."""
    rotations_ms: Sequence[int] = document.get("rotations_ms", ())
    last_ms = document["rotated_ms"]
    if document["generation"] > 1 and (not rotations_ms or rotations_ms[-1] != last_ms):
        return (last_ms,)
    return tuple(rotations_ms)


def _proof(sessions: MongoSessions) -> Sessions:
    """mypy holds the adapter to its port here."""
    return sessions
