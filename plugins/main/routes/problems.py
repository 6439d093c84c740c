"""Refusals that several subjects share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from application.identity.users import Taken
from credit_system import Problem, is_time_ordered_id, quota_exceeded


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
ENDED_SESSION = Problem(
    401,
    "invalid_token",
    "The session of this token has ended: log in again.",
    headers=INVALID_TOKEN.headers,
    blameless=True,
)
WRONG_PASSWORD = Problem(
    401,
    "invalid_credentials",
    "The current password is another.",
    headers=(("WWW-Authenticate", "Bearer"),),
)
TAKEN = {
    Taken.USERNAME: Problem(409, Taken.USERNAME.value, "Another user has this username."),
    Taken.EMAIL: Problem(409, Taken.EMAIL.value, "Another user has this e-mail address."),
}


def too_many_attempts(retry_after_ms: int) -> Problem:
    """In the words of any other limit: what is too much is not told."""
    return quota_exceeded(retry_after_ms)


def foreign_cursor(prefix: str, cursor: str | None) -> Problem | None:
    """Where lists are continued after an id with this prefix; None for such a one, and for no cursor."""
    if cursor is None or is_time_ordered_id(prefix, cursor):
        return None
    return Problem(
        400,
        "validation_failed",
        "`cursor` is no `next_cursor` of this list.",
        extensions={"field": "cursor"},
    )


def validation_failed(problems: Sequence[InputProblem], *, field: str | None = None) -> Problem:
    """All that is wrong at once; the extension `field` names the first. The argument stands for all their
    fields, where the body calls the input otherwise than the domain does."""
    errors = [{"field": field or problem.field, "detail": problem.value} for problem in problems]
    detail = "; ".join(f"{error['field']}: {error['detail']}" for error in errors)
    return Problem(
        400, "validation_failed", detail, extensions={"field": errors[0]["field"], "errors": errors}
    )
