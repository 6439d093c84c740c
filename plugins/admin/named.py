"""Who is meant by a type and an identifier, in a path or in a body."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.web import Problem
from domain.identifiers import Identifier, IdentifierProblem, IdentifierType, identify

BY_IDENTIFIER = "/<type>/<path:identifier>"
"""The end of a path: an identifier may hold slashes, percent-encoded or plain (`2001:db8::/64`)."""


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
