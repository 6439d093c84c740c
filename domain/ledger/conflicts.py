"""What differs where an id or a key was used before, for something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domain.ids import is_time_ordered_id
from domain.ledger.commands import (
    TRANSFER_PREFIX,
    CaptureHold,
    Command,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    ReverseTransfer,
    SetRule,
    VoidGrant,
    VoidHold,
    fingerprint_of_capture,
)
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
    Recorded,
    Reversal,
    RuleSet,
    TransferPosted,
)

Comparison = Iterator[tuple[str, bool]]
"""The names of a command's fields, each with whether what was recorded has something else there."""


def differing_field(command: Command, recorded: Recorded) -> str:
    """The first field, by its name in the command, in which the command is not the one that was recorded
    under one of its keys; the fingerprints of the two differ.

    Empty where the journal cannot tell: an entry does not say which other transfers were in its batch.
    """
    return next((name for name, differs in _compared(command, recorded) if differs), "")


def _compared(command: Command, recorded: Recorded) -> Iterable[tuple[str, bool]]:
    entry = recorded.entry
    match command:
        case PostTransfer():
            return _transfer(command, entry)
        case OpenAccount() if isinstance(entry, AccountOpened):
            return _account(command, entry)
        case IssueGrant():
            return _grant(command, entry)
        case PlaceHold() if isinstance(entry, HoldPlaced):
            return _hold(command, entry, recorded.time_ms)
        case SetRule() if isinstance(entry, RuleSet):
            return _rule(command, entry)
        case VoidHold() if isinstance(entry, HoldReleased):
            return (("hold", command.hold != entry.hold),)
        case VoidGrant() if isinstance(entry, GrantEnded):
            return (("grant", command.grant != entry.grant),)
    if isinstance(entry, TransferPosted):
        return _follower(command, entry)
    return ()


def _transfer(command: PostTransfer, entry: Entry) -> Comparison:
    if not isinstance(entry, TransferPosted) or entry.cause is not None:
        yield "id", True  # It names a grant, a capture or a reversal.
        return
    is_chosen = not (_may_be_made(command.id) and _may_be_made(entry.id))
    yield "id", is_chosen and command.id != entry.id
    yield "source", command.source != entry.source
    yield "destination", command.destination != entry.destination
    yield "amount", command.amount != entry.amount
    yield "code", command.code != entry.code
    yield "metadata", command.metadata != entry.metadata
    yield "effective_ms", command.effective_ms != entry.effective_ms


def _may_be_made(transfer_id: str) -> bool:
    """Whether the ledger may have made it: then it says nothing about what the client sent."""
    return is_time_ordered_id(TRANSFER_PREFIX, transfer_id)


def _account(command: OpenAccount, entry: AccountOpened) -> Comparison:
    sent, opened = command.account, entry.account
    yield "asset", sent.asset != opened.asset
    yield "user_id", sent.user_id != opened.user_id
    yield "overdraft_limit", sent.overdraft_limit != opened.overdraft_limit
    yield "metadata", sent.metadata != opened.metadata
    yield "low_balance", sent.low_balance != opened.low_balance
    yield "id", True  # Nothing else is left.


def _grant(command: IssueGrant, entry: Entry) -> Comparison:
    if isinstance(entry, GrantScheduled):
        account, recorded = entry.account, entry.terms
    elif isinstance(entry, TransferPosted) and isinstance(entry.cause, Issue):
        account, recorded = entry.destination, entry.cause.terms
    else:
        return
    terms = command.terms
    yield "account", command.account != account
    yield "amount", command.amount != entry.amount
    yield "category", terms.category != recorded.category
    yield "priority", terms.priority != recorded.priority
    yield "effective_ms", terms.effective_ms != recorded.effective_ms
    yield "expires_ms", terms.expires_ms != recorded.expires_ms
    yield "code", command.code != entry.code
    yield "metadata", command.metadata != entry.metadata


def _hold(command: PlaceHold, entry: HoldPlaced, placed_ms: int) -> Comparison:
    yield "account", command.account != entry.account
    yield "amount", command.amount != entry.amount
    yield "destination", command.destination != entry.destination
    yield "expires_in_ms", command.expires_in_ms != entry.expires_ms - placed_ms
    yield "code", command.code != entry.code
    yield "metadata", command.metadata != entry.metadata


def _rule(command: SetRule, entry: RuleSet) -> Comparison:
    yield "account", command.account != entry.account
    yield "below", command.below != entry.below
    yield "amount", command.amount != entry.amount
    yield "to", command.to != entry.to
    yield "category", command.category != entry.category
    yield "max_per_day", command.max_per_day != entry.max_per_day


def _follower(command: Command, entry: TransferPosted) -> Comparison:
    """Of a command about a grant, a hold or a transfer that is there."""
    cause = entry.cause
    match command:
        case VoidGrant() if isinstance(cause, Lapse):
            yield "grant", command.grant != cause.grant
        case CaptureHold() if isinstance(cause, Capture):
            yield "hold", command.hold != cause.hold
            # What captures all that is left is recorded as final and with its amount, whatever was sent.
            other = fingerprint_of_capture(command.hold, command.amount, final=not command.final)
            yield "final", other == entry.fingerprint
            yield "amount", True
        case ReverseTransfer() if isinstance(cause, Reversal):
            yield "of", command.of != cause.of
            yield "metadata", command.metadata != entry.metadata
            yield "effective_ms", command.effective_ms != entry.effective_ms
            yield "amount", True  # Of "all that is left" only what it came to is recorded.
