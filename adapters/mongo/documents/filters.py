"""Queries of documents as MongoDB's filters. Every value stands behind an operator written here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.mongo.documents.stored_documents import FIELDS
from adapters.mongo.driver.interface import Filter, Sort
from domain.documents.document import Collection, Scalar
from domain.documents.queries import DocumentPosition, Equals, Query, Range

Equality = Callable[[Collection, str, Scalar], dict[str, Any]]
"""What equality of a field with a value is as a condition."""


def filter_of(query: Query, equal: Equality) -> Filter:
    """All conditions together. Declared fields hold scalars of one kind or null, and are always there."""
    meant: list[Filter] = [
        {
            _path(each.field): equal(query.collection, each.field, each.value)
            if isinstance(each, Equals)
            else _bounds(each)
        }
        for each in query.where
    ]
    if query.after is not None:
        meant.append(_beyond(query, query.after))
    return {"$and": meant} if meant else {}


def sort_of(query: Query) -> Sort:
    way = -1 if query.descending else 1
    return ((_path(query.order_by), way), ("_id", way)) if query.order_by is not None else (("_id", way),)


def _bounds(condition: Range) -> dict[str, Any]:
    bounds: dict[str, Any] = {"$ne": None}
    if condition.at_least is not None:
        bounds["$gte"] = condition.at_least
    if condition.below is not None:
        bounds["$lt"] = condition.below
    return bounds


def _beyond(query: Query, after: DocumentPosition) -> Filter:
    """What comes after a position. MongoDB compares within one type only, so null is asked for apart."""
    further = "$lt" if query.descending else "$gt"
    after_id = {"_id": {further: after.id}}
    if query.order_by is None:
        return after_id
    path, value = _path(query.order_by), after.value
    same: Filter = {path: {"$eq": value}, **after_id}
    if value is None:
        return same if query.descending else {"$or": [same, {path: {"$ne": None}}]}
    beyond: list[Filter] = [same, {path: {further: value}}]
    if query.descending:
        beyond.append({path: {"$eq": None}})
    return {"$or": beyond}


def _path(name: str) -> str:
    return f"{FIELDS}.{name}"
