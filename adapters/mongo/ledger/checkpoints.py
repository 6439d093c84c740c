"""Account checkpoints in MongoDB: absolute values, each with the `seq` it is true at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.mongo.driver.interface import (
    Change,
    Document,
    Filter,
    Index,
    MongoCollection,
    MongoDriver,
    UpdateOne,
)
from adapters.mongo.indexes import Indexes
from adapters.mongo.ledger.states import record_of_state, state_of
from adapters.mongo.validators import INTEGER, OBJECT, TEXT, Validators, documents_of
from domain.ledger.account import AccountState
from domain.ledger.crossings import Snapshot
from domain.ledger.lots import NEVER_MS
from ports.ledger.journal import ASSETS_COUNTED_MAX, AssetCensus, Checkpoints, StoredState, UnreadableBook

COLLECTION: Final = "accounts"
SNAPSHOTS: Final = "account_snapshots"

INDEXES: Final[Indexes] = {
    COLLECTION: (
        Index("book_key", (("book", 1), ("key", 1)), unique=True),
        # Only accounts in which something falls due have the field.
        Index("due", (("due", 1),), partial={"due": {"$exists": True}}),
    ),
    SNAPSHOTS: (
        Index("book_key_seq", (("book", 1), ("key", 1), ("seq", 1)), unique=True),
        Index("book_key_time", (("book", 1), ("key", 1), ("time", -1), ("seq", -1))),
    ),
}

VALIDATORS: Final[Validators] = {
    COLLECTION: documents_of(
        {"book": TEXT, "key": TEXT, "posted": INTEGER, "held": INTEGER, "seq": INTEGER}, {"due": INTEGER}
    ),
    SNAPSHOTS: documents_of({"book": TEXT, "key": TEXT, "seq": INTEGER, "time": INTEGER, "state": OBJECT}),
}


class MongoCheckpoints:
    def __init__(self, driver: MongoDriver) -> None:
        self._states: MongoCollection = driver.collection(COLLECTION)
        self._snapshots: MongoCollection = driver.collection(SNAPSHOTS)

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        found = await self._states.find({"book": book, "key": {"$in": list(account_keys)}})
        return {document["key"]: _state(book, document["key"], document) for document in found}

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        await self._states.bulk_write(
            [
                UpdateOne({"book": book, "key": state.account.key}, _newest(book, state), upsert=True)
                for state in states
            ]
        )

    async def due(self, now_ms: int, *, limit: int) -> Sequence[tuple[str, str]]:
        found = await self._states.find(
            {"due": {"$lte": now_ms}}, sort=(("due", 1),), limit=limit, projection={"book": 1, "key": 1}
        )
        return [(document["book"], document["key"]) for document in found]

    async def census(self, bounds: Sequence[int]) -> Sequence[AssetCensus]:
        within = {
            f"within_{place}": {"$sum": {"$cond": [{"$lte": ["$posted", bound]}, 1, 0]}}
            for place, bound in enumerate(bounds)
        }
        found = await self._states.aggregate(
            [
                {"$match": {"id": {"$not": {"$regex": "^@"}}, "asset": {"$type": "string"}}},
                {
                    "$group": {
                        "_id": "$asset",
                        "accounts": {"$sum": 1},
                        "posted": {"$sum": "$posted"},
                        "held": {"$sum": "$held"},
                        **within,
                    }
                },
                {"$sort": {"accounts": -1, "_id": 1}},
                {"$limit": ASSETS_COUNTED_MAX},
            ]
        )
        return [
            AssetCensus(
                document["_id"],
                tuple(int(document[name]) for name in within),
                int(document["accounts"]),
                int(document["posted"]),
                int(document["held"]),
            )
            for document in found
        ]

    async def keep(self, book: str, snapshots: Sequence[Snapshot]) -> None:
        await self._snapshots.bulk_write(
            [
                UpdateOne(
                    {"book": book, "key": snapshot.state.account.key, "seq": snapshot.state.seq},
                    {"$setOnInsert": {"time": snapshot.time_ms, "state": record_of_state(snapshot.state)}},
                    upsert=True,
                )
                for snapshot in snapshots
            ]
        )

    async def kept(self, book: str, account_key: str, time_ms: int) -> Snapshot | None:
        found = await self._snapshots.find_one(
            {"book": book, "key": account_key, "time": {"$lte": time_ms}}, sort=(("time", -1), ("seq", -1))
        )
        if found is None:
            return None
        return Snapshot(_state(book, account_key, found["state"]), found["time"])

    async def states_after(self, book: str, account_key: str, *, limit: int) -> Sequence[StoredState]:
        found = await self._states.find(
            {"book": book, "key": {"$gt": account_key}}, sort=(("key", 1),), limit=limit
        )
        return [_state_stored(document) for document in found]

    async def snapshots_after(
        self, book: str, account_key: str, seq: int, *, limit: int
    ) -> Sequence[StoredState]:
        later: list[Filter] = [{"key": account_key, "seq": {"$gt": seq}}, {"key": {"$gt": account_key}}]
        found = await self._snapshots.find(
            {"book": book, "$or": later}, sort=(("key", 1), ("seq", 1)), limit=limit
        )
        return [_snapshot_stored(document) for document in found]


def _state(book: str, account_key: str, record: Document) -> AccountState:
    try:
        return state_of(record)
    except _NOT_OURS as error:
        raise UnreadableBook(book, repr(error), key=account_key) from error


def _state_stored(document: Document) -> StoredState:
    key, seq = document["key"], _number(document.get("seq"))
    try:
        state = state_of(document)
        if _as_stored(document.get("book", ""), state) == _without_id(document):
            return StoredState(key, seq, state)
    except _NOT_OURS:
        pass
    return StoredState(key, seq, None)


def _snapshot_stored(document: Document) -> StoredState:
    key, seq = document["key"], _number(document.get("seq"))
    try:
        state, time_ms = state_of(document["state"]), document["time"]
        stored = {
            "book": document["book"],
            "key": state.account.key,
            "seq": state.seq,
            "time": time_ms,
            "state": record_of_state(state),
        }
        if stored == _without_id(document):
            return StoredState(key, seq, state, time_ms)
    except _NOT_OURS:
        pass
    return StoredState(key, seq, None)


_NOT_OURS: Final = (KeyError, TypeError, ValueError, AttributeError)
"""What a document brings about that no writer of ours has written."""


def _without_id(document: Document) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "_id"}


def _number(seq: Any) -> int:
    return seq if isinstance(seq, int) else 0


def _newest(book: str, state: AccountState) -> Change:
    """Replaces what is stored when it is older; a missing `seq` sorts before every number."""
    stored = _as_stored(book, state)
    # `$literal`: text that begins with `$` is text, not a field path.
    replacement = {"$mergeObjects": [{"_id": "$_id"}, {"$literal": stored}]}
    return [{"$replaceWith": {"$cond": [{"$lt": ["$seq", state.seq]}, replacement, "$$ROOT"]}}]


def _as_stored(book: str, state: AccountState) -> Document:
    stored = {"book": book, "key": state.account.key, **record_of_state(state)}
    if state.holdings.due_ms != NEVER_MS:
        stored["due"] = state.holdings.due_ms
    return stored


def _fits(driver: MongoDriver) -> Checkpoints:
    return MongoCheckpoints(driver)
