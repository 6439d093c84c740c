"""The state machine: decides a batch of commands on a state that it does not change.

Load -> decide -> commit: what comes out of `decide` is true once its entries are in the journal at
the sequence number that it was decided for, and means nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from domain.ledger.account import AccountState
from domain.ledger.commands import (
    CaptureHold,
    Command,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    RemoveRule,
    ReverseTransfer,
    SetRule,
    SettleDue,
    Submission,
    VoidGrant,
    VoidHold,
)
from domain.ledger.conflicts import differing_field
from domain.ledger.entries import AccountOpened, Entry, Recorded, Refused
from domain.ledger.grants import issue_grant, void_grant
from domain.ledger.holds import capture_hold, place_hold, void_hold
from domain.ledger.outcomes import CommandOutcome, Outcome, Posted, Rejected, Rejection, Settled
from domain.ledger.overlay import Overlay
from domain.ledger.replay import Accounts, Subjects, accounts_of
from domain.ledger.subjects import Subject
from domain.ledger.top_ups import hold_levels, remove_rule, set_rule
from domain.ledger.transfers import post_transfer, reverse_transfer


@dataclass(frozen=True, slots=True)
class Decision:
    """`outcomes` has one tuple a submission, in order; `changed` the states after the entries.

    Nothing of it counts when subjects were `missing`: decide again when they are loaded.
    """

    outcomes: tuple[tuple[CommandOutcome, ...], ...]
    entries: tuple[Entry, ...]
    changed: Mapping[str, AccountState]
    changed_subjects: Mapping[str, Subject]
    missing: frozenset[str]
    time_ms: int


class UnbalancedDecision(AssertionError):
    """A decision would make credits, or lose some: a fault in the rules, found before it is recorded."""


def decide(
    accounts: Accounts,
    submissions: Sequence[Submission],
    *,
    known: Mapping[str, Recorded],
    seq: int,
    time_ms: int,
    subjects: Subjects | None = None,
) -> Decision:
    """Decides submissions in order, each seeing the ones before it.

    `accounts` and `subjects` hold what `needs` says, as of document `seq - 1`. `known` holds what the
    journal already has under the commands' keys, as far as they were looked up: the journal's unique index
    catches the rest.

    Raises `UnbalancedDecision` when what the accounts of an asset hold together would not stay what it was:
    double entry, held in production as well.
    """
    overlay = Overlay(accounts, subjects or {}, known, seq, time_ms, hold_levels)
    outcomes = tuple([_decide_submission(overlay, submission) for submission in submissions])
    _check_balance(accounts, overlay.changed)
    return Decision(
        outcomes,
        tuple(overlay.entries),
        overlay.changed,
        overlay.changed_subjects,
        frozenset(overlay.missing),
        time_ms,
    )


def _check_balance(before: Accounts, after: Mapping[str, AccountState]) -> None:
    """Compares states, not entries: an entry moves what it says by its form alone."""
    # Nearly every batch is about one asset; a dictionary of sums for each would cost it more.
    first, total = "", 0
    others: dict[str, int] = {}
    for key, state in after.items():
        asset, earlier = state.account.asset, before.get(key)
        moved = state.posted if earlier is None else state.posted - earlier.posted
        if asset == first or not first:
            first = asset
            total += moved
        else:
            others[asset] = others.get(asset, 0) + moved
    for asset, moved in ((first, total), *others.items()):
        if moved:
            raise UnbalancedDecision(f"a decision about {asset} comes to {moved:+} instead of 0")


def _decide_submission(overlay: Overlay, submission: Submission) -> tuple[CommandOutcome, ...]:
    commands, is_atomic = submission
    if is_atomic:
        return _decide_atomic(overlay, commands)
    if len(commands) == 1:
        return (_decide_one(overlay, commands[0]),)
    return tuple([_decide_one(overlay, command) for command in commands])


def _decide_atomic(overlay: Overlay, commands: Sequence[Command]) -> tuple[CommandOutcome, ...]:
    trial = overlay.trial()
    outcomes = [_decide_one(trial, command) for command in commands]
    if not any(isinstance(outcome, Rejected) for outcome in outcomes):
        overlay.adopt(trial)
        return tuple(outcomes)
    # What repeats another command of this batch repeats nothing: that one was not posted either.
    return tuple(
        outcome
        if isinstance(outcome, Rejected)
        else repeat_of(command, overlay.known, overlay.keys) or Rejected(Rejection.BATCH_REJECTED)
        for command, outcome in zip(commands, outcomes, strict=True)
    )


def _decide_one(overlay: Overlay, command: Command) -> CommandOutcome:
    known, keys = overlay.known, overlay.keys
    for key in command.keys:
        if (key in keys or key in known) and (repeated := repeat_of(command, known, keys)) is not None:
            if type(command) is PostTransfer and type(repeated) is Rejected:
                _remember(overlay, command, repeated)
            return repeated
    if type(command) is PostTransfer:
        outcome = post_transfer(overlay, command)
        if type(outcome) is Rejected:
            _remember(overlay, command, outcome)
        return outcome
    first = len(overlay.entries)
    rarer = _decide_rarer(overlay, command)
    for key in {key: None for entry in overlay.entries[first:] for key, _ in accounts_of(entry)}:
        overlay.settle(key)  # Whatever the command lowered, its rules hold their levels.
    return rarer


def _remember(overlay: Overlay, command: PostTransfer, refused: Rejected) -> None:
    """Records a refusal that a repeat is to get again, unless it is one, or its keys were used otherwise."""
    keys = command.refusal_keys
    if not keys or any(key in overlay.keys or key in overlay.known for key in keys):
        return
    overlay.record(
        Refused(
            command.id, refused.reason.value, refused.about, keys, command.fingerprint,
            command.actor,
        )
    )  # fmt: skip


def _decide_rarer(overlay: Overlay, command: Command) -> CommandOutcome:
    match command:
        case PlaceHold():
            return place_hold(overlay, command)
        case CaptureHold():
            return capture_hold(overlay, command)
        case VoidHold():
            return void_hold(overlay, command)
        case IssueGrant():
            return issue_grant(overlay, command)
        case VoidGrant():
            return void_grant(overlay, command)
        case ReverseTransfer():
            return reverse_transfer(overlay, command)
        case OpenAccount():
            return _open_account(overlay, command)
        case SetRule():
            return set_rule(overlay, command)
        case RemoveRule():
            return remove_rule(overlay, command)
        case SettleDue():
            overlay.settle(command.account)
            return Settled(command.account)
        case PostTransfer():
            return post_transfer(overlay, command)


def repeat_of(command: Command, *known: Mapping[str, Recorded]) -> Outcome | None:
    """The first answer again; a conflict, with the field, when a key was used for something else; or None.

    All that is `known` counts together: where a key was found makes no difference to the answer.
    """
    found = {key: each[key] for key in command.keys for each in known if key in each}
    if not found:
        return None
    refused = next((each.entry for each in found.values() if isinstance(each.entry, Refused)), None)
    if refused is not None:
        # What its batch was answered, even if another request has posted the transfer since.
        if refused.fingerprint != command.fingerprint:
            return Rejected(Rejection.IDEMPOTENCY_CONFLICT)
        return Rejected(Rejection(refused.reason), refused.about, replayed=True)
    other = next((each for each in found.values() if each.entry.fingerprint != command.fingerprint), None)
    if other is None:
        return Posted(next(iter(found.values())), replayed=True)
    is_opened = isinstance(command, OpenAccount) and command.keys[0] in found
    reason = Rejection.ACCOUNT_EXISTS if is_opened else Rejection.IDEMPOTENCY_CONFLICT
    return Rejected(reason, field=differing_field(command, other))


def _open_account(overlay: Overlay, command: OpenAccount) -> Outcome:
    account = command.account
    if overlay.settle(account.key) is not None:
        return Rejected(Rejection.ACCOUNT_EXISTS)
    return overlay.record(AccountOpened(account, command.keys, command.fingerprint, command.actor))


class Effective(NamedTuple):
    """An account as it stands at a moment, whether or not what fell due by then was recorded."""

    state: AccountState
    entries: tuple[Entry, ...]


def effective(state: AccountState, time_ms: int) -> Effective:
    """What the account holds at `time_ms`; `entries` is what would be recorded now for it, but for the
    balances of the system's accounts, and `seq` is the last document that did touch the account."""
    if state.holdings.due_ms > time_ms:
        return Effective(state, ())
    # As if in the next document: what begins now is younger than all that is there.
    overlay = Overlay({state.account.key: state}, {}, {}, state.seq + 1, time_ms)
    settled = overlay.settle(state.account.key) or state
    return Effective(settled._replace(seq=state.seq), tuple(overlay.entries))
