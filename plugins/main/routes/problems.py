"""Refusals that several subjects share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adapters.web import Problem


class InputProblem(Protocol):
    """One thing wrong with one input, as the domain names it."""

    @property
    def field(self) -> str: ...

    @property
    def value(self) -> str: ...


INVALID_TOKEN = Problem(
    401,
    "invalid_token",
    "The token is not valid, or no longer.",
    headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
)


def validation_failed(problems: Sequence[InputProblem]) -> Problem:
    """All that is wrong at once; `field` names the first."""
    errors = [{"field": problem.field, "detail": problem.value} for problem in problems]
    detail = "; ".join(f"{error['field']}: {error['detail']}" for error in errors)
    return Problem(
        400, "validation_failed", detail, extensions={"field": errors[0]["field"], "errors": errors}
    )
