"""What about a batch's states matters beyond the accounts themselves."""

from __future__ import annotations

import pytest

from domain.ledger.account import ENTRIES_A_SNAPSHOT, NOTHING, Account, AccountState
from domain.ledger.crossings import ENTRIES_A_CHECKPOINT, crossings

ALICE = Account("alice", "GEMS", low_balance=100)
BEFORE = AccountState(ALICE, 500, 0, 7, ENTRIES_A_CHECKPOINT + 1)
TIME_MS = 1_000


def test_a_balance_that_only_changed_is_in_no_hurry() -> None:
    crossed = crossings({"alice": BEFORE}, {"alice": BEFORE._replace(posted=400, seq=8)}, TIME_MS)
    assert crossed == ((), (), ())


@pytest.mark.parametrize(
    "after",
    [
        BEFORE._replace(held=5),
        BEFORE._replace(entries=2 * ENTRIES_A_CHECKPOINT),
        BEFORE._replace(holdings=NOTHING._replace(due_ms=5_000)),
    ],
    ids=["holds more", "touched often", "falls due at another time"],
)
def test_the_checkpoint_is_urgent_of_what_others_must_find(after: AccountState) -> None:
    assert crossings({"alice": BEFORE}, {"alice": after}, TIME_MS).urgent == ("alice",)


@pytest.mark.parametrize("before", [{}, {"alice": None}], ids=["unknown", "absent"])
def test_the_checkpoint_of_a_new_account_is_urgent(before: dict[str, AccountState | None]) -> None:
    opened = AccountState(ALICE, 0, 0, 8, 1)
    assert crossings(before, {"alice": opened}, TIME_MS) == ((), (), ("alice",))


def test_a_snapshot_is_kept_each_time_so_many_more_entries_have_touched_an_account() -> None:
    before = BEFORE._replace(entries=ENTRIES_A_SNAPSHOT - 1)
    after = before._replace(entries=ENTRIES_A_SNAPSHOT + 3)
    (snapshot,) = crossings({"alice": before}, {"alice": after}, TIME_MS).snapshots
    assert snapshot == (after, TIME_MS)


def test_an_account_is_low_once_it_falls_below_its_threshold_and_not_while_it_stays_there() -> None:
    low = BEFORE._replace(posted=99)
    assert crossings({"alice": BEFORE}, {"alice": low}, TIME_MS).low == (low,)
    assert crossings({"alice": low}, {"alice": low._replace(posted=98)}, TIME_MS).low == ()
