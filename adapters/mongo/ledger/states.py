"""Account states as plain JSON values, for checkpoints and snapshots.

By hand: msgspec makes no named tuple of an object, and a detour by its structs takes 1.4 times as long for an
account that holds neither grants nor holds, as most do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from domain.ledger.lots import GrantTerms, Lot
from domain.ledger.records import Record, funding_of, members_of


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
        record["lots"] = [members_of(lot) for lot in holdings.lots]
        record["holds"] = [members_of(hold) for hold in holdings.holds]
        record["scheduled"] = [members_of(grant) for grant in holdings.scheduled]
        record["rules"] = [members_of(rule) for rule in holdings.rules]
    return record


def state_of(record: Mapping[str, Any]) -> AccountState:
    """The state that `record_of_state` made this record from."""
    account = Account(
        record["id"],
        record["asset"],
        record["user_id"],
        record["overdraft_limit"],
        record["metadata"],
        record.get("low_balance"),
    )
    return AccountState(
        account, record["posted"], record["held"], record["seq"], record["entries"], _holdings_of(record)
    )


def _holdings_of(record: Mapping[str, Any]) -> Holdings:
    if "lots" not in record:
        return NOTHING
    return holdings_of(
        tuple(Lot(**lot) for lot in record["lots"]),
        tuple(
            ActiveHold(hold["id"], hold["remaining"], hold["expires_ms"], funding_of(hold["funding"]))
            for hold in record["holds"]
        ),
        tuple(
            ScheduledGrant(
                grant["id"], grant["amount"], GrantTerms(**grant["terms"]), grant["code"], grant["metadata"]
            )
            for grant in record["scheduled"]
        ),
        tuple(TopUpRule(**rule) for rule in record["rules"]),
    )
