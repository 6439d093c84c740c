"""Plugins' documents: their content, and the rights of the three database roles."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any, TypeAlias

from domain.encryption.policies import Encrypted, FieldPolicy

PARTS = 16
"""Parts of a collection, each with a version of its own."""
DEPTH_MAX = 8
FIELDS_MAX = 64
DOCUMENT_BYTES_MAX = 64 * 1024
"""Bytes of the fields of one document as compact JSON."""
TEXT_CHARACTERS_MAX = 256
"""Characters of a text in a declared field, which is indexed."""
INTEGER_MAX = 2**63 - 1

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Scalar: TypeAlias = str | int | bool | None
Fields: TypeAlias = Mapping[str, Any]
"""Values of JSON, under names without dots and dollars."""


class FieldKind(Enum):
    """The type of a declared field where it is not None."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"


_KINDS: Mapping[FieldKind, type] = {FieldKind.TEXT: str, FieldKind.INTEGER: int, FieldKind.BOOLEAN: bool}


class DatabaseRole(Enum):
    """A role of the database, in ascending order of rights."""

    READ_ONLY = 0
    READ_WRITE = 1
    ADMIN = 2

    def may(self, act: Act) -> bool:
        """Whether the role has the right to an act."""
        return self.value >= act.least.value


class Act(Enum):
    """An act on documents."""

    FIND = "find"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"

    @property
    def least(self) -> DatabaseRole:
        """The least role that has the right to it."""
        return _LEAST[self]


_LEAST: Mapping[Act, DatabaseRole] = {
    Act.FIND: DatabaseRole.READ_ONLY,
    Act.INSERT: DatabaseRole.READ_WRITE,
    Act.UPDATE: DatabaseRole.READ_WRITE,
    Act.DELETE: DatabaseRole.ADMIN,
}


class DocumentRejection(Enum):
    """Why an act was refused, in order of precedence."""

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
    """The documents of one kind of one plugin.

    Queries select by declared fields alone, each of which holds scalars of one type and has an index. A query
    for one value of the `partition` field becomes stale only by writes to the part of that value. Raises
    `ValueError` for an invalid declaration.
    """

    plugin: str
    name: str
    fields: Mapping[str, FieldKind] = field(default_factory=dict, hash=False)
    indexes: tuple[tuple[str, ...], ...] = ()
    """Indexes over several declared fields, besides that of each field."""
    partition: str | None = None
    encrypted: Mapping[str, Encrypted] = field(default_factory=dict, hash=False)
    """Fields that are encrypted where they are stored. Queries select by an indexed one of them for equality
    alone, and by no other."""

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
        for name, how in self.encrypted.items():
            self._check_encrypted(name, how)

    @property
    def full_name(self) -> str:
        """Unique among all plugins."""
        return f"{self.plugin}.{self.name}"

    def part(self, document_id: str, fields: Fields) -> str:
        """The part of a document, by its value of the partition field or else by its id."""
        if self.partition is None:
            return self._part("id", document_id)
        return self.part_of_value(fields.get(self.partition))

    def part_of_value(self, value: Scalar) -> str:
        """The part of all documents with this value of the partition field."""
        return self._part("value", value)

    def parts(self) -> tuple[str, ...]:
        """Every part of the collection."""
        return tuple(f"{self.full_name}/{number:02}" for number in range(PARTS))

    @property
    def policies(self) -> tuple[FieldPolicy, ...]:
        """The policy of each encrypted field."""
        return tuple(
            FieldPolicy(self.full_name, name, how.algorithm, how.indexed)
            for name, how in self.encrypted.items()
        )

    def _check_encrypted(self, name: str, how: Encrypted) -> None:
        if not _FIELD.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a field's name")
        if name == self.partition:
            raise ValueError(f"{name!r} is encrypted: the names of parts would tell its values")
        if how.indexed and self.fields.get(name) is not FieldKind.TEXT:
            raise ValueError(f"{name!r} is found by its value: it is declared, as a text")
        if not how.indexed and any(name in index for index in self.indexes):
            raise ValueError(f"{name!r} is encrypted without an index of its own")

    def _part(self, kind: str, value: Scalar) -> str:
        number = sha256(json.dumps([kind, value]).encode()).digest()[0] % PARTS
        return f"{self.full_name}/{number:02}"


@dataclass(frozen=True, slots=True)
class Document:
    """A document. Declared fields without a value are None."""

    id: str
    fields: Fields
    revision: str
    """The id of the write that made this state, unique among all states of all documents."""


def complete(collection: Collection, fields: Fields) -> Fields:
    """A copy of the fields as stored and compared, with None for each missing declared field."""
    return {**dict.fromkeys(collection.fields), **{name: _plain(value) for name, value in fields.items()}}


def rejection_of(collection: Collection, fields: Fields) -> DocumentRejection | None:
    """Why a document of this collection cannot hold these fields; None when it can."""
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
    """Whether a declared field of this type may hold a value. A boolean is no integer here."""
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
    """Whether a value is a scalar that both JSON and the database preserve."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) <= INTEGER_MAX
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and _is_text(value)


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
