"""Claims in MongoDB: one document a book, true until a moment on the primary's clock."""

from __future__ import annotations

from typing import Any, Final

from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Concern, Index, MongoCollection, MongoDriver
from adapters.mongo.indexes import Indexes
from adapters.mongo.validators import DATE, TEXT, Validators, documents_of
from ports.ledger.claims import Claim, Claims

COLLECTION: Final = "journal_claims"
FORGOTTEN_AFTER_S: Final = 3_600

INDEXES: Final[Indexes] = {
    COLLECTION: (Index("until", (("until", 1),), expire_after_seconds=FORGOTTEN_AFTER_S),)
}

VALIDATORS: Final[Validators] = {COLLECTION: documents_of({"_id": TEXT, "who": TEXT, "until": DATE})}


class MongoClaims:
    """Documents are `{_id: book, who, until}`. A claim that a fail-over loses was worth no majority."""

    def __init__(self, driver: MongoDriver) -> None:
        self._claims: MongoCollection = driver.collection(COLLECTION, concern=Concern.LOCAL)

    async def make(self, book: str, who: str, *, for_ms: int) -> None:
        is_free = {"$or": [{"$eq": ["$who", who]}, {"$lte": [{"$ifNull": ["$until", None]}, "$$NOW"]}]}
        until = {"$add": ["$$NOW", for_ms]}
        change: list[dict[str, Any]] = [
            {
                "$set": {
                    "who": {"$cond": [is_free, {"$literal": who}, "$who"]},
                    "until": {"$cond": [is_free, until, "$until"]},
                }
            }
        ]
        try:
            await self._claims.update_one({"_id": book}, change, upsert=True)
        except DuplicateKey:
            return  # Two claimed a book for the first time, and the other one was faster.

    async def standing(self, book: str) -> Claim | None:
        left = {"$toLong": {"$subtract": ["$until", "$$NOW"]}}
        found = await self._claims.aggregate(
            [{"$match": {"_id": book}}, {"$project": {"who": 1, "left": left}}]
        )
        if not found or found[0]["left"] <= 0:
            return None
        return Claim(found[0]["who"], int(found[0]["left"]))

    async def withdraw(self, book: str, who: str) -> None:
        # Not removed, which this user may not: one that is over is none, and the server removes it.
        await self._claims.update_one({"_id": book, "who": who}, [{"$set": {"until": "$$NOW"}}])


def _fits(driver: MongoDriver) -> Claims:
    return MongoClaims(driver)
