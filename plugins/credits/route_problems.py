"""Which refusals each route can give, beside those that every route can: for the API document."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from credit_system import NOT_FOUND, Problem, Rejection
from plugins.credits.refusals import refusal

Problems = tuple[Problem, ...]


def _of(*rejections: Rejection) -> Problems:
    """In order of precedence."""
    return tuple(refusal(each) for each in Rejection if each in rejections)


_MOVING: Final = (
    Rejection.IDEMPOTENCY_CONFLICT,
    Rejection.ACCOUNT_NOT_FOUND,
    Rejection.ASSET_MISMATCH,
    Rejection.INSUFFICIENT_FUNDS,
    Rejection.GRANT_NOT_TRANSFERABLE,
    Rejection.BALANCE_OVERFLOW,
)
_ENDING_A_HOLD: Final = (
    Rejection.IDEMPOTENCY_CONFLICT,
    Rejection.NOT_FOUND,
    Rejection.HOLD_NOT_PENDING,
    Rejection.HOLD_EXPIRED,
)

OF_ACCOUNT: Final = _of(Rejection.ACCOUNT_NOT_FOUND)
"""Reading one."""
OF_THING: Final = (NOT_FOUND,)
"""Reading a grant, a hold or a transfer."""
OPENING: Final = _of(Rejection.IDEMPOTENCY_CONFLICT, Rejection.ACCOUNT_EXISTS)
GRANTING: Final = _of(
    Rejection.IDEMPOTENCY_CONFLICT,
    Rejection.ACCOUNT_NOT_FOUND,
    Rejection.BALANCE_OVERFLOW,
    Rejection.TOO_MANY_LOTS,
)
VOIDING_A_GRANT: Final = _of(Rejection.IDEMPOTENCY_CONFLICT, Rejection.NOT_FOUND, Rejection.GRANT_NOT_ACTIVE)
TRANSFERRING: Final = _of(*_MOVING)
TRANSFERRING_MANY: Final = tuple(replace(problem, status=409) for problem in TRANSFERRING)
"""A batch that is refused as a whole is refused with 409, whatever its first rejected transfer says."""
REVERSING: Final = _of(
    Rejection.IDEMPOTENCY_CONFLICT,
    Rejection.NOT_FOUND,
    Rejection.TRANSFER_NOT_REVERSIBLE,
    Rejection.TRANSFER_ALREADY_REVERSED,
    Rejection.AMOUNT_EXCEEDS_TRANSFER,
    Rejection.INSUFFICIENT_FUNDS,
    Rejection.BALANCE_OVERFLOW,
    Rejection.TOO_MANY_LOTS,
)
HOLDING: Final = _of(*_MOVING, Rejection.TOO_MANY_LOTS)
CAPTURING: Final = _of(*_ENDING_A_HOLD, Rejection.AMOUNT_EXCEEDS_HOLD, Rejection.BALANCE_OVERFLOW)
VOIDING_A_HOLD: Final = _of(*_ENDING_A_HOLD)
RULING: Final = _of(Rejection.IDEMPOTENCY_CONFLICT, Rejection.ACCOUNT_NOT_FOUND, Rejection.TOO_MANY_LOTS)
ENDING_A_RULE: Final = _of(Rejection.NOT_FOUND)

RESULTS: Final = "Codes of `results`: " + ", ".join(
    f"`{rejection.value}`" for rejection in Rejection if rejection in (*_MOVING, Rejection.BATCH_REJECTED)
)
