"""What entries do to states. Deciding and replaying share it, so that they cannot part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from domain.ledger.account import (
    NOTHING,
    AccountState,
    ActiveHold,
    Holdings,
    ScheduledGrant,
    TopUpRule,
    account_key,
    holdings_of,
    is_system,
    untouched_system_account,
)
from domain.ledger.chain import JournalDocument
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
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import Lot, burnt, inserted, moved, without
from domain.ledger.subjects import Subject, keys_of_subjects, subject_after

DAY_MS = 86_400_000

new: Final = tuple.__new__
"""Makes a named tuple of all its fields without the call in Python that its class makes of it, which is a
third of what a transfer costs. Only on the path of every transfer: nothing checks the fields."""

Accounts = Mapping[str, AccountState | None]
"""By account key; None, like a missing key, is an account that does not exist."""
Subjects = Mapping[str, Subject | None]
"""By subject key; None is one that does not exist."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one document changed of the states that were asked about."""

    accounts: dict[str, AccountState]
    subjects: dict[str, Subject]


def replay(accounts: Accounts, document: JournalDocument, subjects: Subjects | None = None) -> Replayed:
    """What a journal document changes of accounts and subjects.

    Only keys of the mappings are followed; None stands for what did not exist before. A state that is
    true at the document's `seq` or later already is skipped: it was loaded ahead.
    """
    seq, time_ms = document.seq, document.time_ms
    changed: dict[str, AccountState] = {}
    changed_subjects: dict[str, Subject] = {}
    for index, entry in enumerate(document.entries):
        for key, is_source in accounts_of(entry):
            state = changed.get(key)
            if state is None:
                if key not in accounts:
                    continue
                state = accounts[key]
                if state is not None and state.seq >= seq:
                    continue
            changed[key] = account_after(key, state, entry, is_source, seq, index, time_ms)
        if subjects:
            for key in keys_of_subjects(entry):
                before = changed_subjects.get(key)
                if before is None:
                    if key not in subjects:
                        continue
                    before = subjects[key]
                    if before is not None and before.seq >= seq:
                        continue
                after = subject_after(key, before, entry, seq=seq, index=index, time_ms=time_ms)
                if after is not None:
                    changed_subjects[key] = after
    return Replayed(changed, changed_subjects)


def accounts_of(entry: Entry) -> tuple[tuple[str, bool], ...]:
    """The keys of the accounts that an entry touches, each with whether it is the source."""
    if isinstance(entry, TransferPosted):
        source, destination, asset = entry.source, entry.destination, entry.asset
        return (account_key(source, asset), True), (account_key(destination, asset), False)
    if isinstance(entry, AccountOpened):
        return ((entry.account.key, False),)
    if isinstance(entry, Refused):
        return ()
    return ((account_key(entry.account, entry.asset), False),)


def falls_due(entry: Entry) -> Iterator[tuple[int, str]]:
    """When something of the entry comes or ends by itself, and the key of the account that it is in."""
    if isinstance(entry, HoldPlaced):
        yield entry.expires_ms, account_key(entry.account, entry.asset)
    elif isinstance(entry, GrantScheduled):
        # What begins then may end by itself too, and will have an entry of its own.
        yield entry.terms.effective_ms or 0, account_key(entry.account, entry.asset)
    elif isinstance(entry, TransferPosted):
        cause = entry.cause
        if isinstance(cause, Issue):
            ends = [cause.terms.expires_ms]
        elif isinstance(cause, Reversal):
            ends = [lot.expires_ms for lot in cause.revived]
        else:
            return
        key = account_key(entry.destination, entry.asset)
        yield from ((expires_ms, key) for expires_ms in ends if expires_ms is not None)


def account_after(
    key: str,
    before: AccountState | None,
    entry: Entry,
    is_source: bool,
    seq: int,
    index: int,
    time_ms: int,
) -> AccountState:
    if isinstance(entry, AccountOpened):
        return AccountState(entry.account, 0, 0, seq, 1)
    if before is None:
        name, _, asset = key.partition(":")
        if not is_system(name):
            raise ValueError(f"document {seq} names account {key}, which no document opened")
        before = untouched_system_account(name, asset)
    if isinstance(entry, TransferPosted):
        if is_source:
            return source_after(before, entry, seq)
        return destination_after(before, entry, seq, index, time_ms)
    return holder_after(before, entry, seq, time_ms)


def source_after(state: AccountState, entry: TransferPosted, seq: int) -> AccountState:
    account, _, held, _, entries, holdings = state
    if holdings is NOTHING:
        return new(AccountState, (account, entry.source_posted, held, seq, entries + 1, NOTHING))
    cause = entry.cause
    if cause is not None and isinstance(cause, Capture):
        return _captured(state, entry, cause, seq)
    lots, holds, scheduled, rules, due_ms = holdings
    if cause is not None and isinstance(cause, Lapse):
        ended = (_lapsed(lot, entry.amount, cause) if lot.grant == cause.grant else lot for lot in lots)
        lots = tuple(lot for lot in ended if lot.remaining)
    elif entry.funding:
        left = burnt(lots, entry.funding)
        if len(left) == len(lots):
            # None of them is gone, so what falls due next has not changed.
            after = new(Holdings, (left, holds, scheduled, rules, due_ms))
            return new(AccountState, (account, entry.source_posted, held, seq, entries + 1, after))
        lots = left
    else:
        return new(AccountState, (account, entry.source_posted, held, seq, entries + 1, holdings))
    after = holdings_of(lots, holds, scheduled, rules)
    return new(AccountState, (account, entry.source_posted, held, seq, entries + 1, after))


