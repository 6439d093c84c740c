"""Top-up rules hold a level of what is available, whatever lowered it, within their day's cap."""

from __future__ import annotations

import pytest

from domain.ledger.account import BALANCE_MAX, ISSUANCE, LOTS_MAX, REVENUE, RULES_MAX, account_key
from domain.ledger.commands import Command, SettleDue
from domain.ledger.entries import Issue, RuleSkipped, TransferPosted
from domain.ledger.lots import GrantTerms
from domain.ledger.top_ups import ACCOUNT_FULL, BALANCE_OVERFLOW, DAY_USED
from tests.domain.ledger.asking import (
    DAY_MS,
    atomic,
    capture,
    grant,
    hold,
    one,
    opening,
    received,
    remove_rule,
    reverse,
    rule,
    transfer,
    void_grant,
)
from tests.domain.ledger.play import Play, play


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
    ledger = play(
        opening("alice", overdraft=40), opening("bob"), received("alice", 9, id="t0"),
        hold("alice", 9, id="h1", destination="bob"), rule("bob", 5, 50, id="rule-1"),
    )  # fmt: skip
    ledger.do(transfer("bob", REVENUE, 46, id="t1"))
    assert ledger.state("bob").available == 4, "its day is used"
    ledger.do(capture("h1", 9, id="c1"))
    assert ledger.state("bob").available == 13
    ledger.do(reverse("c1", id="r1"), at=DAY_MS + 1)
    assert ledger.state("bob").available == 54, "a reversal lowers it, too"


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
    ledger.do(transfer("alice", REVENUE, 1, id="t5"), at=DAY_MS)
    assert ledger.state("alice").available == 49, "it acts before the command looks"


def test_each_rule_acts_on_what_the_one_before_it_left() -> None:
    ledger = play(
        opening("alice"), received("alice", 20, id="t0"), rule("alice", 10, 5, id="small"),
        rule("alice", 10, 50, id="large"), rule("alice", 10, 7, id="needless"),
    )  # fmt: skip
    ledger.do(transfer("alice", REVENUE, 20, id="t1"))
    assert [(name.split(":")[1], left) for name, left, _ in ledger.lots("alice")] == [
        ("small", 5),
        ("large", 50),
    ]


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


def _skipped(ledger: Play, account: str = "alice") -> list[str]:
    return [each.skipped for each in ledger.state(account).holdings.rules]


def test_a_rule_does_not_act_on_an_account_that_is_full_of_grants_and_says_so() -> None:
    ledger = _ruled()
    ledger.do(*(grant("alice", 1, id=f"g{number}", begins=9_000) for number in range(LOTS_MAX)))
    ledger.do(transfer("alice", REVENUE, 20, id="t1"))
    assert (ledger.posted("alice"), _skipped(ledger)) == (0, [ACCOUNT_FULL])


def test_a_rule_takes_as_many_uses_at_once_as_its_level_wants_as_one_grant() -> None:
    ledger = play(opening("alice"), received("alice", 600, id="t0"))
    ledger.do(rule("alice", 500, 100, id="rule-1", max_per_day=10), transfer("alice", REVENUE, 590, id="t1"))
    assert ledger.lots("alice") == [("topup:rule-1:0.1", 500, 0)]
    assert (ledger.state("alice").available, _uses(ledger)) == (510, 5)
    ledger.do(transfer("alice", REVENUE, 500, id="t2"))
    assert (ledger.state("alice").available, _uses(ledger), _skipped(ledger)) == (510, 10, [""])


def _uses(ledger: Play) -> int:
    return ledger.state("alice").holdings.rules[0].used


def test_a_rule_goes_as_far_as_its_day_lasts_and_says_that_it_fell_short() -> None:
    ledger = play(opening("alice"), rule("alice", 500, 100, id="rule-1", max_per_day=3))
    assert (ledger.state("alice").available, _skipped(ledger)) == (300, [DAY_USED])


def test_a_rule_set_on_an_account_that_is_below_acts_at_once() -> None:
    ledger = play(opening("alice"))
    decision = ledger.commit([one(rule("alice", 10, 50, id="rule-1"))], time_ms=1_000)
    assert len(decision.entries) == 2
    assert ledger.state("alice").available == 50


def test_a_rule_with_a_target_fills_up_to_it_by_one_use() -> None:
    ledger = play(opening("alice", overdraft=100), received("alice", 20, id="t0"))
    ledger.do(rule("alice", 10, id="rule-1", to=70, max_per_day=2), transfer("alice", REVENUE, 60, id="t1"))
    assert (ledger.state("alice").available, _uses(ledger)) == (70, 1)
    entry = ledger.documents[-1].entries[-1]
    assert isinstance(entry, TransferPosted)
    assert (entry.amount, ledger.documents[-1].format) == (110, 2)


@pytest.mark.parametrize(
    ("lower", "at"),
    [(void_grant("g1", id="v1"), 1_000), (SettleDue("alice"), 5_000), (SettleDue("alice"), DAY_MS * 3)],
    ids=["void", "expiry", "expiry days ago"],
)
def test_whatever_lowers_the_account_calls_its_rules(lower: Command, at: int) -> None:
    ledger = play(opening("alice"), grant("alice", 40, id="g1", expires=5_000))
    ledger.do(rule("alice", 10, 50, id="rule-1"))
    ledger.ask(lower, at=at)
    assert ledger.state("alice").available == 50


def test_a_read_never_tops_up() -> None:
    ledger = play(opening("alice"), grant("alice", 40, id="g1", expires=5_000))
    ledger.do(rule("alice", 10, 50, id="rule-1"))
    assert ledger.state("alice", at=5_000).available == 0
    assert ledger.ask(transfer("alice", REVENUE, 50, id="t1"), at=5_000) == ["posted"]


def test_a_skip_is_recorded_once_for_each_reason_and_utc_day() -> None:
    ledger = play(opening("alice"), rule("alice", 500, 100, id="rule-1", max_per_day=1))

    def recorded(at: int) -> list[str]:
        time_ms = max(at, ledger.now_ms)
        spend = transfer("alice", REVENUE, 1, id=f"t{len(ledger.documents)}")
        entries = ledger.commit([one(spend)], time_ms=time_ms).entries
        return [each.reason for each in entries if isinstance(each, RuleSkipped)]

    assert [recorded(at) for at in (1_000, DAY_MS - 1, DAY_MS, DAY_MS + 1)] == [[], [], [DAY_USED], []]


def test_a_rule_stops_where_a_balance_would_outgrow_the_ledger() -> None:
    ledger = play(opening("alice"), rule("alice", 100, 30, id="rule-1", max_per_day=9))
    key = account_key(ISSUANCE, "GEMS")
    ledger.accounts[key] = ledger.accounts[key]._replace(posted=70 - BALANCE_MAX)
    ledger.do(transfer("alice", REVENUE, 120, id="t1"))
    assert (ledger.state("alice").available, _skipped(ledger)) == (60, [BALANCE_OVERFLOW])
