"""Grants: credits with terms, issued at once or later, burnt in order, voided."""

from __future__ import annotations

import pytest

from domain.ledger.account import ISSUANCE, REVENUE
from domain.ledger.entries import GrantEnded, GrantScheduled, Issue, Lapse, TransferPosted
from tests.domain.ledger.asking import capture, grant, hold, opening, transfer, void_grant, void_hold
from tests.domain.ledger.play import Play, play


def _burnt(ledger: Play, amount: int) -> tuple[str, ...]:
    return tuple(name for name, _ in ledger.moved(transfer("alice", REVENUE, amount, id="spend")).funding)


def test_a_grant_issues_credits_that_keep_its_terms() -> None:
    ledger = play(opening("alice"))
    entry = ledger.moved(grant("alice", 7, id="g1", priority=3, expires=2_000))
    assert (entry.source, ledger.posted(ISSUANCE)) == (ISSUANCE, -7)
    assert isinstance(entry.cause, Issue)
    (lot,) = ledger.state("alice").holdings.lots
    assert (lot.remaining, lot.priority, lot.category, lot.expires_ms) == (7, 3, "paid", 2_000)


def test_grants_burn_by_priority_before_anything_else() -> None:
    ledger = play(
        opening("alice"), grant("alice", 1, id="late", priority=9, expires=1_010),
        grant("alice", 1, id="first", priority=0), grant("alice", 1, id="second", priority=1),
    )  # fmt: skip
    assert _burnt(ledger, 3) == ("first", "second", "late")


def test_grants_of_one_priority_burn_by_soonest_expiry_those_without_one_last() -> None:
    ledger = play(
        opening("alice"), grant("alice", 1, id="never"), grant("alice", 1, id="later", expires=3_000),
        grant("alice", 1, id="soon", expires=2_000),
    )  # fmt: skip
    assert _burnt(ledger, 3) == ("soon", "later", "never")


def test_grants_of_equal_terms_burn_oldest_first() -> None:
    ledger = play(opening("alice"), grant("alice", 1, id="z"), grant("alice", 1, id="y"))
    ledger.do(grant("alice", 1, id="a"))
    assert _burnt(ledger, 3) == ("z", "y", "a")


def test_a_scheduled_grant_is_as_old_as_its_beginning() -> None:
    ledger = play(opening("alice"), grant("alice", 1, id="scheduled", begins=1_100))
    ledger.do(grant("alice", 1, id="before"), at=1_099)
    ledger.do(grant("alice", 1, id="after"), at=1_100)
    assert _burnt(ledger, 3) == ("before", "scheduled", "after")


def test_a_grant_that_begins_later_is_no_credit_before() -> None:
    ledger = play(opening("alice"))
    assert isinstance(ledger.do(grant("alice", 5, id="g1", begins=1_100)), GrantScheduled)
    assert (ledger.posted("alice"), ledger.posted(ISSUANCE), ledger.grant("g1").status) == (0, 0, "pending")
    assert ledger.state("alice", at=1_100).posted == 5
    assert ledger.ask(transfer("alice", REVENUE, 1, id="t1"), at=1_099) == ["insufficient_funds"]
    assert ledger.ask(transfer("alice", REVENUE, 1, id="t1"), at=1_100) == ["posted"]
    assert ledger.grant("g1").status == "active"


def test_what_begins_now_burns_after_its_equals_also_where_nobody_has_recorded_it_yet() -> None:
    ledger = play(
        opening("alice"), grant("alice", 1, id="scheduled", begins=1_010), grant("alice", 1, id="g1")
    )
    assert [lot.grant for lot in ledger.state("alice", at=1_010).holdings.lots] == ["g1", "scheduled"]


@pytest.mark.parametrize("expires", [999, 1_000])
def test_a_grant_that_has_expired_already_is_not_active(expires: int) -> None:
    ledger = play(opening("alice"))
    assert ledger.ask(grant("alice", 5, id="g1", expires=expires)) == ["grant_not_active"]


def test_a_grant_to_nobody_is_not_found() -> None:
    ledger = play(opening("alice"))
    assert ledger.ask(grant("nobody", 5, id="g1"), void_grant("g1", id="v1")) == [
        "account_not_found",
        "not_found",
    ]


def test_voiding_takes_back_what_is_left() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), transfer("alice", REVENUE, 2, id="t1"))
    entry = ledger.moved(void_grant("g1", id="v1"))
    assert (entry.destination, entry.amount, entry.cause) == (ISSUANCE, 7, Lapse("g1", "voided", 0))
    assert (ledger.posted("alice"), ledger.posted(ISSUANCE)) == (0, -2)
    assert ledger.ask(void_grant("g1", id="v2")) == ["grant_not_active"]


def test_a_grant_of_which_nothing_is_left_is_not_voided() -> None:
    ledger = play(opening("alice"), grant("alice", 2, id="g1"), transfer("alice", REVENUE, 2, id="t1"))
    assert ledger.ask(void_grant("g1", id="v1")) == ["grant_not_active"]


def test_a_voided_grant_never_begins() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1", begins=1_100))
    assert isinstance(ledger.do(void_grant("g1", id="v1")), GrantEnded)
    assert ledger.state("alice", at=1_200).posted == 0
    assert ledger.ask(void_grant("g1", id="v2")) == ["grant_not_active"]


def test_holds_keep_what_they_reserved_of_a_voided_grant() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), hold("alice", 4, id="h1"))
    ledger.do(void_grant("g1", id="v1"))
    assert ledger.lots("alice") == [("g1", 4, 4)]
    assert ledger.moved(capture("h1", 3, id="c1")).funding == (("g1", 3),)
    assert (ledger.posted("alice"), ledger.posted(ISSUANCE)) == (0, -3)


def test_a_grant_that_has_ended_is_not_voided_though_a_hold_keeps_some_of_it() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), grant("alice", 9, id="g2", expires=1_010))
    ledger.do(hold("alice", 12, id="h1"), void_grant("g1", id="v1"))
    assert ledger.ask(void_grant("g1", id="v2"), void_grant("g2", id="v3"), at=1_010) == [
        "grant_not_active",
        "grant_not_active",
    ]


def test_all_reserved_credits_leave_a_voided_grant_when_the_hold_is_voided() -> None:
    ledger = play(opening("alice"), grant("alice", 4, id="g1"), hold("alice", 4, id="h1"))
    assert isinstance(ledger.do(void_grant("g1", id="v1")), GrantEnded)
    ledger.do(void_hold("h1", id="w1"))
    lapse = ledger.documents[-1].entries[-1]
    assert isinstance(lapse, TransferPosted)
    assert (lapse.destination, lapse.amount, lapse.cause) == (ISSUANCE, 4, Lapse("g1", "voided", 0))
    assert (ledger.posted("alice"), ledger.posted(ISSUANCE)) == (0, 0)
