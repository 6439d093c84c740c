"""A careful transaction a transfer: PyMongo alone, majority and journal, idempotent by the transfer's id.

What a backend developer writes after reading MongoDB's manual: the funds are checked by the update that
takes them, a repeated id changes nothing, `with_transaction` tries again what conflicts.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pymongo
import uvloop
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from benchmarks.rounds import Configuration, Figures, answer_rounds, closed_loop, configuration

EACH = 10**12
HOT = "account-0"
DURABLE = WriteConcern("majority", j=True)


class InsufficientFunds(Exception):
    """Aborts the transaction."""


class Transfers:
    def __init__(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self._client = client
        database = client.get_database("peer_pymongo", write_concern=DURABLE)
        self._accounts = database["accounts"]
        self._transfers = database["transfers"]

    async def prepare(self, accounts: int) -> None:
        await self._accounts.delete_many({})
        await self._transfers.delete_many({})
        rows = [{"_id": f"account-{index}", "asset": "GOLD", "posted": EACH} for index in range(accounts)]
        await self._accounts.insert_many(rows)
        await self._transfers.create_index([("source", 1), ("recorded_at", 1)])
        await self._transfers.create_index([("destination", 1), ("recorded_at", 1)])

    async def post(self, transfer_id: str, source: str, destination: str, amount: int) -> None:
        async def body(session: AsyncClientSession) -> None:
            taken = await self._accounts.update_one(
                {"_id": source, "posted": {"$gte": amount}}, {"$inc": {"posted": -amount}}, session=session
            )
            if taken.matched_count != 1:
                raise InsufficientFunds(source)
            await self._accounts.update_one(
                {"_id": destination}, {"$inc": {"posted": amount}}, session=session
            )
            await self._transfers.insert_one(
                {
                    "_id": transfer_id,
                    "source": source,
                    "destination": destination,
                    "amount": amount,
                    "code": "purchase",
                    "recorded_at": time.time_ns() // 1_000_000,
                },
                session=session,
            )

        async with self._client.start_session() as session:
            try:
                await session.with_transaction(
                    body, read_concern=ReadConcern("snapshot"), write_concern=DURABLE
                )
            except DuplicateKeyError:
                return  # It was posted before: the same answer again.


async def measure(config: Configuration) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        config["mongo_url"],
        username=config["user"],
        password=config["password"],
        authSource="admin",
        maxPoolSize=config["callers"],
    )
    async with client:
        transfers = Transfers(client)
        accounts, hot = config["accounts"], config["hot"]
        await transfers.prepare(accounts)

        async def work(caller: int, _: int) -> None:
            source = HOT if hot else f"account-{int(random.random() * accounts)}"
            destination = f"account-{1 + int(random.random() * (accounts - 1))}"
            if destination == source:
                destination = HOT
            await transfers.post(f"{time.time_ns():x}-{caller}", source, destination, 5)

        async def measured(seconds: float) -> Figures:
            return await closed_loop(work, callers=config["callers"], seconds=seconds)

        await answer_rounds(measured, {"pymongo": pymongo.version})


if __name__ == "__main__":
    uvloop.run(measure(configuration()))
