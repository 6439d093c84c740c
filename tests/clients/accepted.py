"""What schemathesis calls a failure and is meant so, each with its reason. It loads this file itself."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

BEYOND_SCHEMAS = (
    # To JSON Schema 5.0 is an integer. Here it is refused like any other float: amounts are money, and
    # whoever writes them with a point may have rounded them before.
    r"Expected `int(?: \| null)?`, got `float`",
    # Rules about two members, or about the clock.
    r"`source` and `destination` are the same account",
    r"Either `email` or `username` is needed, and not both",
    r"`identifier` is (?:not|neither) ",
    r"`expires_at` must be later than `effective_at`",
    r"expires_at: must lie in the future",
    r"`effective_at` of a transfer lies in the past",
    r"`effective_at` lies before the moment that the transfer counts from",
    r"either `amount` or `to` has to be said, and not both",
    r"`to` must be at least `below`",
    r"`at` lies in the future",
    # JSON Schema counts no bytes of JSON, and has no name for what Unicode calls printable.
    r"`metadata` is longer than 512 bytes of JSON",
    r"name: 1–64 printable characters$",
    r"`reason` is one line of 1 to \d+ characters",
    # One of the passwords that are tried first, or the name again.
    r"password: one of the passwords|password: the username or",
    # The cursor of a list whose ids their makers choose: it has the form of one, and is none of this list's.
    r"`cursor` is not one of this list's\.$",
)
"""Refusals of requests that the schema allows: it cannot say more."""


@schemathesis.hook  # type: ignore[untyped-decorator] # without its types here
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether it is a failure."""
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    if response.status_code == 422:
        # What is stored forbids it: a hold of less, an account of another asset.
        return False
    problem = response.json()
    if case.operation.label != "GET /users/me/accounts" and problem.get("field") == "cursor":
        return True
    return not any(re.search(rule, problem["detail"]) for rule in BEYOND_SCHEMAS)
