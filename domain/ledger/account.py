"""Accounts: who holds credits of which asset, and how many."""

from __future__ import annotations

from typing import Final, NamedTuple

from domain.ledger.lots import NEVER_MS, Funding, GrantTerms, Lot

ISSUANCE: Final = "@issuance"
"""The system account that grants come from: what it lacks is what was issued."""
REVENUE: Final = "@revenue"
"""The system account of what was spent."""
EXPIRED: Final = "@expired"
"""The system account of what expired unspent."""

AMOUNT_MAX: Final = 10**15
"""Largest amount of one transfer, in minor units."""

BALANCE_MAX: Final = 2**62
"""Largest magnitude of a balance that a command may lead to, in minor units. What is scheduled for an
account on top of it, `LOTS_MAX` grants at most, still fits the 64 bits of a store."""

LOTS_MAX: Final = 1_000
"""Live and scheduled grants of one account."""
HOLDS_MAX: Final = 1_000
"""Pending holds of one account."""
RULES_MAX: Final = 8
"""Top-up rules of one account."""
ENTRIES_A_SNAPSHOT: Final = 256
"""An account's state is kept for good each time so many more entries have touched it."""


class Account(NamedTuple):
    """What never changes about an account. `metadata` is canonical JSON text, empty for none.

    `overdraft_limit` is how far below zero it may go; None is without limit (only `@issuance`). Whoever
    watches the account is told when what is available falls below `low_balance`.
    """

    id: str
    asset: str
    user_id: str | None = None
    overdraft_limit: int | None = 0
    metadata: str = ""
    low_balance: int | None = None

    @property
    def key(self) -> str:
        """By which the account is found: its id; for a system account with the asset behind it."""
        return account_key(self.id, self.asset)


class ActiveHold(NamedTuple):
    """A pending hold as its account knows it: what it still reserves, and of which grants."""

    id: str
    remaining: int
    expires_ms: int
    funding: Funding


class ScheduledGrant(NamedTuple):
    """A grant that joins the account's credits at `terms.effective_ms`."""

    id: str
    amount: int
    terms: GrantTerms
    code: str
    metadata: str


class TopUpRule(NamedTuple):
    """Holds at least `below` available: by steps of `amount`, or, where `to` is set, by one grant up to `to`.

    It may act `max_per_day` times a UTC day; a step is one use. `day` counts days since 1970; `used` is how
    often the rule acted on it. `skipped` is why it left the account below its level last, at `skipped_ms`.
    """

    id: str
    below: int
    amount: int
    category: str
    max_per_day: int
    day: int = 0
    used: int = 0
    to: int | None = None
    skipped: str = ""
    skipped_ms: int = 0


class Holdings(NamedTuple):
    """What makes an account more than two numbers. `due_ms` is when the next of it falls due."""

    lots: tuple[Lot, ...] = ()
    holds: tuple[ActiveHold, ...] = ()
    scheduled: tuple[ScheduledGrant, ...] = ()
    rules: tuple[TopUpRule, ...] = ()
    due_ms: int = NEVER_MS


NOTHING: Final = Holdings()


def holdings_of(
    lots: tuple[Lot, ...],
    holds: tuple[ActiveHold, ...],
    scheduled: tuple[ScheduledGrant, ...],
    rules: tuple[TopUpRule, ...],
) -> Holdings:
    """With `due_ms` as it follows from the rest."""
    if not (lots or holds or scheduled or rules):
        return NOTHING
    due_ms = NEVER_MS
    for lot in lots:
        expires_ms = lot.expires_ms
        if expires_ms is not None and expires_ms < due_ms and not lot.ended:
            due_ms = expires_ms
    for hold in holds:
        due_ms = min(due_ms, hold.expires_ms)
    for grant in scheduled:
        due_ms = min(due_ms, grant.terms.effective_ms or 0)
    return Holdings(lots, holds, scheduled, rules, due_ms)


class AccountState(NamedTuple):
    """An account's balance as of journal document `seq`, the last one that touched it.

    A named tuple, as are the entries: on the path of every transfer a frozen dataclass costs three
    times as much to make. `entries` counts what has touched the account since it was opened.
    """

    account: Account
    posted: int
    held: int
    seq: int
    entries: int = 0
    holdings: Holdings = NOTHING

    @property
    def available(self) -> int:
        """Minor units that can be spent: what is posted, less what holds reserve."""
        return self.posted - self.held

    @property
    def plain_free(self) -> int:
        """What of `available` is in no lot; below zero as far as the overdraft was used."""
        in_lots = sum(lot.remaining - lot.held for lot in self.holdings.lots)
        return self.posted - self.held - in_lots


def is_system(account_id: str) -> bool:
    """Whether this id is of an account of the system."""
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
