"""How a command can end."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from domain.ledger.entries import Recorded


class Rejection(Enum):
    """Why nothing was posted, in order of precedence: the first that applies is the answer."""

    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    ACCOUNT_EXISTS = "account_exists"
    NOT_FOUND = "not_found"
    """The hold, grant, transfer or rule that the command is about does not exist in this book."""
    ACCOUNT_NOT_FOUND = "account_not_found"
    ASSET_MISMATCH = "asset_mismatch"
    HOLD_NOT_PENDING = "hold_not_pending"
    HOLD_EXPIRED = "hold_expired"
    GRANT_NOT_ACTIVE = "grant_not_active"
    TRANSFER_NOT_REVERSIBLE = "transfer_not_reversible"
    """Issues, expiries and reversals are not reversed; a grant is voided."""
    TRANSFER_ALREADY_REVERSED = "transfer_already_reversed"
    AMOUNT_EXCEEDS_HOLD = "amount_exceeds_hold"
    AMOUNT_EXCEEDS_TRANSFER = "amount_exceeds_transfer"
    DATED_BEFORE_ORIGINAL = "dated_before_original"
    """A reversal counts from the moment that its transfer counts from at the earliest."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    GRANT_NOT_TRANSFERABLE = "grant_not_transferable"
    """It would do with promotional credits, which do not go to another user's account."""
    BALANCE_OVERFLOW = "balance_overflow"
    TOO_MANY_LOTS = "too_many_lots"
    """The account has as many grants, holds or rules as an account may have."""
    BATCH_REJECTED = "batch_rejected"
    """The command itself could have been posted; another one of its atomic batch could not."""


class Posted(NamedTuple):
    """It is in the journal. `replayed`: it was there before this command came."""

    recorded: Recorded
    replayed: bool = False


class Rejected(NamedTuple):
    """Nothing was posted. `about` is the id of the account that does not exist, where that is the reason.
    `replayed`: the journal had this very refusal already, from an earlier request of the same batch.
    `field` names what is other than it was, where an id or a key was used before (`conflicts`); empty where
    that is not known."""

    reason: Rejection
    about: str = ""
    replayed: bool = False
    field: str = ""


class Settled(NamedTuple):
    """What had fallen due in the account is recorded. Nothing else was asked for."""

    account: str


Outcome = Posted | Rejected
"""How a command that was asked for ends."""
CommandOutcome = Outcome | Settled
"""How any command ends, the ledger's own as well."""
Outcomes = Sequence[tuple[CommandOutcome, ...]]
"""Of a batch: one tuple a submission, one outcome a command, in order."""


def asked(outcome: CommandOutcome) -> Outcome:
    """The outcome of a command that was asked for. Raises `TypeError` for the ledger's own."""
    if isinstance(outcome, Settled):
        raise TypeError(f"{outcome.account} was settled, and nothing else was asked for")
    return outcome
