"""What a batch has changed so far, over the acknowledged state, which stays untouched.

Before a command looks at an account, what has fallen due in it by then is recorded: scheduled grants
begin, holds and grants expire, each at its own instant. Then its top-up rules hold their levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from domain.ledger.account import (
    EXPIRED,
    ISSUANCE,
    NOTHING,
    AccountState,
    account_key,
    is_system,
    untouched_system_account,
)
from domain.ledger.commands import LEDGER, ending_key, transfer_key
from domain.ledger.entries import (
    AccountOpened,
    Entry,
    GrantEnded,
    HoldReleased,
    Issue,
    Lapse,
    Recorded,
    Refused,
    TransferPosted,
)
from domain.ledger.lots import Lot
from domain.ledger.outcomes import Posted
from domain.ledger.replay import (
    Accounts,
    Subjects,
    destination_after,
    holder_after,
    new,
    source_after,
)
from domain.ledger.subjects import EXPIRED_STATUS, VOIDED, Subject, keys_of_subjects, subject_after

EXPIRE: Final = "expire:"
ACTIVATE: Final = "activate:"
"""How the ids of transfers begin that end a grant, or let a scheduled one begin, by themselves."""

Value = TypeVar("Value")


class _Layered(Mapping[str, Value]):
    """What `above` has, and of all else what `below` has. Values are true, but for None in `below`."""

    __slots__ = ("_above", "_below")

    def __init__(self, above: Mapping[str, Value], below: Mapping[str, Value]) -> None:
        self._above = above
        self._below = below

    def get(self, key: str, default: Any = None) -> Any:
        return self._above.get(key) or self._below.get(key, default)

    def __getitem__(self, key: str) -> Value:
        return self._above[key] if key in self._above else self._below[key]

    def __contains__(self, key: object) -> bool:
        return key in self._above or key in self._below

    def __bool__(self) -> bool:
        return bool(self._above) or bool(self._below)

    def __iter__(self) -> Iterator[str]:
        return iter(self._above.keys() | self._below.keys())

    def __len__(self) -> int:
        return len(self._above.keys() | self._below.keys())


class Overlay:
    __slots__ = (
        "_entries_before",
        "_hold_levels",
        "accounts",
        "changed",
        "changed_subjects",
        "entries",
        "keys",
        "known",
        "missing",
        "seq",
        "subjects",
        "time_ms",
    )

    def __init__(
        self,
        accounts: Accounts,
        subjects: Subjects,
        known: Mapping[str, Recorded],
        seq: int,
        time_ms: int,
        hold_levels: HoldLevels | None = None,
    ) -> None:
        """`hold_levels` is what top-up rules do; None for a reader."""
        self._hold_levels = hold_levels
        self.accounts = accounts
        self.subjects = subjects
        self.known = known
        self.seq = seq
        self.time_ms = time_ms
        self.changed: dict[str, AccountState] = {}
        self.changed_subjects: dict[str, Subject] = {}
        self.entries: list[Entry] = []
        self._entries_before = 0
        self.keys: dict[str, Recorded] = {}
        self.missing: set[str] = set()
        """Keys of subjects that a decision turned out to need, and that were not loaded."""

    @property
    def place(self) -> int:
        """The index that the next entry has in its document."""
        return self._entries_before + len(self.entries)

    def trial(self) -> Overlay:
        """One on top of this, which may be thrown away, or taken over with `adopt` before this one changes.

        It copies nothing: a batch may hold thousands of submissions that are tried so.
        """
        trial = Overlay(
            _Layered(self.changed, self.accounts),
            _Layered(self.changed_subjects, self.subjects),
            _Layered(self.keys, self.known),
            self.seq,
            self.time_ms,
            self._hold_levels,
        )
        trial._entries_before = self.place
        trial.missing = self.missing
        return trial

    def adopt(self, trial: Overlay) -> None:
        self.changed.update(trial.changed)
        self.changed_subjects.update(trial.changed_subjects)
        self.entries += trial.entries
        self.keys.update(trial.keys)

    def state(self, key: str) -> AccountState | None:
        """The account as it is after what was recorded so far, overdue or not; None when there is none."""
        return self.changed.get(key) or self.accounts.get(key)

    def settle(self, key: str) -> AccountState | None:
        """The account as it stands now, None when there is none. Records first what is overdue in it, and
        lets its rules hold their levels."""
        state = self.state(key)
        if state is None or state.holdings is NOTHING:
            return state
        if state.holdings.due_ms <= self.time_ms:
            state = self._record_due(key, state)
        if state.holdings.rules and self._hold_levels is not None:
            self._hold_levels(self, state)
            state = self.changed.get(key) or state
        return state

    def system_account(self, account_id: str, asset: str) -> AccountState:
        key = account_key(account_id, asset)
        return self.changed.get(key) or self.accounts.get(key) or untouched_system_account(account_id, asset)

    def settle_side(self, account_id: str, asset: str) -> AccountState | None:
        """As `settle`, of any account that a transfer names; nothing falls due in the system's."""
        return self.system_account(account_id, asset) if is_system(account_id) else self.settle(account_id)

    def need(self, key: str) -> Subject | None:
        """What the key names, None if nothing; `missing` if it was not loaded: nothing is decided then."""
        if key not in self.subjects:
            self.missing.add(key)
        return self.changed_subjects.get(key) or self.subjects.get(key)

    def record(self, entry: Entry) -> Posted:
        """Takes an entry that moves nothing between accounts."""
        if isinstance(entry, AccountOpened):
            self.changed[entry.account.key] = AccountState(entry.account, 0, 0, self.seq, 1)
        elif not isinstance(entry, TransferPosted | Refused):
            # As it stands, overdue or not: this may be the entry that records what is due.
            state = self.state(entry.account)
            assert state is not None  # noqa: S101 - what records an entry has looked at its account
            self.changed[state.account.key] = holder_after(state, entry, self.seq, self.time_ms)
        return self.noted(entry)

    def move(self, source: AccountState, destination: AccountState, entry: TransferPosted) -> Posted:
        """Takes a transfer between two accounts as they stand now."""
        changed, seq = self.changed, self.seq
        source_key, destination_key = entry.source, entry.destination
        if source_key[0] == "@":
            source_key = account_key(source_key, entry.asset)
        if destination_key[0] == "@":
            destination_key = account_key(destination_key, entry.asset)
        changed[source_key] = source_after(source, entry, seq)
        place = self._entries_before + len(self.entries)  # `place` without its call: every transfer's path.
        changed[destination_key] = destination_after(destination, entry, seq, place, self.time_ms)
        return self.noted(entry)

    def noted(self, entry: Entry) -> Posted:
        if self.subjects:
            self._note_subjects(entry)
        recorded = new(Recorded, (entry, self.seq, self.time_ms))
        self.entries.append(entry)
        for key in entry.keys:
            self.keys[key] = recorded
        return new(Posted, (recorded, False))

    def _note_subjects(self, entry: Entry) -> None:
        for key in keys_of_subjects(entry):
            if key in self.subjects:
                before = self.need(key)
                after = subject_after(
                    key, before, entry, seq=self.seq, index=self.place, time_ms=self.time_ms
                )
                if after is not None:
                    self.changed_subjects[key] = after

    def _record_due(self, key: str, state: AccountState) -> AccountState:
        """Records what has fallen due, in the order in which it did. Bounded: each step ends something."""
        while state.holdings.due_ms <= self.time_ms:
            _book(self, state, _next_due(state))
            state = self.changed[key]
        return state


