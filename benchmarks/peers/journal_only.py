"""What MongoDB itself allows: one insert of a ready document a batch, with the journal's indexes, no rules.

No ledger can be faster on this server. Nothing is decided, hashed or made from a command here.
"""

from __future__ import annotations

import time
from typing import Any

import pymongo
import uvloop
from bson import encode
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, WriteConcern

from benchmarks.rounds import Configuration, Figures, answer_rounds, closed_loop, configuration


def _document(batch: int) -> RawBSONDocument:
    now = f"{time.time_ns():x}"
    entries = [
        {
            "kind": "transfer",
            "id": f"{now}-{index}",
            "source": f"account-{index % 1000}",
            "destination": f"account-{(index * 7 + 1) % 1000}",
            "amount": 5,
            "asset": "GOLD",
            "code": "purchase",
            "source_posted": 10**12 - index,
            "destination_posted": 10**12 + index,
            "keys": [f"t:{now}-{index}"],
            "fingerprint": "f" * 32,
            "actor": "bench",
        }
        for index in range(batch)
    ]
    subjects = [f"a:account-{index}" for index in range(min(batch, 1000))]
    return RawBSONDocument(
        encode({"_id": now, "book": "main", "seq": now, "subjects": subjects, "entries": entries})
    )


async def measure(config: Configuration) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        config["mongo_url"], username=config["user"], password=config["password"], authSource="admin"
    )
    async with client:
        database = client.get_database("peer_journal", write_concern=WriteConcern("majority", j=True))
        journal = database["journal"]
        await journal.delete_many({})
        await journal.create_index([("book", 1), ("seq", 1)], unique=True)
        await journal.create_index([("book", 1), ("entries.keys", 1)], unique=True)
        await journal.create_index([("book", 1), ("subjects", 1), ("seq", 1)])

        async def work(_: int, __: int) -> None:
            await journal.insert_one(_document(config["batch"]))

        async def measured(seconds: float) -> Figures:
            figures = await closed_loop(work, callers=config["callers"], seconds=seconds)
            figures["per_second"] *= config["batch"]
            return figures

        await answer_rounds(measured, {"pymongo": pymongo.version})


if __name__ == "__main__":
    uvloop.run(measure(configuration()))
