"""Entries as plain JSON values: one form for the store, the export and the hash chain.

The order of the fields and the leaving out of defaults are part of the form: the chain hashes it.
Integers stay below 2**63, text is as it was given.
"""

from __future__ import annotations

from typing import Any, Final

from domain.ledger.account import Account
from domain.ledger.commands import GrantTerms
from domain.ledger.entries import AccountOpened, Entry, TransferPosted

Record = dict[str, Any]

ACCOUNT: Final = "account"
TRANSFER: Final = "transfer"


def record_of(entry: Entry) -> Record:
    return _transfer_record(entry) if isinstance(entry, TransferPosted) else _account_record(entry)


def entry_of(record: Record) -> Entry:
    """The entry that `record_of` made this record from; ValueError for any other record."""
    try:
        kind = record["kind"]
        if kind == TRANSFER:
            return _transfer_of(record)
        if kind == ACCOUNT:
            return _account_of(record)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a journal entry: {error!r}") from error
    raise ValueError(f"not a journal entry: kind {kind!r}")


def _account_record(entry: AccountOpened) -> Record:
    account = entry.account
    record: Record = {"kind": ACCOUNT, "id": account.id, "asset": account.asset}
    if account.user_id is not None:
        record["user_id"] = account.user_id
    if account.overdraft_limit:
        record["overdraft_limit"] = account.overdraft_limit
    if account.metadata:
        record["metadata"] = account.metadata
    return _with_origin(record, entry)


def _account_of(record: Record) -> AccountOpened:
    account = Account(
        record["id"],
        record["asset"],
        record.get("user_id"),
        record.get("overdraft_limit", 0),
        record.get("metadata", ""),
    )
    return AccountOpened(account, tuple(record["keys"]), record["fingerprint"], record["actor"])


def _transfer_record(entry: TransferPosted) -> Record:
    record: Record = {
        "kind": TRANSFER,
        "id": entry.id,
        "source": entry.source,
        "destination": entry.destination,
        "amount": entry.amount,
        "asset": entry.asset,
        "code": entry.code,
        "source_posted": entry.source_posted,
        "destination_posted": entry.destination_posted,
    }
    if entry.metadata:
        record["metadata"] = entry.metadata
    if entry.grant is not None:
        record["grant"] = {"category": entry.grant.category, "priority": entry.grant.priority}
    return _with_origin(record, entry)


def _transfer_of(record: Record) -> TransferPosted:
    grant = record.get("grant")
    return TransferPosted(
        record["id"],
        record["source"],
        record["destination"],
        record["amount"],
        record["asset"],
        record["code"],
        record["source_posted"],
        record["destination_posted"],
        tuple(record["keys"]),
        record["fingerprint"],
        record["actor"],
        record.get("metadata", ""),
        None if grant is None else GrantTerms(grant["category"], grant["priority"]),
    )


def _with_origin(record: Record, entry: Entry) -> Record:
    record["keys"] = list(entry.keys)
    record["fingerprint"] = entry.fingerprint
    record["actor"] = entry.actor
    return record
