"""The state machine: decides a batch of commands on a state that it does not change.

Load -> decide -> commit: what comes out of `decide` is true once its entries are in the journal at
the sequence number that it was decided for, and means nothing otherwise.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from domain.ledger.account import (
    BALANCE_MAX,
    AccountState,
    account_key,
    is_system,
    untouched_system_account,
)
from domain.ledger.commands import Command, OpenAccount, PostTransfer, Submission
from domain.ledger.entries import AccountOpened, Entry, Recorded, TransferPosted
from domain.ledger.outcomes import Outcome, Posted, Rejected, Rejection

Accounts = Mapping[str, AccountState | None]
"""By account key; None, like a missing key, is an account that does not exist."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`outcomes` has one tuple a submission, in order; `changed` the states after the entries."""

    outcomes: tuple[tuple[Outcome, ...], ...]
    entries: tuple[Entry, ...]
    changed: Mapping[str, AccountState]


class _Overlay:
    """What a batch has changed so far, over the acknowledged state, which stays untouched."""

    __slots__ = ("accounts", "changed", "entries", "keys", "known", "seq", "time_ms")

    def __init__(self, accounts: Accounts, known: Mapping[str, Recorded], seq: int, time_ms: int) -> None:
        self.accounts = accounts
        self.known = known
        self.seq = seq
        self.time_ms = time_ms
        self.changed: dict[str, AccountState] = {}
        self.entries: list[Entry] = []
        self.keys: dict[str, Recorded] = {}

    def account(self, key: str) -> AccountState | None:
        return self.changed.get(key) or self.accounts.get(key)

    def system_account(self, account_id: str, asset: str) -> AccountState:
        state = self.account(account_key(account_id, asset))
        return state or untouched_system_account(account_id, asset)

    def record(self, entry: Entry) -> Posted:
        recorded = Recorded(entry, self.seq, self.time_ms)
        self.entries.append(entry)
        for key in entry.keys:
            self.keys[key] = recorded
        return Posted(recorded)


def decide(
    accounts: Accounts,
    submissions: Sequence[Submission],
    *,
    known: Mapping[str, Recorded],
    seq: int,
    time_ms: int,
) -> Decision:
    """Decides submissions in order, each seeing the ones before it.

    `accounts` holds every account that the commands name, as of document `seq - 1`. `known` holds
    what the journal already has under the commands' keys, as far as somebody looked: the journal's
    unique index catches the rest.
    """
    overlay = _Overlay(accounts, known, seq, time_ms)
    outcomes = tuple(
        _decide_atomic(overlay, submission.commands)
        if submission.atomic
        else tuple([_decide_one(overlay, command) for command in submission.commands])
        for submission in submissions
    )
    return Decision(outcomes, tuple(overlay.entries), overlay.changed)


def _decide_atomic(overlay: _Overlay, commands: Sequence[Command]) -> tuple[Outcome, ...]:
    trial = _Overlay(
        ChainMap(
            cast("dict[str, AccountState | None]", overlay.changed),
            cast("dict[str, AccountState | None]", overlay.accounts),
        ),
        ChainMap(overlay.keys, cast("dict[str, Recorded]", overlay.known)),
        overlay.seq,
        overlay.time_ms,
    )
    outcomes = [_decide_one(trial, command) for command in commands]
    if not any(isinstance(outcome, Rejected) for outcome in outcomes):
        overlay.changed.update(trial.changed)
        overlay.entries.extend(trial.entries)
        overlay.keys.update(trial.keys)
        return tuple(outcomes)
    return tuple(
        Rejected(Rejection.BATCH_REJECTED)
        if isinstance(outcome, Posted) and not outcome.replayed
        else outcome
        for outcome in outcomes
    )


def _decide_one(overlay: _Overlay, command: Command) -> Outcome:
    repeated = repeat_of(command, overlay.known) or repeat_of(command, overlay.keys)
    if repeated is not None:
        return repeated
    if isinstance(command, PostTransfer):
        return _post_transfer(overlay, command)
    return _open_account(overlay, command)


