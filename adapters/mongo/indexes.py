"""The indexes of every collection: what a declaration is, how they are made, and how those that stand differ.

A repository module declares its own as data, `INDEXES: Indexes = {"users": (Index(…), …)}`, and is listed
in `adapters.mongo.catalog`. Creating a collection's first index creates the collection, so each declares at
least one; a transaction then never has to create one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.mongo.driver.errors import DuplicateKey, NotPermitted
from adapters.mongo.driver.interface import DEPENDENCY, Index, MongoDriver
from ports.errors import DependencyUnavailable

_log = logging.getLogger("credit.mongo")

Indexes = Mapping[str, Sequence[Index]]
"""Collection name to its indexes."""

NAMESPACE_NOT_FOUND: Final = 26
MISSING: Final = "is missing"

_OPTIONS: Final = ("key", "unique", "partialFilterExpression", "expireAfterSeconds", "hidden")


@dataclass(frozen=True, slots=True)
class Difference:
    """An index that is declared, and does not stand as declared."""

    collection: str
    index: Index
    detail: str

    def __str__(self) -> str:
        return f"{self.collection}.{self.index.name} {self.detail}"


class VitalIndexDiffers(DependencyUnavailable):
    """Without this index writes would be wrong, and not only slow."""


async def differences(driver: MongoDriver, declarations: Iterable[Indexes]) -> Sequence[Difference]:
    """Of the declared indexes, those that are missing or stand with another definition. Changes nothing."""
    found = []
    for indexes in declarations:
        for collection, declared in indexes.items():
            standing = await _standing(driver, collection)
            for index in declared:
                detail = _compared(options_of(index), standing.get(index.name))
                if detail is not None:
                    found.append(Difference(collection, index, detail))
    return found


async def create_indexes(driver: MongoDriver, declarations: Iterable[Indexes]) -> Sequence[Difference]:
    """Makes the missing ones. What differs after that is logged and returned, and stays as it is.

    Raises `VitalIndexDiffers` for an index without which the ledger could be written wrong.
    """
    remaining: list[Difference] = []
    missing: dict[str, list[Difference]] = {}
    for found in await differences(driver, declarations):
        if found.detail == MISSING:
            missing.setdefault(found.collection, []).append(found)
        else:
            remaining.append(found)
    for collection, some in missing.items():
        remaining += await _made(driver, collection, some)
    for left in remaining:
        _log.warning("MongoDB: the index %s", left)
    for left in remaining:
        if left.index.vital:
            raise VitalIndexDiffers(DEPENDENCY, f"the index {left}; nothing can be written without it")
    return remaining


async def _made(driver: MongoDriver, collection: str, missing: Sequence[Difference]) -> list[Difference]:
    """All with one call; where the server refuses that, one by one. Returns those that it refuses."""
    try:
        await driver.collection(collection).create_indexes([each.index for each in missing])
    except Exception as error:
        why = _refusal(error)
        if why is None:
            raise
        if len(missing) == 1:
            (only,) = missing
            return [Difference(collection, only.index, f"{MISSING}, and cannot be made: {why}")]
        return [left for each in missing for left in await _made(driver, collection, [each])]
    return []


def _refusal(error: Exception) -> str | None:
    """None for an error that is no answer to this index."""
    if isinstance(error, DuplicateKey):
        return "documents that stand there have the same key"
    if isinstance(error, NotPermitted):
        return error.reason
    code = getattr(error, "code", None)
    if not isinstance(code, int):
        return None
    details = getattr(error, "details", None) or {}
    return f"{details.get('codeName', 'refused')} (code {code})"


async def _standing(driver: MongoDriver, collection: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        listing = await driver.command({"listIndexes": driver.standing_name(collection)})
    except Exception as error:
        if getattr(error, "code", None) == NAMESPACE_NOT_FOUND:
            return {}
        raise
    return {index["name"]: index for index in listing["cursor"]["firstBatch"]}


def _compared(wanted: Mapping[str, Any], standing: Mapping[str, Any] | None) -> str | None:
    """In words, what differs; None where nothing does."""
    if standing is None:
        return MISSING
    differing = []
    for option in _OPTIONS:
        mine, theirs = wanted.get(option), standing.get(option)
        # The order of the fields is the index; elsewhere it means nothing.
        same = (
            list(mine.items()) == list(theirs.items())
            if option == "key" and mine and theirs
            else mine == theirs
        )
        if not same and (mine or theirs or option == "expireAfterSeconds"):
            differing.append(f"{option} is {_worded(theirs)} and should be {_worded(mine)}")
    return f"differs: {', '.join(differing)}" if differing else None


def _worded(value: Any) -> str:
    if value is None:
        return "not set"
    return str(dict(value)) if isinstance(value, Mapping) else str(value)


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
