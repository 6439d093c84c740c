"""Expiry takes effect at its instant, whoever looked at what in between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ledger.account import EXPIRED, REVENUE, AccountState
from domain.ledger.commands import SetRule, SettleDue
from domain.ledger.entries import Lapse, TransferPosted
from domain.ledger.machine import effective
from tests.domain.ledger.asking import ACCOUNTS, capture, grant, hold, one, opening, transfer, void_hold
from tests.domain.ledger.play import Play, named, play, played
from tests.domain.ledger.strategies import Batch, plan_of, plans
from tests.seeds import examples


def test_an_expired_grant_is_never_spent() -> None:
    ledger = play(opening("alice"), grant("alice", 5, id="g1", expires=2_000))
    assert ledger.ask(transfer("alice", REVENUE, 1, id="t1"), at=1_999) == ["posted"]
    assert ledger.ask(transfer("alice", REVENUE, 1, id="t2"), at=2_000) == ["insufficient_funds"]
    assert (ledger.posted("alice"), ledger.posted(EXPIRED)) == (0, 4)


def test_an_expiry_is_recorded_late_and_counts_from_its_instant() -> None:
    ledger = play(opening("alice"), grant("alice", 5, id="g1", expires=2_000))
    assert (ledger.state("alice", at=1_999).posted, ledger.state("alice", at=2_000).posted) == (5, 0)
    ledger.ask(SettleDue("alice"), at=9_000)
    (entry,) = ledger.documents[-1].entries
    assert isinstance(entry, TransferPosted)
    assert (entry.id, entry.effective_ms, entry.cause) == ("expire:g1", 2_000, Lapse("g1", "expired", 0))
    assert not entry.is_backdated


def test_whoever_has_recorded_what_is_due_asks_for_nothing_else() -> None:
    ledger = play(opening("alice"))
    assert ledger.ask(SettleDue("alice"), SettleDue("nobody")) == ["settled"] * 2
    assert len(ledger.documents) == 1


def test_a_grant_that_expires_while_held_stays_spendable_by_that_hold_only() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1", expires=1_050), hold("alice", 4, id="h1"))
    assert ledger.ask(transfer("alice", REVENUE, 1, id="t1"), at=1_060) == ["insufficient_funds"]
    assert ledger.lots("alice") == [("g1", 4, 4)]
    assert ledger.moved(capture("h1", 4, id="c1"), at=1_070).funding == (("g1", 4),)
    assert (ledger.posted("alice"), ledger.posted(EXPIRED), ledger.posted(REVENUE)) == (0, 5, 4)


def test_voiding_the_hold_then_expires_what_it_had_kept() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1", expires=1_050), hold("alice", 4, id="h1"))
    ledger.do(void_hold("h1", id="w1"), at=1_060)
    assert (ledger.posted("alice"), ledger.posted(EXPIRED), ledger.lots("alice")) == (0, 9, [])


def test_a_final_capture_expires_what_it_did_not_need() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1", expires=1_050), hold("alice", 4, id="h1"))
    ledger.do(capture("h1", 1, id="c1"), at=1_060)
    assert (ledger.posted("alice"), ledger.posted(EXPIRED), ledger.posted(REVENUE)) == (0, 8, 1)


def test_of_a_grant_that_is_held_by_two_each_keeps_its_part() -> None:
    ledger = play(
        opening("alice"), grant("alice", 9, id="g1", expires=1_050), hold("alice", 4, id="h1"),
        hold("alice", 5, id="h2"),
    )  # fmt: skip
    ledger.do(void_hold("h1", id="w1"), at=1_060)
    assert (ledger.lots("alice"), ledger.posted(EXPIRED)) == ([("g1", 5, 5)], 4)
    ledger.do(capture("h2", id="c1"))
    assert (ledger.lots("alice"), ledger.posted(REVENUE)) == ([], 5)


@pytest.mark.parametrize(("expires", "kept"), [(1_100, 0), (1_101, 9)])
def test_a_hold_that_expires_in_the_same_instant_gives_back_before_the_grant_ends(
    expires: int, kept: int
) -> None:
    ledger = play(
        opening("alice"),
        grant("alice", 9, id="g1", expires=expires),
        hold("alice", 4, id="h1", expires_in=100),
    )
    ledger.ask(SettleDue("alice"), at=1_100)
    assert ledger.posted("alice") == kept
    assert len([entry for entry in ledger.documents[-1].entries if isinstance(entry, TransferPosted)]) == (
        0 if kept else 1
    )


def test_a_grant_that_began_and_ended_unseen_passes_through_the_account() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1", begins=1_010, expires=1_020))
    ledger.ask(SettleDue("alice"), at=5_000)
    begun, ended = ledger.documents[-1].entries
    assert isinstance(begun, TransferPosted)
    assert isinstance(ended, TransferPosted)
    assert [(entry.id, entry.effective_ms) for entry in (begun, ended)] == [
        ("activate:g1", 1_010),
        ("expire:g1", 1_020),
    ]
    assert ledger.grant("g1").status == "expired"


def _ruleless(plan: list[Batch]) -> list[Batch]:
    """Without top-up rules: they act when something looks, so when that is makes a difference there."""
    return [
        (
            time_ms,
            [each for each in batch if not any(isinstance(command, SetRule) for command in each.commands)],
        )
        for time_ms, batch in plan
    ]


def _whenever_recorded(state: AccountState) -> object:
    """All of an account but where in the journal things stand."""
    lots = [lot._replace(seq=0, place=0) for lot in state.holdings.lots]
    return state.posted, state.held, state.entries, state.holdings._replace(lots=tuple(lots))


@given(plans(), st.lists(st.sampled_from((0, 1, 10, 50, 1_000)), min_size=1, max_size=4))
@settings(max_examples=examples(25), deadline=None)
def test_a_read_shows_exactly_what_a_decision_would_record(plan: list[Batch], pauses: list[int]) -> None:
    ledger = played(_ruleless(plan))
    for pause in pauses:
        now_ms = ledger.now_ms + pause
        for account_id in ACCOUNTS:
            if account_id not in ledger.accounts:
                continue
            read = effective(ledger.accounts[account_id], now_ms)
            decision = ledger.commit([one(SettleDue(account_id))], time_ms=now_ms)
            assert len(read.entries) == len(decision.entries)
            assert _whenever_recorded(read.state) == _whenever_recorded(ledger.accounts[account_id])


@pytest.mark.parametrize("seed", range(20))
def test_looking_in_between_changes_no_answer_and_no_balance(seed: int) -> None:
    plan = _ruleless(plan_of(seed))
    asleep, watched = Play(), Play()
    for time_ms, batch in plan:
        for moment in sorted({watched.now_ms, (watched.now_ms + time_ms) // 2, time_ms - 1}):
            if moment >= watched.now_ms:
                watched.commit([one(SettleDue(each)) for each in ACCOUNTS], time_ms=moment)
        answers = [
            [[named(outcome) for outcome in outcomes] for outcomes in decision.outcomes]
            for decision in (ledger.commit(batch, time_ms=time_ms) for ledger in (asleep, watched))
        ]
        assert answers[0] == answers[1]
    for account_id in ACCOUNTS:
        if account_id in asleep.accounts:
            states = [ledger.state(account_id, at=plan[-1][0]) for ledger in (asleep, watched)]
            assert _whenever_recorded(states[0]) == _whenever_recorded(states[1])
