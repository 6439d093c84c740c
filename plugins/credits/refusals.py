"""What the ledger's refusals are over HTTP."""

from __future__ import annotations

from typing import Any, Final

from credit_system import Problem, Rejected, Rejection, is_id

REFUSALS: Final = {
    Rejection.IDEMPOTENCY_CONFLICT: (409, "This id or Idempotency-Key was used with another body."),
    Rejection.ACCOUNT_EXISTS: (409, "An account of this id exists, and it is another one."),
    Rejection.NOT_FOUND: (404, "There is nothing of this id in this book."),
    Rejection.ACCOUNT_NOT_FOUND: (404, "An account named here does not exist in this book."),
    Rejection.ASSET_MISMATCH: (422, "The accounts hold different assets."),
    Rejection.HOLD_NOT_PENDING: (409, "The hold was captured or voided already."),
    Rejection.HOLD_EXPIRED: (409, "The hold has expired, and released what it reserved."),
    Rejection.GRANT_NOT_ACTIVE: (409, "Nothing is left of the grant that could be taken back."),
    Rejection.TRANSFER_NOT_REVERSIBLE: (
        422,
        "Grants, expiries and reversals are not reversed; a grant can be voided.",
    ),
    Rejection.TRANSFER_ALREADY_REVERSED: (409, "All of the transfer was reversed already."),
    Rejection.AMOUNT_EXCEEDS_HOLD: (422, "The hold reserves less than that."),
    Rejection.AMOUNT_EXCEEDS_TRANSFER: (422, "Less than that is left of the transfer to reverse."),
    Rejection.DATED_BEFORE_ORIGINAL: (
        400,
        "`effective_at` lies before the moment that the transfer counts from.",
    ),
    Rejection.INSUFFICIENT_FUNDS: (409, "The account that pays has not that much available."),
    Rejection.GRANT_NOT_TRANSFERABLE: (
        422,
        "It would take promotional credits, which do not go to another user's account.",
    ),
    Rejection.BALANCE_OVERFLOW: (422, "A balance would grow past what a ledger can hold."),
    Rejection.TOO_MANY_LOTS: (
        409,
        "The account has as many grants, holds or rules as an account may have.",
    ),
    Rejection.BATCH_REJECTED: (409, "Another transfer of the same atomic batch was rejected."),
}


INPUTS: Final = {
    "effective_ms": "effective_at",
    "expires_ms": "expires_at",
    "expires_in_ms": "expires_in",
    "grant": "grant_id",
    "hold": "hold_id",
    "of": "transfer_id",
}
"""What fields of commands are called in bodies and paths, where these have other names."""


def refusal(rejection: Rejection, **extensions: Any) -> Problem:
    status, detail = REFUSALS[rejection]
    return Problem(status, rejection.value, detail, extensions=extensions)


def problem_of(rejected: Rejected, *, within: str = "", **extensions: Any) -> Problem:
    """As `refusal`; of accounts that do not exist it says which one, of a conflict which field differs.

    `within` is the part of the body that the refused command stands in, as `transfers[2].`.
    """
    status, detail = REFUSALS[rejected.reason]
    if rejected.about:
        extensions["account"] = rejected.about
        detail = f"The account `{rejected.about}` does not exist in this book."
    if rejected.field:
        extensions["field"] = field = within + INPUTS.get(rejected.field, rejected.field)
        detail = f"{detail} `{field}` differs."
    return Problem(status, rejected.reason.value, detail, extensions=extensions)


def no_account(account_id: str) -> Rejected:
    """For a path; what is no id is not repeated."""
    return Rejected(Rejection.ACCOUNT_NOT_FOUND, account_id if is_id(account_id.removeprefix("@")) else "")


def invalid_field(field: str, detail: str) -> Problem:
    """A value that is well formed and cannot be."""
    return Problem(400, "validation_failed", detail, extensions={"field": field})
