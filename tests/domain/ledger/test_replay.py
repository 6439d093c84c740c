"""Replaying the journal, or what is left of it after any checkpoint, gives the live states."""

from __future__ import annotations

import random

import pytest

from domain.ledger.account import AccountState
from domain.ledger.machine import decide
from domain.ledger.replay import accounts_of, falls_due, replay
from domain.ledger.subjects import Subject
from tests.domain.ledger.asking import grant, hold, one, opening, received, reverse, transfer
from tests.domain.ledger.play import Play, account_keys_of, play, played, subject_keys_of, with_missing
from tests.domain.ledger.strategies import plan_of
from tests.seeds import seeds

SEEDS = seeds(6)


def _replayed(
    ledger: Play, accounts: dict[str, AccountState | None], subjects: dict[str, Subject | None]
) -> tuple[dict[str, AccountState], dict[str, Subject]]:
    for document in ledger.documents:
        changed = replay(accounts, document, subjects)
        accounts.update(changed.accounts)
        subjects.update(changed.subjects)
    return (
        {key: state for key, state in accounts.items() if state is not None},
        {key: state for key, state in subjects.items() if state is not None},
    )


def _keys(ledger: Play) -> tuple[set[str], set[str]]:
    accounts = {key for document in ledger.documents for key in account_keys_of(document)}
    return accounts, {key for document in ledger.documents for key in subject_keys_of(document)}


@pytest.mark.parametrize("seed", SEEDS)
def test_replaying_the_journal_from_nothing_gives_the_live_states(seed: int) -> None:
    ledger = played(plan_of(seed))
    accounts, subjects = _keys(ledger)
    assert _replayed(ledger, dict.fromkeys(accounts), dict.fromkeys(subjects)) == (
        ledger.accounts,
        ledger.subjects,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_checkpoints_of_any_age_and_what_follows_them_give_the_live_states(seed: int) -> None:
    """Each state has its own checkpoint, or none: they are written when somebody gets to it."""
    chance = random.Random(seed)
    accounts: dict[str, AccountState | None] = {}
    subjects: dict[str, Subject | None] = {}
    ledger = Play()
    for time_ms, batch in plan_of(seed):
        ledger.commit(batch, time_ms=time_ms)
        accounts.update({key: state for key, state in ledger.accounts.items() if chance.random() < 0.05})
        subjects.update({key: state for key, state in ledger.subjects.items() if chance.random() < 0.05})
    all_accounts, all_subjects = _keys(ledger)
    assert _replayed(
        ledger,
        {key: accounts.get(key) for key in all_accounts},
        {key: subjects.get(key) for key in all_subjects},
    ) == (ledger.accounts, ledger.subjects)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_state_alone_is_replayed_as_among_all_the_others(seed: int) -> None:
    ledger = played(plan_of(seed, batches=15))
    for key, state in ledger.accounts.items():
        assert _replayed(ledger, {key: None}, {}) == ({key: state}, {})
    for name, subject in ledger.subjects.items():
        assert _replayed(ledger, {}, {name: None}) == ({}, {name: subject})


@pytest.mark.parametrize("seed", SEEDS)
def test_replaying_skips_states_that_are_ahead_and_those_not_followed(seed: int) -> None:
    ledger = played(plan_of(seed))
    for document in ledger.documents:
        for accounts, subjects in ((ledger.accounts, ledger.subjects), ({}, {})):
            changed = replay(accounts, document, subjects)
            assert (changed.accounts, changed.subjects) == ({}, {})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_subject_that_an_entry_is_about_is_indexed_with_its_document(seed: int) -> None:
    """All but transfers, which are found by their keys, and are indexed once they are reversed."""
    ledger = played(plan_of(seed))
    for document in ledger.documents:
        indexed = set(document.subjects())
        assert {f"a:{key}" for key in account_keys_of(document)} <= indexed
        assert {key for key in subject_keys_of(document) if key[0] in "hg"} <= indexed


@pytest.mark.parametrize("seed", SEEDS)
def test_the_due_index_knows_of_all_that_falls_due(seed: int) -> None:
    """Whoever follows the journal knows of every moment at which an account changes by itself."""
    ledger = Play()
    known: set[tuple[int, str]] = set()
    for time_ms, batch in plan_of(seed):
        ledger.commit(batch, time_ms=time_ms)
        known.update(moment for entry in ledger.documents[-1].entries for moment in falls_due(entry))
        for key, state in ledger.accounts.items():
            if state.holdings.due_ms < 2**62:
                assert (state.holdings.due_ms, key) in known


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_counts_for_each_account_that_it_touches(seed: int) -> None:
    ledger = played(plan_of(seed))
    for key, state in ledger.accounts.items():
        touched = [
            document.seq
            for document in ledger.documents
            for entry in document.entries
            for name, _ in accounts_of(entry)
            if name == key
        ]
        assert (state.entries, state.seq) == (len(touched), touched[-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_deciding_leaves_the_acknowledged_states_alone_and_is_repeatable(seed: int) -> None:
    ledger = Play()
    for time_ms, batch in plan_of(seed, batches=15):
        accounts, subjects = dict(ledger.accounts), dict(ledger.subjects)
        every = with_missing(subjects, [f"{kind}-{number}" for kind in "thg" for number in range(99)])
        decisions = [
            decide(
                ledger.accounts, batch, known=ledger.known, seq=ledger.head.seq + 1, time_ms=time_ms,
                subjects={**every, **subjects},
            )
            for _ in range(2)
        ]  # fmt: skip
        assert decisions[0] == decisions[1]
        assert (ledger.accounts, ledger.subjects) == (accounts, subjects)
        ledger.commit(batch, time_ms=time_ms)


def test_a_document_names_each_subject_once() -> None:
    ledger = play(opening("alice", user="u-1"), received("alice", 3, id="t1"), received("alice", 4, id="t2"))
    assert ledger.documents[0].subjects() == ["a:alice", "u:u-1", "a:@issuance:GEMS"]


def test_a_reversal_names_the_transfer_and_a_grant_or_hold_itself() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), hold("alice", 1, id="h1"))
    ledger.do(transfer("alice", "@revenue", 1, id="t1"))
    assert {"g:g1", "h:h1"} <= set(ledger.documents[0].subjects())
    assert "t:t1" not in ledger.documents[1].subjects()
    ledger.do(reverse("t1", id="r1"))
    assert "t:t1" in ledger.documents[2].subjects()


def test_an_entry_about_an_account_that_no_document_opened_is_a_broken_journal() -> None:
    ledger = play(opening("alice"))
    ledger.commit([one(received("alice", 3, id="t1"))], time_ms=1_000)
    with pytest.raises(ValueError, match="no document opened"):
        replay({"alice": None}, ledger.documents[1])


def test_an_entry_about_a_hold_that_is_not_pending_is_a_broken_journal() -> None:
    ledger = play(opening("alice"), received("alice", 3, id="t1"), hold("alice", 3, id="h1"))
    ledger.ask(transfer("alice", "@revenue", 1, id="t2"), at=9_000)
    holding_nothing = ledger.accounts["alice"]._replace(seq=0)
    with pytest.raises(ValueError, match="no pending hold h1"):
        replay({"alice": holding_nothing}, ledger.documents[1])
