"""Who is meant by a type and an identifier, in a path or in a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from credit_system import Problem
from domain.limits.identifiers import Identifier, IdentifierProblem, IdentifierType, identify

IDENTIFIER_LENGTH_MAX: Final = 254
BY_IDENTIFIER = "/<type>/<path:identifier>"
"""The end of a path: an identifier may hold slashes, percent-encoded or plain (`2001:db8::/64`)."""


class NamedInPath(msgspec.Struct, frozen=True, kw_only=True):
    """For the API document."""

    type: IdentifierType
    identifier: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=IDENTIFIER_LENGTH_MAX,
            description="An address or network, a user's or key's id, or an account's name",
        ),
    ]


def named_in(path: Mapping[str, str]) -> Identifier | Problem:
    return named(path["type"], path["identifier"])


def named(kind: str, text: str) -> Identifier | Problem:
    try:
        found = identify(IdentifierType(kind), text)
    except ValueError:
        known = ", ".join(each.value for each in IdentifierType)
        return invalid("type", f"`type` is one of {known}.")
    if isinstance(found, IdentifierProblem):
        return invalid("identifier", f"`identifier` is {found.value}.")
    return found


def invalid(field: str, detail: str) -> Problem:
    return Problem(400, "validation_failed", detail, extensions={"field": field})
