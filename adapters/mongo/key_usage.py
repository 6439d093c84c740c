"""Which keys wrote the encrypted values that are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from adapters.mongo import audit
from adapters.mongo.documents.document_store import PLUGIN_PREFIX
from adapters.mongo.documents.stored_documents import SEALED
from adapters.mongo.driver.interface import Document, MongoDriver
from adapters.mongo.identity import sessions, users
from domain.encryption.envelope import Envelope, parse_envelope

PAGE_DOCUMENTS = 2_000
COLLECTIONS_MAX = 1_000

_OWN: dict[str, Sequence[str]] = {
    users.COLLECTION: ("email",),
    sessions.COLLECTION: ("address", "user_agent"),
    audit.COLLECTION: ("address",),
}


@dataclass(slots=True)
class KeyUsage:
    """How many stored values are whose."""

    by_key: Counter[bytes] = field(default_factory=Counter)
    """By the id in the envelope, whether it opens or not."""
    in_the_clear: int = 0
    """Of the service's own fields: what an earlier release wrote."""
    damaged: int = 0
    """No envelopes: no key opens them."""

    def add(self, stored: object) -> None:
        if isinstance(stored, str):
            self.in_the_clear += stored != ""
            return
        envelope = parse_envelope(bytes(stored)) if isinstance(stored, bytes) else None
        if isinstance(envelope, Envelope):
            self.by_key[envelope.key_id] += 1
        else:
            self.damaged += 1


async def key_usage(driver: MongoDriver) -> KeyUsage:
    """Goes through every encrypted field, plugins' included. `driver` is the administrator's."""
    usage = KeyUsage()
    for name, fields in _OWN.items():
        async for document in _all(driver, name, fields):
            for each in fields:
                usage.add(document.get(each, ""))
    for name in await _plugin_collections(driver):
        async for document in _all(driver, name, (SEALED,)):
            for stored in _sealed(document):
                usage.add(stored)
    return usage


def _sealed(document: Document) -> Iterator[object]:
    yield from document.get(SEALED, {}).values()


async def _all(driver: MongoDriver, name: str, fields: Sequence[str]) -> AsyncIterator[Document]:
    documents, after_id = driver.collection(name), ""
    while True:
        page = await documents.find(
            {"_id": {"$gt": after_id}},
            sort=(("_id", 1),),
            limit=PAGE_DOCUMENTS,
            projection=dict.fromkeys(fields, 1),
        )
        for document in page:
            yield document
        if len(page) < PAGE_DOCUMENTS:
            return
        after_id = page[-1]["_id"]


async def _plugin_collections(driver: MongoDriver) -> Sequence[str]:
    """Found by their names: which of their fields are declared encrypted, only the plugins know."""
    answer = await driver.command(
        {
            "listCollections": 1,
            "nameOnly": True,
            "filter": {"name": {"$regex": f"^{PLUGIN_PREFIX.replace('.', '[.]')}"}, "type": "collection"},
            "cursor": {"batchSize": COLLECTIONS_MAX},
        }
    )
    if answer["cursor"]["id"]:
        raise RuntimeError(f"more than {COLLECTIONS_MAX} collections of plugins")
    return sorted(each["name"] for each in answer["cursor"]["firstBatch"])