def _lapsed(lot: Lot, amount: int, cause: Lapse) -> Lot:
    return lot._replace(remaining=lot.remaining - amount, ended=cause.status)


def _captured(state: AccountState, entry: TransferPosted, cause: Capture, seq: int) -> AccountState:
    account, _, held, _, entries, (lots, holds, scheduled, rules, _) = state
    hold = hold_of(state, cause.hold)
    lots = moved(lots, entry.funding, remaining=-1, held=-1)
    left = without(hold.funding, entry.funding)
    if cause.final:
        lots = moved(lots, left, held=-1)
        holds = tuple(each for each in holds if each.id != hold.id)
        held -= hold.remaining
    else:
        rest = hold._replace(remaining=hold.remaining - entry.amount, funding=left)
        holds = tuple(rest if each.id == hold.id else each for each in holds)
        held -= entry.amount
    after = holdings_of(lots, holds, scheduled, rules)
    return AccountState(account, entry.source_posted, held, seq, entries + 1, after)


def destination_after(
    state: AccountState, entry: TransferPosted, seq: int, index: int, time_ms: int
) -> AccountState:
    account, _, held, _, entries, holdings = state
    cause = entry.cause
    if cause is None or account.id[0] == "@":
        return new(AccountState, (account, entry.destination_posted, held, seq, entries + 1, holdings))
    lots, holds, scheduled, rules, _ = holdings
    if isinstance(cause, Issue):
        terms = cause.terms
        lot = Lot(cause.grant, entry.amount, 0, terms.priority, terms.category, terms.expires_ms, seq, index)
        lots = inserted(lots, lot)
        if scheduled:
            scheduled = tuple(each for each in scheduled if each.id != cause.grant)
        if cause.rule:
            rules = tuple(
                _used(rule, cause.uses, time_ms) if rule.id == cause.rule else rule for rule in rules
            )
    elif isinstance(cause, Reversal):
        lots = moved(lots, cause.restored, remaining=1)
        for lot in cause.revived:
            lots = inserted(lots, lot)
    after = holdings_of(lots, holds, scheduled, rules)
    return AccountState(account, entry.destination_posted, held, seq, entries + 1, after)


def _used(rule: TopUpRule, uses: int, time_ms: int) -> TopUpRule:
    day = time_ms // DAY_MS
    return rule._replace(day=day, used=rule.used + uses if rule.day == day else uses)


def holder_after(state: AccountState, entry: Entry, seq: int, time_ms: int) -> AccountState:
    """After an entry that moves nothing between accounts."""
    account, posted, held, _, entries, (lots, holds, scheduled, rules, _) = state
    if isinstance(entry, HoldPlaced):
        holds = (*holds, ActiveHold(entry.id, entry.amount, entry.expires_ms, entry.funding))
        lots = moved(lots, entry.funding, held=1)
        held += entry.amount
    elif isinstance(entry, HoldReleased):
        hold = hold_of(state, entry.hold)
        holds = tuple(each for each in holds if each.id != hold.id)
        lots = moved(lots, hold.funding, held=-1)
        held -= hold.remaining
    elif isinstance(entry, GrantScheduled):
        grant = ScheduledGrant(entry.id, entry.amount, entry.terms, entry.code, entry.metadata)
        scheduled = (*scheduled, grant)
    elif isinstance(entry, GrantEnded):
        scheduled = tuple(each for each in scheduled if each.id != entry.grant)
        lots = tuple(lot._replace(ended=entry.status) if lot.grant == entry.grant else lot for lot in lots)
    elif isinstance(entry, RuleSet):
        rules = (*rules, rule_of(entry))
    elif isinstance(entry, RuleRemoved):
        rules = tuple(rule for rule in rules if rule.id != entry.id)
    elif isinstance(entry, RuleSkipped):
        reason = entry.reason
        rules = tuple(
            rule._replace(skipped=reason, skipped_ms=time_ms) if rule.id == entry.rule else rule
            for rule in rules
        )
    after = holdings_of(lots, holds, scheduled, rules)
    return AccountState(account, posted, held, seq, entries + 1, after)


def rule_of(entry: RuleSet) -> TopUpRule:
    """The rule as it was set."""
    return TopUpRule(entry.id, entry.below, entry.amount, entry.category, entry.max_per_day, to=entry.to)


def hold_of(state: AccountState, hold_id: str) -> ActiveHold:
    """A pending hold of the account; ValueError when the journal names one that is not."""
    for hold in state.holdings.holds:
        if hold.id == hold_id:
            return hold
    raise ValueError(f"account {state.account.key} has no pending hold {hold_id}")
