"""What about the states after a batch matters beyond the accounts themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from domain.ledger.account import ENTRIES_A_SNAPSHOT, AccountState
from domain.ledger.replay import Accounts

ENTRIES_A_CHECKPOINT: Final = 64
"""How many entries that touch an account, at most, a load has to fold on top of its checkpoint,
those of the last moment left aside: with the documents of one read they are there."""


class Snapshot(NamedTuple):
    """An account's state after document `state.seq`, which was recorded at `time_ms`."""

    state: AccountState
    time_ms: int


class Crossings(NamedTuple):
    """`low` fell below their threshold; of `snapshots` states are kept for good; the checkpoints of
    `urgent` are to be saved soon: they are new, fall due at another moment, hold more or less than
    before, or much has touched them."""

    low: tuple[AccountState, ...]
    snapshots: tuple[Snapshot, ...]
    urgent: tuple[str, ...]


def crossings(before: Accounts, changed: Mapping[str, AccountState], time_ms: int) -> Crossings:
    low: list[AccountState] = []
    snapshots: list[Snapshot] = []
    urgent: list[str] = []
    for key, after in changed.items():
        account, _, held, _, entries, holdings = after
        state = before.get(key)
        if state is None:
            urgent.append(key)
            entries_before = 0
        else:
            entries_before = state.entries
            if (
                entries_before // ENTRIES_A_CHECKPOINT != entries // ENTRIES_A_CHECKPOINT
                or state.holdings.due_ms != holdings.due_ms
                or state.held != held
            ):
                urgent.append(key)
            threshold = account.low_balance
            if threshold is not None and state.available >= threshold > after.available:
                low.append(after)
        if entries_before // ENTRIES_A_SNAPSHOT != entries // ENTRIES_A_SNAPSHOT:
            snapshots.append(Snapshot(after, time_ms))
    return Crossings(tuple(low), tuple(snapshots), tuple(urgent))
