"""Top-up rules act once after each spend that leaves too little, within their day's cap."""

from __future__ import annotations

import pytest

from domain.ledger.account import ISSUANCE, LOTS_MAX, REVENUE, RULES_MAX
from domain.ledger.commands import Command
from domain.ledger.entries import Issue, TransferPosted
from domain.ledger.lots import GrantTerms
from tests.domain.ledger_asking import (
    DAY_MS,
    atomic,
    capture,
    grant,
    hold,
    one,
    opening,
    received,
    remove_rule,
    rule,
    transfer,
)
from tests.domain.ledger_play import Play, play


def _ruled(*more: Command, max_per_day: int = 1) -> Play:
    """Alice has 20 plain credits, and a rule that issues 50 when fewer than 10 are available."""
    topped = rule("alice", 10, 50, id="rule-1", max_per_day=max_per_day)
    return play(opening("alice"), received("alice", 20, id="t0"), topped, *more)


def test_a_spend_that_leaves_less_than_the_limit_is_topped_up_in_the_same_batch() -> None:
    ledger = _ruled()
    decision = ledger.commit([one(transfer("alice", REVENUE, 11, id="t1"))], time_ms=1_000)
    _, issued = decision.entries
    assert isinstance(issued, TransferPosted)
    assert issued.cause == Issue("topup:rule-1:0.1", GrantTerms("promotional", 50), "rule-1")
    assert ledger.state("alice").available == 59


def test_a_spend_that_leaves_the_limit_itself_is_not_topped_up() -> None:
    ledger = _ruled()
    ledger.do(transfer("alice", REVENUE, 10, id="t1"))
    assert ledger.posted("alice") == 10


@pytest.mark.parametrize(
    "spend", [transfer("alice", REVENUE, 11, id="t1"), hold("alice", 11, id="h1")], ids=["transfer", "hold"]
)
def test_transfers_and_holds_are_spends(spend: Command) -> None:
    ledger = _ruled(spend)
    assert ledger.state("alice").available == 59


def test_a_capture_is_a_spend() -> None:
    ledger = play(opening("alice"), received("alice", 9, id="t0"), hold("alice", 9, id="h1"))
    ledger.do(rule("alice", 10, 50, id="rule-1"))
    assert ledger.state("alice").available == 0
    ledger.do(capture("h1", 9, id="c1"))
    assert ledger.state("alice").available == 50


def test_a_rule_acts_in_the_batch_that_sets_it() -> None:
    ledger = play(opening("alice"), received("alice", 20, id="t0"))
    ledger.do(rule("alice", 10, 50, id="rule-1"), transfer("alice", REVENUE, 11, id="t1"))
    assert (ledger.posted("alice"), ledger.posted(ISSUANCE)) == (59, -70)


def test_a_rule_acts_no_more_often_than_its_cap_on_a_day_and_again_on_the_next() -> None:
    ledger = _ruled(max_per_day=2)
    ledger.do(transfer("alice", REVENUE, 20, id="t1"), at=1_000)
    ledger.do(transfer("alice", REVENUE, 50, id="t2"), at=DAY_MS - 1)
    assert ledger.state("alice").available == 50
    ledger.do(transfer("alice", REVENUE, 50, id="t3"), at=DAY_MS - 1)
    assert ledger.state("alice").available == 0
    ledger.do(received("alice", 1, id="t4"), transfer("alice", REVENUE, 1, id="t5"), at=DAY_MS)
    assert ledger.state("alice").available == 50


def test_each_rule_acts_on_what_the_one_before_it_left() -> None:
    ledger = play(
        opening("alice"), received("alice", 20, id="t0"), rule("alice", 10, 5, id="small"),
        rule("alice", 10, 50, id="large"), rule("alice", 10, 7, id="needless"),
    )  # fmt: skip
    ledger.do(transfer("alice", REVENUE, 20, id="t1"))
    assert [name.split(":")[1] for name, _, _ in ledger.lots("alice")] == ["small", "large"]


def test_a_rule_does_not_act_for_a_spend_that_is_refused_or_taken_back() -> None:
    ledger = _ruled()
    decision = ledger.commit(
        [atomic(transfer("alice", REVENUE, 11, id="t1"), transfer("alice", REVENUE, 99, id="t2"))],
        time_ms=1_000,
    )
    assert decision.entries == ()
    assert ledger.ask(transfer("alice", REVENUE, 11, id="t1")) == ["posted"]
    assert ledger.state("alice").available == 59


def test_a_removed_rule_acts_no_more_and_is_removed_once() -> None:
    ledger = _ruled()
    assert ledger.ask(remove_rule("rule-1", "alice"), remove_rule("rule-2", "alice")) == [
        "posted",
        "not_found",
    ]
    ledger.do(transfer("alice", REVENUE, 20, id="t1"))
    assert ledger.posted("alice") == 0
    assert ledger.ask(remove_rule("rule-1", "alice")) == ["replayed"]


def test_an_account_has_no_more_rules_than_an_account_may_have() -> None:
    rules = [rule("alice", 1, 1, id=f"rule-{number}") for number in range(RULES_MAX + 1)]
    ledger = play(opening("alice"))
    assert ledger.ask(*rules, rule("nobody", 1, 1, id="r")) == [
        *["posted"] * RULES_MAX,
        "too_many_lots",
        "account_not_found",
    ]


def test_a_rule_does_not_act_on_an_account_that_is_full_of_grants() -> None:
    ledger = _ruled()
    ledger.do(*(grant("alice", 1, id=f"g{number}", begins=9_000) for number in range(LOTS_MAX)))
    ledger.do(transfer("alice", REVENUE, 20, id="t1"))
    assert ledger.posted("alice") == 0
