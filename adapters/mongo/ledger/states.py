"""Account states as plain JSON values, for checkpoints and snapshots.

msgspec writes and reads what an account holds against the types below: nothing is converted, and nothing may
be missing or added. The account's own members are written and read by hand: most accounts have no others, and
a struct for these takes 1.4 times as long.

The types stand here a second time, in the order of each class's fields, for a compiled class has lost some of
its own. The type checker and a test hold them to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, convert, to_builtins
from msgspec.structs import astuple

from domain.ledger.account import (
    NOTHING,
    Account,
    AccountState,
    ActiveHold,
    Holdings,
    ScheduledGrant,
    TopUpRule,
    holdings_of,
)
from domain.ledger.lots import Funding, GrantTerms, Lot
from domain.ledger.records import Record

_new: Final = tuple.__new__
"""Of a named tuple that has all its fields. Its class takes a fifth longer to read many lots."""


class StoredPart(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of a named tuple, in its order; those that have their default are left out."""


class StoredLot(StoredPart, frozen=True):
    grant: str
    remaining: int
    held: int
    priority: int
    category: str
    expires_ms: int | None
    seq: int
    place: int
    ended: str = ""


class StoredHold(StoredPart, frozen=True):
    id: str
    remaining: int
    expires_ms: int
    funding: Funding


class StoredTerms(StoredPart, frozen=True):
    category: str
    priority: int
    effective_ms: int | None = None
    expires_ms: int | None = None


class StoredGrant(StoredPart, frozen=True):
    id: str
    amount: int
    terms: StoredTerms
    code: str
    metadata: str


class StoredRule(StoredPart, frozen=True):
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


class StoredHoldings(Struct, frozen=True):
    """All of them or none stand among the members of the account."""

    lots: tuple[StoredLot, ...]
    holds: tuple[StoredHold, ...]
    scheduled: tuple[StoredGrant, ...]
    rules: tuple[StoredRule, ...]


def record_of_state(state: AccountState) -> Record:
    account, posted, held, seq, entries, holdings = state
    record: Record = {
        "id": account.id,
        "asset": account.asset,
        "user_id": account.user_id,
        "overdraft_limit": account.overdraft_limit,
        "metadata": account.metadata,
        "posted": posted,
        "held": held,
        "seq": seq,
        "entries": entries,
    }
    if account.low_balance is not None:
        record["low_balance"] = account.low_balance
    if holdings is not NOTHING:
        record |= _stored(holdings)
    return record


def state_of(record: Mapping[str, Any]) -> AccountState:
    """The state that `record_of_state` made this record from.

    KeyError or ValueError where a member is missing, or what the account holds has another form.
    """
    account = Account(
        record["id"],
        record["asset"],
        record["user_id"],
        record["overdraft_limit"],
        record["metadata"],
        record.get("low_balance"),
    )
    holdings = _held(convert(record, StoredHoldings)) if "lots" in record else NOTHING
    return AccountState(account, record["posted"], record["held"], record["seq"], record["entries"], holdings)


def _stored(holdings: Holdings) -> Record:
    return {
        "lots": to_builtins([StoredLot(*lot) for lot in holdings.lots]),
        # By hand, for msgspec leaves tuples as they are, and what is read again has arrays.
        "holds": [
            {
                "id": hold.id,
                "remaining": hold.remaining,
                "expires_ms": hold.expires_ms,
                "funding": list(map(list, hold.funding)),
            }
            for hold in holdings.holds
        ],
        "scheduled": to_builtins(
            [
                StoredGrant(grant.id, grant.amount, StoredTerms(*grant.terms), grant.code, grant.metadata)
                for grant in holdings.scheduled
            ]
        ),
        "rules": to_builtins([StoredRule(*rule) for rule in holdings.rules]),
    }


def _held(stored: StoredHoldings) -> Holdings:
    return holdings_of(
        tuple([_new(Lot, astuple(lot)) for lot in stored.lots]),
        tuple([_new(ActiveHold, astuple(hold)) for hold in stored.holds]),
        tuple(
            [
                ScheduledGrant(
                    grant.id, grant.amount, _new(GrantTerms, astuple(grant.terms)), grant.code, grant.metadata
                )
                for grant in stored.scheduled
            ]
        ),
        tuple([_new(TopUpRule, astuple(rule)) for rule in stored.rules]),
    )