HoldLevels = Callable[[Overlay, AccountState], None]
"""Lets each top-up rule of an account act whose level it is below."""


class _Due(NamedTuple):
    """One thing that falls due; compared in this order: activation, hold expiry, grant expiry."""

    at_ms: int
    kind: int
    id: str


_ACTIVATION, _HOLD_EXPIRY, _GRANT_EXPIRY = range(3)


def _next_due(state: AccountState) -> _Due:
    lots, holds, scheduled, _, _ = state.holdings
    due = [_Due(grant.terms.effective_ms or 0, _ACTIVATION, grant.id) for grant in scheduled]
    due += [_Due(hold.expires_ms, _HOLD_EXPIRY, hold.id) for hold in holds]
    due += [
        _Due(lot.expires_ms, _GRANT_EXPIRY, lot.grant)
        for lot in lots
        if lot.expires_ms is not None and not lot.ended
    ]
    return min(due)


def _book(overlay: Overlay, state: AccountState, due: _Due) -> None:
    if due.kind == _ACTIVATION:
        _begin(overlay, state, due)
    elif due.kind == _HOLD_EXPIRY:
        release(overlay, state, due.id, EXPIRED_STATUS, (), "", LEDGER, effective_ms=due.at_ms)
    else:
        lot = next(lot for lot in state.holdings.lots if lot.grant == due.id)
        end_lot(
            overlay, state, lot, EXPIRED_STATUS, (), "", LEDGER,
            transfer_id=f"{EXPIRE}{lot.grant}", effective_ms=due.at_ms,
        )  # fmt: skip


