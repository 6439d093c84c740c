"""Answers to idempotent writes, in MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Document, Index, MongoCollection, MongoDriver, MongoTransaction
from adapters.mongo.validators import BYTES, DATE, INTEGER, TEXT, Validators, documents_of
from domain.idempotency import REMEMBERED_MS, RememberedAnswer
from ports.idempotency import AlreadyAnswered, IdempotencyStore

COLLECTION = "answers"

INDEXES = {COLLECTION: (Index("purge", (("purge_at", 1),), expire_after_seconds=0),)}

VALIDATORS: Validators = {
    COLLECTION: documents_of(
        {
            "_id": TEXT,
            "fingerprint": BYTES,
            "status": INTEGER,
            "sealed_body": BYTES,
            "at_ms": INTEGER,
            "purge_at": DATE,
        }
    )
}


class MongoIdempotencyStore:
    """The server deletes forgotten answers, within a minute or two."""

    def __init__(self, *, driver: MongoDriver) -> None:
        self._answers = driver.collection(COLLECTION)

    async def find(self, answer_id: str, *, now_ms: int) -> RememberedAnswer | None:
        document = await self._answers.find_one({"_id": answer_id})
        if document is None:
            return None
        answer = _answer(document)
        return None if answer.is_forgotten(now_ms) else answer

    async def remember(self, answer: RememberedAnswer) -> None:
        await _put(self._answers, answer)


async def remember_in(transaction: MongoTransaction, answer: RememberedAnswer | None) -> None:
    """Stores the answer of a write together with the write. Raises `AlreadyAnswered`."""
    if answer is not None:
        await _put(transaction.collection(COLLECTION), answer)


async def _put(answers: MongoCollection, answer: RememberedAnswer) -> None:
    document = dict(_document(answer))
    forgotten = {"_id": document.pop("_id"), "at_ms": {"$lte": answer.at_ms - REMEMBERED_MS}}
    try:
        # Matches a forgotten one; inserts where there is none; a live one is in the way of that.
        await answers.update_one(forgotten, {"$set": document}, upsert=True)
    except DuplicateKey as refused:
        raise AlreadyAnswered from refused


def _document(answer: RememberedAnswer) -> Document:
    return {
        "_id": answer.id,
        "fingerprint": answer.fingerprint,
        "status": answer.status,
        "sealed_body": answer.sealed_body,
        "at_ms": answer.at_ms,
        "purge_at": datetime.fromtimestamp((answer.at_ms + REMEMBERED_MS) / 1000, UTC),
    }


def _answer(document: Document) -> RememberedAnswer:
    return RememberedAnswer(
        id=document["_id"],
        fingerprint=bytes(document["fingerprint"]),
        status=document["status"],
        sealed_body=bytes(document["sealed_body"]),
        at_ms=document["at_ms"],
    )


def _proof(answers: MongoIdempotencyStore) -> IdempotencyStore:
    """mypy holds the adapter to its port here."""
    return answers