def repeat_of(command: Command, known: Mapping[str, Recorded]) -> Outcome | None:
    """The first answer again, a conflict when the key was used for something else, or None."""
    if not known:
        return None
    found = [known[key] for key in command.keys if key in known]
    if not found:
        return None
    if all(recorded.entry.fingerprint == command.fingerprint for recorded in found):
        return Posted(found[0], replayed=True)
    if isinstance(command, OpenAccount) and command.keys[0] in known:
        return Rejected(Rejection.ACCOUNT_EXISTS)
    return Rejected(Rejection.IDEMPOTENCY_CONFLICT)


def _open_account(overlay: _Overlay, command: OpenAccount) -> Outcome:
    account = command.account
    if overlay.account(account.key) is not None:
        return Rejected(Rejection.ACCOUNT_EXISTS)
    overlay.changed[account.key] = AccountState(account, 0, 0, overlay.seq)
    return overlay.record(AccountOpened(account, command.keys, command.fingerprint, command.actor))


def _post_transfer(overlay: _Overlay, command: PostTransfer) -> Outcome:
    sides = _sides(overlay, command)
    if isinstance(sides, Rejection):
        return Rejected(sides)
    source, destination = sides
    asset = source.account.asset
    if asset != destination.account.asset:
        return Rejected(Rejection.ASSET_MISMATCH)
    amount, limit = command.amount, source.account.overdraft_limit
    if limit is not None and source.posted - source.held - amount < -limit:
        return Rejected(Rejection.INSUFFICIENT_FUNDS)
    source_posted, destination_posted = source.posted - amount, destination.posted + amount
    if destination_posted > BALANCE_MAX or source_posted < -BALANCE_MAX:
        return Rejected(Rejection.BALANCE_OVERFLOW)
    # From here on nothing fails.
    seq, changed = overlay.seq, overlay.changed
    changed[source.account.key] = AccountState(source.account, source_posted, source.held, seq)
    changed[destination.account.key] = AccountState(
        destination.account, destination_posted, destination.held, seq
    )
    return overlay.record(
        TransferPosted(
            command.id,
            command.source,
            command.destination,
            amount,
            asset,
            command.code,
            source_posted,
            destination_posted,
            command.keys,
            command.fingerprint,
            command.actor,
            command.metadata,
            command.grant,
        )
    )


def _sides(overlay: _Overlay, command: PostTransfer) -> tuple[AccountState, AccountState] | Rejection:
    source = None if is_system(command.source) else overlay.account(command.source)
    destination = None if is_system(command.destination) else overlay.account(command.destination)
    if source is None and destination is not None and is_system(command.source):
        source = overlay.system_account(command.source, destination.account.asset)
    if destination is None and source is not None and is_system(command.destination):
        destination = overlay.system_account(command.destination, source.account.asset)
    if source is None or destination is None:
        return Rejection.ACCOUNT_NOT_FOUND
    return source, destination


def replay(accounts: Accounts, entries: Iterable[Entry], *, seq: int) -> dict[str, AccountState]:
    """What journal document `seq` changes of `accounts`.

    Only accounts that are keys of the mapping are followed; None stands for one that did not exist
    before. An account that is true at `seq` or later already is skipped: it was loaded ahead.
    """
    changed: dict[str, AccountState] = {}
    for entry in entries:
        if isinstance(entry, TransferPosted):
            _settle(accounts, changed, entry.source, entry.asset, entry.source_posted, seq)
            _settle(accounts, changed, entry.destination, entry.asset, entry.destination_posted, seq)
        elif (key := entry.account.key) in accounts and not _is_ahead(accounts[key], seq):
            changed[key] = AccountState(entry.account, 0, 0, seq)
    return changed


def _settle(
    accounts: Accounts,
    changed: dict[str, AccountState],
    account_id: str,
    asset: str,
    posted: int,
    seq: int,
) -> None:
    key = account_key(account_id, asset)
    state = changed.get(key)
    if state is None:
        if key not in accounts or _is_ahead(accounts[key], seq):
            return
        state = accounts[key]
    if state is None:
        if not is_system(account_id):
            raise ValueError(f"document {seq} names account {key}, which no document opened")
        state = untouched_system_account(account_id, asset)
    changed[key] = AccountState(state.account, posted, state.held, seq)


def _is_ahead(state: AccountState | None, seq: int) -> bool:
    return state is not None and state.seq >= seq