def _begin(overlay: Overlay, state: AccountState, due: _Due) -> None:
    grant = next(grant for grant in state.holdings.scheduled if grant.id == due.id)
    account = state.account
    source = overlay.system_account(ISSUANCE, account.asset)
    transfer_id = f"{ACTIVATE}{grant.id}"
    entry = TransferPosted(
        transfer_id, ISSUANCE, account.id, grant.amount, account.asset, grant.code,
        source.posted - grant.amount, state.posted + grant.amount, (transfer_key(transfer_id),), "", LEDGER,
        grant.metadata, (), due.at_ms, Issue(grant.id, grant.terms),
    )  # fmt: skip
    overlay.move(source, state, entry)


def release(
    overlay: Overlay,
    state: AccountState,
    hold_id: str,
    status: str,
    keys: tuple[str, ...],
    fingerprint: str,
    actor: str,
    *,
    effective_ms: int | None = None,
) -> Posted:
    """Ends a hold; what it had reserved of grants that ended meanwhile ends with it."""
    account = state.account
    hold = next(hold for hold in state.holdings.holds if hold.id == hold_id)
    posted = overlay.record(
        HoldReleased(
            hold.id,
            account.id,
            account.asset,
            hold.remaining,
            status,
            (f"v:{hold.id}", *keys),
            fingerprint,
            actor,
            effective_ms,
        )
    )
    lapse_released(overlay, account.key, effective_ms=effective_ms)
    return posted


def lapse_released(overlay: Overlay, key: str, *, effective_ms: int | None = None) -> None:
    """Takes what holds no longer reserve of ended grants to where these went."""
    for lot in overlay.changed[key].holdings.lots:
        if lot.ended and lot.remaining > lot.held:
            state = overlay.changed[key]
            name = f"{EXPIRE}{lot.grant}:{overlay.seq}.{overlay.place}"
            end_lot(
                overlay, state, lot, lot.ended, (), "", LEDGER, transfer_id=name, effective_ms=effective_ms
            )


def end_lot(
    overlay: Overlay,
    state: AccountState,
    lot: Lot,
    status: str,
    keys: tuple[str, ...],
    fingerprint: str,
    actor: str,
    *,
    transfer_id: str,
    effective_ms: int | None = None,
) -> Posted:
    """Takes what no hold has reserved of a grant: to `@expired`, or back to `@issuance` if voided."""
    account = state.account
    amount = lot.remaining - lot.held
    if amount == 0:
        return overlay.record(
            GrantEnded(
                lot.grant,
                account.id,
                account.asset,
                status,
                lot.held,
                (ending_key(lot.grant), *keys),
                fingerprint,
                actor,
                effective_ms,
            )
        )
    sink = ISSUANCE if status == VOIDED else EXPIRED
    destination = overlay.system_account(sink, account.asset)
    entry = TransferPosted(
        transfer_id, account.id, sink, amount, account.asset, status, state.posted - amount,
        destination.posted + amount, (transfer_key(transfer_id), *keys), fingerprint, actor, "",
        ((lot.grant, amount),), effective_ms, Lapse(lot.grant, status, lot.held),
    )  # fmt: skip
    return overlay.move(state, destination, entry)
