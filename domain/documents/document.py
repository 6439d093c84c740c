"""Documents that plugins keep: what one may hold, and who of the three database roles may do what with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any, TypeAlias

PARTS = 16
"""A collection's documents fall into so many parts; each has a version of its own."""
DEPTH_MAX = 8
FIELDS_MAX = 64
DOCUMENT_BYTES_MAX = 64 * 1024
"""Of one document's fields as compact JSON."""
TEXT_CHARACTERS_MAX = 256
"""Of a declared field's text: it stands in indexes."""
INTEGER_MAX = 2**63 - 1

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Scalar: TypeAlias = str | int | bool | None
Fields: TypeAlias = Mapping[str, Any]
"""What JSON can hold, under names without dots and dollars."""


class FieldKind(Enum):
    """What a declared field holds, where it is not None."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"


_KINDS: Mapping[FieldKind, type] = {FieldKind.TEXT: str, FieldKind.INTEGER: int, FieldKind.BOOLEAN: bool}


class DatabaseRole(Enum):
    """Under whose rights something is done, the least first."""

    READ_ONLY = 0
    READ_WRITE = 1
    ADMIN = 2

    def may(self, act: Act) -> bool:
        """Whether the role may do this."""
        return self.value >= act.least.value


class Act(Enum):
    """What can be done to documents."""

    FIND = "find"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"

    @property
    def least(self) -> DatabaseRole:
        """The least role that may."""
        return _LEAST[self]


_LEAST: Mapping[Act, DatabaseRole] = {
    Act.FIND: DatabaseRole.READ_ONLY,
    Act.INSERT: DatabaseRole.READ_WRITE,
    Act.UPDATE: DatabaseRole.READ_WRITE,
    Act.DELETE: DatabaseRole.ADMIN,
}


class DocumentRejection(Enum):
    """Why nothing was done, in order of precedence."""

    ROLE_FORBIDS = "role_forbids"
    INVALID_ID = "invalid_id"
    INVALID_FIELD_NAME = "invalid_field_name"
    INVALID_VALUE = "invalid_value"
    DECLARED_KIND_DIFFERS = "declared_kind_differs"
    TOO_LARGE = "too_large"
    DOCUMENT_EXISTS = "document_exists"
    DOCUMENT_NOT_FOUND = "document_not_found"
    REVISION_DIFFERS = "revision_differs"


@dataclass(frozen=True, slots=True)
class Collection:
    """One plugin's documents of one kind.

    Only declared fields can be asked for: each holds scalars of one kind, and has an index. Queries that
    name a value of the `partition` field grow stale only by writes to documents of that value's part.
    Raises `ValueError` for what no collection can be.
    """

    plugin: str
    name: str
    fields: Mapping[str, FieldKind] = field(default_factory=dict, hash=False)
    indexes: tuple[tuple[str, ...], ...] = ()
    """Over several declared fields each, beside the one that every field has."""
    partition: str | None = None

    def __post_init__(self) -> None:
        for name in (self.plugin, self.name):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not 1–32 of a-z 0-9 _, beginning with a letter")
        if len(self.fields) > FIELDS_MAX:
            raise ValueError(f"a collection declares at most {FIELDS_MAX} fields")
        for name in self.fields:
            if not _FIELD.fullmatch(name):
                raise ValueError(f"{name!r} cannot be a field's name")
        named = {name for index in self.indexes for name in index}
        if self.partition is not None:
            named.add(self.partition)
        if undeclared := named - set(self.fields):
            raise ValueError(f"not declared: {', '.join(sorted(undeclared))}")

    @property
    def full_name(self) -> str:
        """Unique among all plugins."""
        return f"{self.plugin}.{self.name}"

    def part(self, document_id: str, fields: Fields) -> str:
        """The part that a document belongs to, by the partition's value or else by its id."""
        if self.partition is None:
            return self._part("id", document_id)
        return self.part_of_value(fields.get(self.partition))

    def part_of_value(self, value: Scalar) -> str:
        """The part of all documents with this value of the partition."""
        return self._part("value", value)

    def parts(self) -> tuple[str, ...]:
        """The parts of the collection that documents with these fields belong to."""
        return tuple(f"{self.full_name}/{number:02}" for number in range(PARTS))

    def _part(self, kind: str, value: Scalar) -> str:
        number = sha256(json.dumps([kind, value]).encode()).digest()[0] % PARTS
        return f"{self.full_name}/{number:02}"


@dataclass(frozen=True, slots=True)
class Document:
    """One document. Declared fields that it was given no value for are None."""

    id: str
    fields: Fields
    revision: str
    """The id of the write that made it: no other document, and no other state of this one, has the same."""


def complete(collection: Collection, fields: Fields) -> Fields:
    """A copy of the fields with None for each declared one that is missing: what is stored and compared."""
    return {**dict.fromkeys(collection.fields), **{name: _plain(value) for name, value in fields.items()}}


def rejection_of(collection: Collection, fields: Fields) -> DocumentRejection | None:
    """Why no document of this collection can hold these fields, if so."""
    if not all(map(_is_name, fields)) or len(fields) > FIELDS_MAX:
        return DocumentRejection.INVALID_FIELD_NAME
    for value in fields.values():
        if rejection := _value_rejection(value, DEPTH_MAX):
            return rejection
    for name, kind in collection.fields.items():
        if not is_of_kind(fields.get(name), kind):
            return DocumentRejection.DECLARED_KIND_DIFFERS
    encoded = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return DocumentRejection.TOO_LARGE if len(encoded) > DOCUMENT_BYTES_MAX else None


def is_of_kind(value: object, kind: FieldKind) -> bool:
    """Whether a declared field of this kind may hold it. A boolean is no integer here."""
    if value is None:
        return True
    if type(value) is not _KINDS[kind]:
        return False
    if isinstance(value, str):
        return len(value) <= TEXT_CHARACTERS_MAX and _is_text(value)
    return isinstance(value, int) and abs(value) <= INTEGER_MAX


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(member) for member in value]
    return value


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _FIELD.fullmatch(name) is not None


def _value_rejection(value: object, depth: int) -> DocumentRejection | None:
    if depth == 0:
        return DocumentRejection.INVALID_VALUE
    members: Iterator[object] = iter(())
    if isinstance(value, Mapping):
        if not all(map(_is_name, value)):
            return DocumentRejection.INVALID_FIELD_NAME
        members = iter(value.values())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        members = iter(value)
    elif not _is_plain(value):
        return DocumentRejection.INVALID_VALUE
    return next(filter(None, (_value_rejection(member, depth - 1) for member in members)), None)


def _is_plain(value: object) -> bool:
    """A scalar that both JSON and the database carry unchanged."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) <= INTEGER_MAX
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and _is_text(value)


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
