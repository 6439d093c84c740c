"""Whatever somebody does to a book behind the ledger's back is found, and named by its number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger.verification import ExpectedHead
from domain.ledger.account import Account, AccountState, untouched_system_account
from domain.ledger.chain import GENESIS, Head, JournalDocument
from domain.ledger.crossings import Snapshot
from tests.application.ledger.forgery import (
    LIVES,
    Lived,
    can_be_sealed,
    edited,
    first_wrong,
    lived,
    lives,
    proved,
    sealed_anew,
    unhurried,
    with_entry,
)
from tests.simulation.ledger_world import BOOK


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_book_that_nobody_touched_is_good(seed: int) -> None:
    life = lived(seed)
    verification = proved(life.journal, life.checkpoints, life.expected)
    assert verification.problem is None
    assert verification.head == life.documents[-1].head
    assert verification.documents == len(life.documents)
    assert verification.entries == sum(len(document.entries) for document in life.documents)


def test_an_empty_book_is_good() -> None:
    verification = proved(MemoryJournal())
    assert (verification.head, verification.problem) == (Head(), None)


@unhurried
@given(st.data(), lives)
def test_an_edited_entry_is_named(data: st.DataObject, life: Lived) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 1))
    forged = data.draw(_edited_entry(life.documents[place]))
    journal = life.forged([*life.documents[:place], forged, *life.documents[place + 1 :]])
    assert first_wrong(proved(journal, life.checkpoints)) == place + 1


@unhurried
@given(st.data(), lives, st.sampled_from(("book", "time_ms", "nonce", "previous", "digest", "entries")))
def test_an_edited_document_is_named(data: st.DataObject, life: Lived, field: str) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 1))
    true = life.documents[place]
    changes: dict[str, Any] = {field: () if field == "entries" else data.draw(edited(getattr(true, field)))}
    forged = replace(true, **changes)
    journal = life.forged([*life.documents[:place], forged, *life.documents[place + 1 :]])
    assert first_wrong(proved(journal, life.checkpoints)) == place + 1


@unhurried
@given(st.data(), lives)
def test_an_edited_entry_with_a_digest_made_for_it_is_named(data: st.DataObject, life: Lived) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 1))
    before, after = life.documents[:place], life.documents[place + 1 :]
    edit = data.draw(_edited_entry(life.documents[place]).filter(can_be_sealed))
    forged = sealed_anew([edit], before[-1].head if before else Head())
    journal = life.forged([*before, *forged, *after])
    # The last one's digest is named by none after it: only who kept it elsewhere knows.
    assert first_wrong(proved(journal, MemoryCheckpoints(), life.expected)) == place + 1


@unhurried
@given(st.data(), lives)
def test_a_chain_that_was_made_anew_from_an_edit_on_is_not_the_expected_one(
    data: st.DataObject, life: Lived
) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 1))
    edit = data.draw(_edited_entry(life.documents[place]).filter(can_be_sealed))
    head = life.documents[place - 1].head if place else Head()
    forged = [*life.documents[:place], *sealed_anew([edit, *life.documents[place + 1 :]], head)]
    wrong = first_wrong(proved(life.forged(forged), MemoryCheckpoints(), life.expected))
    assert place + 1 <= wrong <= len(life.documents)


@unhurried
@given(st.data(), lives)
def test_a_missing_document_is_named(data: st.DataObject, life: Lived) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 1))
    journal = life.forged([*life.documents[:place], *life.documents[place + 1 :]])
    assert first_wrong(proved(journal, MemoryCheckpoints(), life.expected)) == place + 1


@unhurried
@given(st.data(), lives)
def test_the_first_of_two_swapped_documents_is_named(data: st.DataObject, life: Lived) -> None:
    first = data.draw(st.integers(0, len(life.documents) - 2))
    second = data.draw(st.integers(first + 1, len(life.documents) - 1))
    documents = list(life.documents)
    documents[first], documents[second] = documents[second], documents[first]
    assert first_wrong(proved(life.forged(documents), life.checkpoints)) == first + 1
    numbered = [replace(each, seq=place + 1) for place, each in enumerate(documents)]
    assert first_wrong(proved(life.forged(numbered), life.checkpoints)) == first + 1


@unhurried
@given(st.data(), lives)
def test_a_document_that_is_there_twice_is_named(data: st.DataObject, life: Lived) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 1))
    documents = [*life.documents[: place + 1], *life.documents[place:]]
    assert first_wrong(proved(life.forged(documents), life.checkpoints)) == place + 1


@unhurried
@given(st.data(), lives)
def test_an_added_document_is_named_however_well_it_fits(data: st.DataObject, life: Lived) -> None:
    place = data.draw(st.integers(1, len(life.documents) - 1))
    copied = data.draw(st.sampled_from(life.documents))
    head = life.documents[place - 1].head
    added = replace(copied, time_ms=head.time_ms, nonce="added")
    documents = [*life.documents[:place], *sealed_anew([added], head), *life.documents[place:]]
    assert first_wrong(proved(life.forged(documents), life.checkpoints)) == place + 1


@unhurried
@given(st.data(), lives)
def test_a_cut_end_is_seen_by_whoever_knows_a_later_head(data: st.DataObject, life: Lived) -> None:
    left = data.draw(st.integers(0, len(life.documents) - 1))
    journal = life.forged(life.documents[:left])
    assert proved(journal).problem is None
    assert first_wrong(proved(journal, MemoryCheckpoints(), life.expected)) == left + 1


@unhurried
@given(st.data(), lives)
def test_a_head_that_was_kept_earlier_is_still_good(data: st.DataObject, life: Lived) -> None:
    kept = data.draw(st.sampled_from(life.documents))
    expected = ExpectedHead(kept.seq, kept.digest)
    assert proved(life.journal, life.checkpoints, expected).problem is None
    other = ExpectedHead(kept.seq, GENESIS)
    assert first_wrong(proved(life.journal, life.checkpoints, other)) == kept.seq


def test_a_checkpoint_ahead_of_the_journal_is_named() -> None:
    life = lived(0)
    journal = life.forged(life.documents[:-1])
    verification = proved(journal, life.checkpoints)
    assert verification.documents == len(life.documents) - 1
    assert first_wrong(verification) == len(life.documents)


@unhurried
@given(st.data(), lives)
def test_a_changed_checkpoint_is_named_by_its_number(data: st.DataObject, life: Lived) -> None:
    states = list(life.checkpoints._states.values())
    state = data.draw(st.sampled_from(states))
    changed = data.draw(edited(state))
    checkpoints = MemoryCheckpoints()
    checkpoints._states.update({(BOOK, each.account.key): each for each in states})
    checkpoints._states[BOOK, state.account.key] = changed
    if isinstance(changed.seq, int) and changed.seq != state.seq:
        assert first_wrong(proved(life.journal, checkpoints)) == changed.seq
    else:
        assert first_wrong(proved(life.journal, checkpoints)) == state.seq


def test_a_checkpoint_of_an_account_that_nobody_opened_is_named() -> None:
    life = lived(0)
    for state in (
        AccountState(Account("mallory", "GEMS"), 1_000_000, 0, 7, 1),
        untouched_system_account("@revenue", "DOLLARS")._replace(posted=5, seq=7),
    ):
        checkpoints = MemoryCheckpoints()
        checkpoints._states[BOOK, state.account.key] = state
        assert first_wrong(proved(life.journal, checkpoints)) == 7


def test_a_changed_snapshot_is_named_by_its_number() -> None:
    life = lived(LIVES - 1)
    kept = [snapshot for each in life.checkpoints._kept.values() for snapshot in each.values()]
    assert kept
    for true in kept:
        for forged in (
            true._replace(time_ms=true.time_ms - 1),
            true._replace(state=true.state._replace(posted=true.state.posted + 1)),
        ):
            checkpoints = MemoryCheckpoints()
            checkpoints._kept[BOOK, true.state.account.key][true.state.seq] = forged
            assert first_wrong(proved(life.journal, checkpoints)) == true.state.seq
    added = Snapshot(kept[0].state._replace(seq=10**6), 0)
    checkpoints = MemoryCheckpoints()
    checkpoints._kept[BOOK, added.state.account.key][added.state.seq] = added
    assert first_wrong(proved(life.journal, checkpoints)) == 10**6


@st.composite
def _edited_entry(draw: st.DrawFn, document: JournalDocument) -> JournalDocument:
    place = draw(st.integers(0, len(document.entries) - 1))
    return with_entry(document, place, draw(edited(document.entries[place])))
