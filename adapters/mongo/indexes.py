"""The indexes of every collection: what a declaration is, and how all are created at start-up, idempotently.

A repository module declares its own as data, `INDEXES: Indexes = {"users": (Index(…), …)}`, and is listed
in `adapters.mongo.catalog`. Creating a collection's first index creates the collection, so each declares at
least one; a transaction then never has to create one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from adapters.mongo.driver.interface import Index, MongoDriver

Indexes = Mapping[str, Sequence[Index]]
"""Collection name to its indexes."""


async def create_indexes(driver: MongoDriver, declarations: Iterable[Indexes]) -> None:
    """Creates the missing ones. An index that stands with another definition is an error."""
    for indexes in declarations:
        for collection, declared in indexes.items():
            await driver.collection(collection).create_indexes(declared)
