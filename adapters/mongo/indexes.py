"""The indexes of every collection: what a declaration is, and how all are created at start-up, idempotently.

A repository module declares its own as data, `INDEXES: Indexes = {"users": (Index(…), …)}`, and is listed
in `adapters.mongo.catalog`. Creating a collection's first index creates the collection, so each declares at
least one; a transaction then never has to create one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.mongo.driver.interface import Index, MongoDriver

Indexes = Mapping[str, Sequence[Index]]
"""Collection name to its indexes."""


async def create_indexes(driver: MongoDriver, declarations: Iterable[Indexes]) -> None:
    """Creates the missing ones. An index that stands with another definition is an error."""
    for indexes in declarations:
        for collection, declared in indexes.items():
            await driver.collection(collection).create_indexes(declared)


def options_of(index: Index) -> dict[str, Any]:
    """The index in the words of `createIndexes`."""
    options: dict[str, Any] = {"name": index.name, "key": dict(index.keys)}
    if index.unique:
        options["unique"] = True
    if index.partial is not None:
        options["partialFilterExpression"] = dict(index.partial)
    if index.expire_after_seconds is not None:
        options["expireAfterSeconds"] = index.expire_after_seconds
    return options
