"""Account checkpoints in MongoDB: absolute values, each with the `seq` it is true at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adapters.mongo.driver import Change, Document, Index, MongoCollection, MongoDriver, UpdateOne
from adapters.mongo.schema import Indexes
from domain.ledger.account import Account, AccountState
from ports.journal import Checkpoints

COLLECTION: Final = "accounts"

INDEXES: Final[Indexes] = {
    COLLECTION: (Index("book_key", (("book", 1), ("key", 1)), unique=True),),
}


class MongoCheckpoints:
    def __init__(self, driver: MongoDriver) -> None:
        self._states: MongoCollection = driver.collection(COLLECTION)

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        found = await self._states.find({"book": book, "key": {"$in": list(account_keys)}})
        return {document["key"]: _state(document) for document in found}

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        await self._states.bulk_write(
            [
                UpdateOne({"book": book, "key": state.account.key}, _newest(book, state), upsert=True)
                for state in states
            ]
        )


def _newest(book: str, state: AccountState) -> Change:
    """Replaces what is stored when it is older; a missing `seq` sorts before every number."""
    account = state.account
    stored = {
        "book": book,
        "key": account.key,
        "id": account.id,
        "asset": account.asset,
        "user_id": account.user_id,
        "overdraft_limit": account.overdraft_limit,
        "metadata": account.metadata,
        "posted": state.posted,
        "held": state.held,
        "seq": state.seq,
    }
    # `$literal`: text that begins with `$` is text, not a field path.
    replacement = {"$mergeObjects": [{"_id": "$_id"}, {"$literal": stored}]}
    return [{"$replaceWith": {"$cond": [{"$lt": ["$seq", state.seq]}, replacement, "$$ROOT"]}}]


def _state(stored: Document) -> AccountState:
    account = Account(
        stored["id"],
        stored["asset"],
        stored["user_id"],
        stored["overdraft_limit"],
        stored["metadata"],
    )
    return AccountState(account, stored["posted"], stored["held"], stored["seq"])


def _fits(driver: MongoDriver) -> Checkpoints:
    return MongoCheckpoints(driver)
