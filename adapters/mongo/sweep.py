"""Goes through a collection and brings stored values into the form in which they would be written now."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Change, Document, Filter, MongoDriver
from ports.encryption.encrypted_collection import EncryptedCollection, SweptBatch
from ports.encryption.field_cipher import UnreadableField

_log = logging.getLogger("credit.mongo")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """An update of one document, which happens only while it holds what was read: `query` says that."""

    query: Filter
    change: Change
    fields: tuple[str, ...]
    """Those whose values are encrypted anew."""


Rewriting = Callable[[Document], Rewrite | None]
"""The update that a document needs; None for none. Raises `UnreadableField`."""


class MongoSweep:
    """`name` is the collection's for people and metrics, `stored_name` that in MongoDB. `fields` are all that
    `rewriting` looks at. `driver` may find and update in the collection."""

    def __init__(
        self,
        *,
        driver: MongoDriver,
        name: str,
        stored_name: str | None = None,
        fields: Sequence[str],
        rewriting: Rewriting,
    ) -> None:
        self._driver = driver
        self._name = name
        self._stored_name = stored_name or name
        self._projection: Mapping[str, Any] = dict.fromkeys(fields, 1)
        self._rewriting = rewriting

    @property
    def name(self) -> str:
        return self._name

    async def count(self) -> int:
        answer = await self._driver.command({"count": self._driver.standing_name(self._stored_name)})
        return int(answer["n"])

    async def sweep(self, after_id: str, *, limit: int) -> SweptBatch:
        documents = self._driver.collection(self._stored_name)
        found = await documents.find(
            {"_id": {"$gt": after_id}}, sort=(("_id", 1),), limit=limit, projection=self._projection
        )
        rewritten: Counter[str] = Counter()
        left = 0
        for document in found:
            try:
                rewrite = self._rewriting(document)
                if rewrite is None:
                    continue
                updated = await documents.update_one(rewrite.query, rewrite.change)
            except UnreadableField:
                left += 1
                continue
            except DuplicateKey as refused:
                left += 1
                _log.error(
                    "%s %s cannot be encrypted: the index %s has another document with its value",
                    self._name,
                    document["_id"],
                    refused.index,
                )
                continue
            if updated.matched:
                rewritten.update(rewrite.fields)
        last_id = found[-1]["_id"] if len(found) == limit else None
        return SweptBatch(len(found), rewritten, left, last_id)


def _proof(sweep: MongoSweep) -> EncryptedCollection:
    """mypy holds the adapter to its port here."""
    return sweep
