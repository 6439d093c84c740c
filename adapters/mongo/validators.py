"""What the documents of each collection look like, as validators that the server holds writers to.

A repository module declares its own as data, `VALIDATORS: Validators = {"users": documents_of(…)}`, and is
listed in `adapters.mongo.catalog`. `init-scripts/mongodb-init.js` gives them to the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Validators = Mapping[str, Mapping[str, Any]]
"""Collection name to its validator."""

Types = tuple[str, ...]
"""Names of BSON types, of which a value has one."""

TEXT: Final[Types] = ("string",)
INTEGER: Final[Types] = ("int", "long")
"""Drivers write either, by the size of the number: one alone would refuse good writes. Never a double:
one turns a sum of integers into a double."""
DATE: Final[Types] = ("date",)
BYTES: Final[Types] = ("binData",)
LIST: Final[Types] = ("array",)
OBJECT: Final[Types] = ("object",)
PERSONAL: Final[Types] = ("string", "binData")
"""What may be stored encrypted."""


def or_null(types: Types) -> Types:
    return (*types, "null")


def documents_of(
    required: Mapping[str, Types], optional: Mapping[str, Types] | None = None
) -> dict[str, Any]:
    """A validator: documents have all `required` fields, of these types, and `optional` ones of theirs.

    Other fields are let through: a later release may write more while this one's validator stands.
    """
    fields = {**required, **(optional or {})}
    return {
        "$jsonSchema": {
            "bsonType": "object",
            "required": sorted(required),
            "properties": {name: {"bsonType": list(types)} for name, types in fields.items()},
        }
    }
