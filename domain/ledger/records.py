"""Entries as plain JSON values: one form for the store and the export.

Members stand in the order of the entry's fields; those that have their default are left out. Integers
stay below 2**63, text is as it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from domain.ledger.account import Account
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Cause,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Refused,
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import Funding, GrantTerms, Lot

Record = dict[str, Any]

KINDS: Final[dict[type[Entry], str]] = {
    TransferPosted: "transfer",
    AccountOpened: "account",
    GrantScheduled: "grant_scheduled",
    GrantEnded: "grant_ended",
    HoldPlaced: "hold",
    HoldReleased: "hold_released",
    RuleSet: "rule",
    RuleRemoved: "rule_removed",
    RuleSkipped: "rule_skipped",
    Refused: "refused",
}
CAUSES: Final[dict[type[Cause], str]] = {
    Issue: "issue",
    Lapse: "lapse",
    Capture: "capture",
    Reversal: "reversal",
}
_TRANSFER_MEMBERS: Final = frozenset({"kind", *TransferPosted._fields, *CAUSES.values()} - {"cause"})


def kind_of(entry: Entry) -> str:
    """What the entry is, and for a transfer what it was made for."""
    if isinstance(entry, TransferPosted) and entry.cause is not None:
        return CAUSES[type(entry.cause)]
    return KINDS[type(entry)]


def record_of(entry: Entry) -> Record:
    if isinstance(entry, TransferPosted):
        return _transfer_record(entry)
    if isinstance(entry, AccountOpened):
        record = {"kind": "account", **_members_of(entry.account)}
        record.update(_members_of(entry))
        del record["account"]
        return record
    return {"kind": KINDS[type(entry)], **_members_of(entry)}


def entry_of(record: Record) -> Entry:
    """The entry that `record_of` made this record from; ValueError for any other record."""
    try:
        kind = record["kind"]
        if kind == "transfer":
            return _transfer_of(record)
        if kind in _READERS:
            return _READERS[kind]({name: value for name, value in record.items() if name != "kind"})
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a journal entry: {error!r}") from error
    raise ValueError(f"not a journal entry: kind {kind!r}")


def _transfer_record(entry: TransferPosted) -> Record:
    (
        transfer_id, source, destination, amount, asset, code, source_posted, destination_posted, keys,
        fingerprint, actor, metadata, funding, effective_ms, cause,
    ) = entry  # fmt: skip
    record: Record = {
        "kind": "transfer",
        "id": transfer_id,
        "source": source,
        "destination": destination,
        "amount": amount,
        "asset": asset,
        "code": code,
        "source_posted": source_posted,
        "destination_posted": destination_posted,
        "keys": list(keys),
        "fingerprint": fingerprint,
        "actor": actor,
    }
    if metadata:
        record["metadata"] = metadata
    if funding:
        record["funding"] = list(map(list, funding))
    if effective_ms is not None:
        record["effective_ms"] = effective_ms
    if cause is not None:
        record[CAUSES[type(cause)]] = _members_of(cause)
    return record


def _transfer_of(record: Record) -> TransferPosted:
    if not _TRANSFER_MEMBERS.issuperset(record):
        # The digest does not cover a field that no release reads.
        raise ValueError(f"not a journal entry: {sorted(set(record) - _TRANSFER_MEMBERS)}")
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
        _funding_of(record.get("funding", ())),
        record.get("effective_ms"),
        _cause_of(record),
    )


def _cause_of(record: Record) -> Cause | None:
    if len(record.keys() & CAUSES.values()) > 1:
        raise ValueError("not a journal entry: a transfer with two causes")
    if (issue := record.get("issue")) is not None:
        return Issue(**{**issue, "terms": GrantTerms(**issue["terms"])})
    if (lapse := record.get("lapse")) is not None:
        return Lapse(**lapse)
    if (capture := record.get("capture")) is not None:
        return Capture(**capture)
    if (reversal := record.get("reversal")) is not None:
        parts = {name: _funding_of(reversal[name]) for name in ("restored", "lapsed")}
        return Reversal(**{**reversal, **parts, "revived": tuple(Lot(**lot) for lot in reversal["revived"])})
    return None


def _funding_of(parts: Any) -> Funding:
    return tuple((grant, part) for grant, part in parts)


def _members_of(value: Any) -> Record:
    """The fields of a named tuple that differ from their defaults."""
    defaults = value._field_defaults
    return {
        name: _plain(field)
        for name, field in zip(value._fields, value, strict=True)
        if name not in defaults or field != defaults[name]
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return _members_of(value)
        return [_plain(each) for each in value]
    return value


def _account_of(members: Record) -> AccountOpened:
    keys, fingerprint, actor = members.pop("keys"), members.pop("fingerprint"), members.pop("actor")
    return AccountOpened(Account(**members), tuple(keys), fingerprint, actor)


def _scheduled_of(members: Record) -> GrantScheduled:
    return GrantScheduled(**{**_keyed(members), "terms": GrantTerms(**members["terms"])})


def _hold_of(members: Record) -> HoldPlaced:
    return HoldPlaced(**{**_keyed(members), "funding": _funding_of(members.get("funding", ()))})


def _keyed(members: Record) -> Record:
    return {**members, "keys": tuple(members["keys"])}


_READERS: Final[dict[str, Callable[[Record], Entry]]] = {
    "account": _account_of,
    "grant_scheduled": _scheduled_of,
    "grant_ended": lambda members: GrantEnded(**_keyed(members)),
    "hold": _hold_of,
    "hold_released": lambda members: HoldReleased(**_keyed(members)),
    "rule": lambda members: RuleSet(**_keyed(members)),
    "rule_removed": lambda members: RuleRemoved(**_keyed(members)),
    "rule_skipped": lambda members: RuleSkipped(**_keyed(members)),
    "refused": lambda members: Refused(**_keyed(members)),
}
