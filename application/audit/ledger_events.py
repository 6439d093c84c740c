"""Entries of the journal as lines of the audit log: action, resource and facts."""

from __future__ import annotations

from typing import Final

from domain.ledger.commands import transfer_key
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Refused,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.records import CAUSES, KINDS, kind_of
from domain.ledger.subjects import RULES, subjects_of

ACTION_PREFIX: Final = "credits."
ACTIONS: Final = frozenset(ACTION_PREFIX + kind for kind in (*KINDS.values(), *CAUSES.values()))

_SUBJECT_PREFIXES: Final = {
    "account": "a:",
    "grant": "g:",
    "hold": "h:",
    "user": "u:",
    "transfer": "t:",
    "batch": "k:batch:",
}
BATCH: Final = "batch"
"""The route that scopes the keys of a batch's items."""
_FACTS: Final = (
    "account",
    "asset",
    "amount",
    "source",
    "destination",
    "code",
    "status",
    "held",
    "rule",
    "reason",
)


def action_of(entry: Entry) -> str:
    """The action of an entry: `credits.transfer`, `credits.hold`, …"""
    return ACTION_PREFIX + kind_of(entry)


def resource_of(entry: Entry) -> str:
    """The resource of an entry: `account:<id>`, `grant:<id>`, `hold:<id>`, `rule:<id>`, `transfer:<id>`, or
    `batch:<digest of the key>:<index>` for an item of a batch under a key."""
    match entry:
        case AccountOpened():
            return f"account:{entry.account.id}"
        case GrantScheduled():
            return f"grant:{entry.id}"
        case GrantEnded():
            return f"grant:{entry.grant}"
        case HoldPlaced():
            return f"hold:{entry.id}"
        case HoldReleased():
            return f"hold:{entry.hold}"
        case RuleSet() | RuleRemoved():
            return f"rule:{entry.id}"
        case RuleSkipped():
            # Not the rule, which finds every document in which any rule was set or removed.
            return f"account:{entry.account}"
        case Refused():
            return entry.keys[0].replace("k:", "", 1)
        case TransferPosted(cause=Issue(grant=grant) | Lapse(grant=grant)):
            return f"grant:{grant}"
        case TransferPosted(cause=Capture(hold=hold)):
            return f"hold:{hold}"
        case TransferPosted():
            return f"transfer:{entry.id}"


def subject_of_resource(resource: str) -> str | None:
    """The subject under which the journal indexes a resource; None for a resource without one."""
    kind, _, name = resource.partition(":")
    if kind == "rule":
        return RULES
    prefix = _SUBJECT_PREFIXES.get(kind)
    return None if prefix is None or not name else prefix + name


def key_of_resource(resource: str) -> str | None:
    """The key of the entry that created a resource; None where the subject finds that entry."""
    kind, _, name = resource.partition(":")
    if kind == BATCH and name:
        return f"k:{resource}"
    return transfer_key(name) if kind == "transfer" and name else None


def concerns(entry: Entry, resource: str) -> bool:
    """Whether an entry is about a resource, or touches it."""
    if resource_of(entry) == resource:
        return True
    subject = subject_of_resource(resource)
    return subject is not None and subject != RULES and subject in subjects_of(entry)


def facts_of(entry: Entry) -> dict[str, str | int]:
    """A few small facts of an entry, never its metadata."""
    if isinstance(entry, AccountOpened):
        return {"asset": entry.account.asset}
    if isinstance(entry, Refused):
        about = {"account": entry.about} if entry.about else {}
        return {"transfer": entry.id, "reason": entry.reason, **about}
    values = entry._asdict()
    return {name: values[name] for name in _FACTS if name in values}
