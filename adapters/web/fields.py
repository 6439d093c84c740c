"""The field types that routes declare their bodies and queries with.

A pattern is anchored with `\\Z`: `$` would let a trailing newline through.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from adapters.web.api_documents.shapes import TOLD
from domain.ledger.account import AMOUNT_MAX

METADATA_BYTES_MAX = 512
"""Bytes of JSON that `Metadata` may have."""
LIST_LIMIT_DEFAULT = 50
LIST_LIMIT_MAX = 200

Identifier = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z", description="1 to 64 of letters, digits and `_.:-`"),
]
"""1 to 64 of letters, digits and `_.:-`."""
AccountReference = Annotated[
    str,
    Meta(
        pattern=r"^@?[A-Za-z0-9_.:-]{1,64}\Z",
        description="An account's id; those of system accounts begin with `@`",
    ),
]
"""An account's id in a body or query; system accounts begin with `@`."""
AssetCode = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,16}\Z", description="What is counted: `GEMS`")]
"""What is counted, 1 to 16 of letters, digits and `_`."""
TransferCode = Annotated[
    str, Meta(pattern=r"^[a-z0-9_.-]{1,32}\Z", description="Why credits move, in a word of the caller's")
]
"""Why credits move: 1 to 32 of lower case letters, digits and `_.-`."""
Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="Minor units, never a fraction")]
"""Minor units, from 1 to 10^15."""
_METADATA = Meta(
    title="Metadata",
    description="The caller's own object, at most 512 bytes of JSON; kept as it is",
    extra_json_schema={"type": "object", "additionalProperties": True},
)
Metadata = Annotated[dict[str, Any], _METADATA]
"""A Struct with such a field calls `check_metadata` from its `__post_init__`."""
StoredMetadata = Annotated[msgspec.Raw, _METADATA]
"""The same in an answer: JSON already."""
Cursor = Annotated[
    str,
    Meta(pattern=r"^[\x21-\x7e]{1,512}\Z", description="`next_cursor` of the page before, as it was given"),
]
"""Where a list goes on, as the page before gave it."""


def told_as(description: str | None = None, **schema: Any) -> Meta:
    """What the API document says of a field in place of what is checked while parsing: the rest of its rule
    is the domain's to judge, which names all that is wrong at once."""
    return Meta(description=description, extra_json_schema={TOLD: schema})


def cursor_form(pattern: str) -> Meta:
    """What the cursors of one list look like."""
    return told_as(pattern=f"^{pattern}$")


ListLimit = Annotated[int, Meta(ge=1, le=LIST_LIMIT_MAX)]
"""How many items a page of a list holds at most: 1 to 200."""
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its offset; answers are in UTC")]
"""A moment in a body or query: RFC 3339 with its offset."""
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in an answer: RFC 3339 in UTC, as `rfc3339` writes it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every request body and query extends: an unknown field is refused, not overlooked."""


class ListQuery(Body, frozen=True, kw_only=True):
    """The query of every list."""

    limit: ListLimit = LIST_LIMIT_DEFAULT
    cursor: Cursor | None = None


def check_metadata(metadata: dict[str, Any] | None) -> None:
    """Raises ValueError, which msgspec turns into its ValidationError, when it is too long."""
    if metadata and len(msgspec.json.encode(metadata)) > METADATA_BYTES_MAX:
        raise ValueError(f"`metadata` is longer than {METADATA_BYTES_MAX} bytes of JSON")


def milliseconds(time: datetime) -> int:
    """Since the Unix epoch. Exact, and right for every offset (`astimezone` overflows in year 1)."""
    return (time - _EPOCH) // _MILLISECOND


def rfc3339(at_ms: int) -> str:
    """A moment within the years 1 to 9999 as `2026-01-31T12:00:00.000Z`."""
    # Not by strftime, which writes the year 1 as `1`.
    return (_EPOCH + at_ms * _MILLISECOND).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
