"""Queries of plugins' documents, as values, so that a compared value cannot smuggle in an operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cmp_to_key

from domain.documents.document import Collection, Document, FieldKind, Scalar, is_of_kind
from domain.ids import is_id

LIMIT_MAX = 200
CONDITIONS_MAX = 16


@dataclass(frozen=True, slots=True)
class Equals:
    """The field equals a value. A missing field equals None."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Range:
    """The field is not None, at least `at_least` and below `below`, where None is no bound."""

    field: str
    at_least: str | int | None = None
    below: str | int | None = None


Condition = Equals | Range


@dataclass(frozen=True, slots=True)
class DocumentPosition:
    """The position after a page: its last document's value of the `order_by` field, and its id."""

    value: Scalar
    id: str


@dataclass(frozen=True, slots=True)
class Query:
    """Selects the documents of a collection that meet every condition, by a declared field, then by id.

    Without `order_by`, the order is that of the id. None precedes every other value. Raises `ValueError` for
    an invalid query.
    """

    collection: Collection
    where: tuple[Condition, ...] = ()
    order_by: str | None = None
    descending: bool = False
    limit: int = 50
    after: DocumentPosition | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LIMIT_MAX:
            raise ValueError(f"the limit is 1 to {LIMIT_MAX}")
        if len(self.where) > CONDITIONS_MAX:
            raise ValueError(f"at most {CONDITIONS_MAX} conditions")
        for condition in self.where:
            self._check(condition)
        if self.order_by is not None:
            self._kind(self.order_by)
            if self.order_by in self.collection.encrypted:
                raise ValueError(f"{self.order_by!r} has no order: it is encrypted")
        if self.after is not None:
            self._check_position(self.after)

    @property
    def name(self) -> str:
        """A text that equal queries share, and no others."""
        where = [
            ["=", each.field, each.value]
            if isinstance(each, Equals)
            else ["<", each.field, each.at_least, each.below]
            for each in self.where
        ]
        after = None if self.after is None else [self.after.value, self.after.id]
        order = [self.order_by, self.descending, self.limit, after]
        return json.dumps([self.collection.full_name, where, *order], separators=(",", ":"))

    @property
    def parts(self) -> tuple[str, ...]:
        """Every part that a selected document can belong to, now or after any write."""
        partition = self.collection.partition
        for condition in self.where:
            if isinstance(condition, Equals) and condition.field == partition:
                return (self.collection.part_of_value(condition.value),)
        return self.collection.parts()

    def position_of(self, document: Document) -> DocumentPosition:
        """The position after a page that ends with this document."""
        return DocumentPosition(
            None if self.order_by is None else document.fields[self.order_by], document.id
        )

    def _kind(self, name: str) -> FieldKind:
        kind = self.collection.fields.get(name)
        if kind is None:
            raise ValueError(f"{self.collection.full_name} declares no field {name!r}")
        return kind

    def _check(self, condition: Condition) -> None:
        kind = self._kind(condition.field)
        how = self.collection.encrypted.get(condition.field)
        if how is not None and not (how.indexed and isinstance(condition, Equals)):
            raise ValueError(
                f"{condition.field!r} is encrypted: it is found by equality, where it is indexed"
            )
        if isinstance(condition, Equals):
            values: tuple[Scalar, ...] = (condition.value,)
        else:
            values = (condition.at_least, condition.below)
            if kind is FieldKind.BOOLEAN:
                raise ValueError(f"{condition.field!r} has no range: it is a boolean")
        for value in values:
            if not is_of_kind(value, kind):
                raise ValueError(f"{condition.field!r} is compared with {kind.value} only")

    def _check_position(self, after: DocumentPosition) -> None:
        fits = (
            after.value is None
            if self.order_by is None
            else is_of_kind(after.value, self._kind(self.order_by))
        )
        if not fits or not is_id(after.id):
            raise ValueError("no page of this query ends there")


def answer(query: Query, documents: Iterable[Document]) -> list[Document]:
    """The definition of an answer for every adapter: at most `limit + 1` documents, to show a next page."""
    compare = _order(query)
    selected = [document for document in documents if all(_meets(document, each) for each in query.where)]
    if query.after is not None:
        after = (query.after.value, query.after.id)
        selected = [document for document in selected if compare(_place(query, document), after) > 0]
    selected.sort(key=cmp_to_key(lambda one, other: compare(_place(query, one), _place(query, other))))
    return selected[: query.limit + 1]


_Place = tuple[Scalar, str]


def _place(query: Query, document: Document) -> _Place:
    position = query.position_of(document)
    return position.value, position.id


def _order(query: Query) -> Callable[[_Place, _Place], int]:
    sign = -1 if query.descending else 1

    def key(place: _Place) -> tuple[bool, Scalar, str]:
        # The second member is compared only between values of one kind, or not at all.
        value, document_id = place
        return value is not None, value if value is not None else 0, document_id

    def compare(one: _Place, other: _Place) -> int:
        left, right = key(one), key(other)
        return sign * ((left > right) - (left < right))

    return compare


def _meets(document: Document, condition: Condition) -> bool:
    value = document.fields.get(condition.field)
    if isinstance(condition, Equals):
        return bool(value == condition.value)
    if value is None:
        return False
    above = condition.at_least is None or value >= condition.at_least
    return above and (condition.below is None or value < condition.below)
