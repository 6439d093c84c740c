"""Accounts: who holds credits of which asset, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ISSUANCE: Final = "@issuance"
REVENUE: Final = "@revenue"
EXPIRED: Final = "@expired"
SYSTEM_ACCOUNTS: Final = frozenset({ISSUANCE, REVENUE, EXPIRED})

AMOUNT_MAX: Final = 10**15
"""Largest amount of one transfer, in minor units."""

BALANCE_MAX: Final = 2**63 - 1
"""Largest magnitude of a balance, in minor units: what a 64-bit store holds."""


@dataclass(frozen=True, slots=True)
class Account:
    """What never changes about an account. `metadata` is canonical JSON text, empty for none."""

    id: str
    asset: str
    user_id: str | None = None
    overdraft_limit: int | None = 0
    """How far below zero it may go; None is without limit (only `@issuance`)."""
    metadata: str = ""

    @property
    def key(self) -> str:
        return account_key(self.id, self.asset)


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account's balance as of journal document `seq`, the last one that touched it."""

    account: Account
    posted: int
    held: int
    seq: int

    @property
    def available(self) -> int:
        return self.posted - self.held


def is_system(account_id: str) -> bool:
    return account_id.startswith("@")


def account_key(account_id: str, asset: str) -> str:
    """How the ledger tells accounts apart: system accounts exist once per asset.

    No collision: a plain id never begins with `@`.
    """
    return f"{account_id}:{asset}" if account_id.startswith("@") else account_id


def untouched_system_account(account_id: str, asset: str) -> AccountState:
    """System accounts need no opening: they are there, empty, for every asset."""
    limit = None if account_id == ISSUANCE else 0
    return AccountState(Account(account_id, asset, None, limit), 0, 0, 0)
