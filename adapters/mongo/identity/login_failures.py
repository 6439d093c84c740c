"""Wrong passwords, counted in MongoDB: what empties Redis must not give a guesser a clean sheet."""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.mongo.driver.interface import Document, Index, MongoDriver
from adapters.mongo.validators import DATE, INTEGER, TEXT, Validators, documents_of
from domain.identity.login_delay import NO_FAILURES, DelayPolicy, Failures
from ports.identity.login_failures import LoginFailures

COLLECTION = "login_failures"

INDEXES = {COLLECTION: (Index("purge", (("purge_at", 1),), expire_after_seconds=0),)}

VALIDATORS: Validators = {
    COLLECTION: documents_of({"_id": TEXT, "count": INTEGER, "last_ms": INTEGER, "purge_at": DATE})
}

_CLEARED: Document = {"$set": {"count": 0, "last_ms": 0, "purge_at": "$$NOW"}}


class MongoLoginFailures:
    """The server deletes forgotten failures."""

    def __init__(self, *, driver: MongoDriver) -> None:
        self._failures = driver.collection(COLLECTION)

    async def get(self, digest: str) -> Failures:
        found = await self._failures.find_one({"_id": digest, "count": {"$gt": 0}})
        return NO_FAILURES if found is None else Failures(found["count"], found["last_ms"])

    async def add(self, digest: str, policy: DelayPolicy, *, now_ms: int) -> None:
        # `after_failure` in the server's words: null, of a name without failures, is less than any number.
        remembered: Document = {
            "$cond": [{"$gt": ["$last_ms", now_ms - policy.forget_ms]}, {"$ifNull": ["$count", 0]}, 0]
        }
        purge_at = datetime.fromtimestamp((now_ms + policy.forget_ms) / 1000, UTC)
        change: Document = {
            "$set": {
                "count": {"$add": [remembered, 1]},
                "last_ms": {"$max": ["$last_ms", now_ms]},
                "purge_at": {"$max": ["$purge_at", purge_at]},
            }
        }
        await self._failures.update_one({"_id": digest}, [change], upsert=True)

    async def clear(self, digest: str) -> None:
        # The server removes it: this user may not. One that comes meanwhile moves `purge_at` on.
        await self._failures.update_one({"_id": digest}, [_CLEARED])


def _proof(failures: MongoLoginFailures) -> LoginFailures:
    """mypy holds the adapter to its port here."""
    return failures
