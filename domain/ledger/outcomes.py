"""How a command can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from domain.ledger.entries import Recorded


class Rejection(Enum):
    """Why nothing was posted, in order of precedence: the first that applies is the answer."""

    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    ACCOUNT_EXISTS = "account_exists"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ASSET_MISMATCH = "asset_mismatch"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_OVERFLOW = "balance_overflow"
    BATCH_REJECTED = "batch_rejected"
    """The command itself could have been posted; another one of its atomic batch could not."""


@dataclass(frozen=True, slots=True)
class Posted:
    """It is in the journal. `replayed`: it was there before this command came."""

    recorded: Recorded
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    reason: Rejection


Outcome = Posted | Rejected
