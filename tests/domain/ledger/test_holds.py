"""Holds: credits reserved now, and captured, voided or expired once."""

from __future__ import annotations

import pytest

from domain.ledger.account import REVENUE
from domain.ledger.commands import Command, SettleDue
from domain.ledger.entries import Capture, HoldReleased
from tests.domain.ledger.asking import capture, grant, hold, opening, received, transfer, void_hold
from tests.domain.ledger.play import Play, play


@pytest.fixture
def ledger() -> Play:
    """Alice has 10 plain credits; a hold of 6 expires at 1,100."""
    return play(opening("alice"), received("alice", 10, id="t1"), hold("alice", 6, id="h1", expires_in=100))


def test_a_hold_counts_against_available_from_the_moment_it_is_posted(ledger: Play) -> None:
    state = ledger.state("alice")
    assert (state.posted, state.held, state.available) == (10, 6, 4)
    assert ledger.ask(transfer("alice", REVENUE, 5, id="t2")) == ["insufficient_funds"]


def test_a_capture_moves_credits_and_releases_the_rest(ledger: Play) -> None:
    entry = ledger.moved(capture("h1", 4, id="c1"))
    state = ledger.state("alice")
    assert (state.posted, state.held, ledger.posted(REVENUE)) == (6, 0, 4)
    assert entry.cause == Capture("h1", 4, final=True)
    assert (ledger.hold("h1").status, ledger.hold("h1").captured) == ("captured", 4)


def test_a_capture_that_is_not_final_leaves_the_rest_reserved(ledger: Play) -> None:
    ledger.do(capture("h1", 4, id="c1", final=False))
    assert (ledger.state("alice").posted, ledger.state("alice").held) == (6, 2)
    ledger.do(capture("h1", id="c2"))
    assert (ledger.state("alice").held, ledger.hold("h1").captured, ledger.posted(REVENUE)) == (0, 6, 6)


def test_capturing_all_of_a_hold_ends_it_whatever_was_said(ledger: Play) -> None:
    entry = ledger.moved(capture("h1", 6, id="c1", final=False))
    assert entry.cause == Capture("h1", 6, final=True)
    assert ledger.ask(capture("h1", id="c2")) == ["hold_not_pending"]


def test_a_capture_may_not_exceed_the_hold(ledger: Play) -> None:
    ledger.do(capture("h1", 4, id="c1", final=False))
    assert ledger.ask(capture("h1", 3, id="c2")) == ["amount_exceeds_hold"]


def test_voiding_releases_what_is_left(ledger: Play) -> None:
    ledger.do(capture("h1", 4, id="c1", final=False))
    entry = ledger.do(void_hold("h1", id="w1"))
    assert isinstance(entry, HoldReleased)
    assert (entry.amount, entry.status, ledger.state("alice").available) == (2, "voided", 6)


@pytest.mark.parametrize("end", [capture("h1", id="c1"), void_hold("h1", id="w1")])
def test_a_hold_ends_once(ledger: Play, end: Command) -> None:
    ledger.do(end)
    assert ledger.ask(capture("h1", id="c2"), void_hold("h1", id="w2")) == ["hold_not_pending"] * 2


def test_a_hold_lives_to_its_last_millisecond(ledger: Play) -> None:
    assert ledger.ask(capture("h1", 1, id="c1", final=False), at=1_099) == ["posted"]
    assert ledger.ask(capture("h1", 1, id="c2"), void_hold("h1", id="w1"), at=1_100) == ["hold_expired"] * 2


def test_an_expired_hold_releases_by_itself_in_every_read_and_decision(ledger: Play) -> None:
    assert ledger.state("alice", at=1_099).available == 4
    assert ledger.state("alice", at=1_100).available == 10
    assert ledger.ask(transfer("alice", REVENUE, 10, id="t2"), at=1_100) == ["posted"]


def test_an_expired_hold_is_recorded_with_the_moment_it_counts_from(ledger: Play) -> None:
    ledger.ask(SettleDue("alice"), at=5_000)
    (entry,) = ledger.documents[-1].entries
    assert isinstance(entry, HoldReleased)
    assert (entry.status, entry.effective_ms, ledger.hold("h1").status) == ("expired", 1_100, "expired")


def test_a_hold_that_nobody_placed_is_not_found(ledger: Play) -> None:
    assert ledger.ask(capture("h9", id="c1"), void_hold("h9", id="w1")) == ["not_found"] * 2


def test_a_hold_reserves_grants_in_burn_down_order(ledger: Play) -> None:
    ledger.do(grant("alice", 5, id="g2", priority=9), grant("alice", 5, id="g1", priority=0))
    ledger.do(hold("alice", 8, id="h2"))
    assert ledger.lots("alice") == [("g1", 5, 5), ("g2", 5, 3)]


def test_a_capture_takes_what_the_hold_reserved_first(ledger: Play) -> None:
    ledger.do(grant("alice", 5, id="g1", priority=0), grant("alice", 5, id="g2", priority=9))
    ledger.do(hold("alice", 8, id="h2"))
    ledger.do(grant("alice", 9, id="g0", priority=0))
    assert ledger.moved(capture("h2", 6, id="c1", final=False)).funding == (("g1", 5), ("g2", 1))
    assert ledger.lots("alice") == [("g0", 9, 0), ("g2", 4, 2)]


def test_a_hold_for_another_user_reserves_no_promotional_credits() -> None:
    ledger = play(
        opening("alice", user="u-1"), opening("bob", user="u-2"), received("alice", 5, id="t1"),
        grant("alice", 10, id="g1", category="promotional"),
    )  # fmt: skip
    assert ledger.ask(hold("alice", 6, id="h1", destination="bob")) == ["grant_not_transferable"]
    ledger.do(hold("alice", 5, id="h2", destination="bob"))
    assert ledger.lots("alice") == [("g1", 10, 0)]
    ledger.do(capture("h2", id="c1"))
    assert ledger.posted("bob") == 5
