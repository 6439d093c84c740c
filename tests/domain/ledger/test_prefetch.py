"""`prefetch_keys` says all that a decision looks at, and comes to an end.

`Play` decides every batch of every test here on what `prefetch_keys` named and on nothing else; these name
the cases that nobody would find by looking at one command alone.
"""

from __future__ import annotations

from domain.ledger.account import REVENUE
from domain.ledger.commands import SettleDue
from domain.ledger.prefetch import prefetch_keys
from tests.domain.ledger.asking import (
    capture,
    grant,
    hold,
    opening,
    received,
    reverse,
    rule,
    transfer,
    void_grant,
)
from tests.domain.ledger.play import Play, play


def test_a_transfer_between_two_accounts_needs_them_and_nothing_else() -> None:
    assert prefetch_keys([transfer("alice", "bob", 1, id="t1")], {}, {}) == ({"alice", "bob"}, set())


def test_nothing_is_missing_of_what_is_known_not_to_exist() -> None:
    accounts = {"alice": None, "bob": None}
    assert prefetch_keys([transfer("alice", "bob", 1, id="t1")], accounts, {}) == (set(), set())


def test_a_system_account_is_needed_once_the_asset_is_known() -> None:
    ledger = play(opening("alice"))
    spend = transfer("alice", REVENUE, 1, id="t1")
    assert prefetch_keys([spend], {}, {}) == ({"alice"}, set())
    assert prefetch_keys([spend], ledger.accounts, {}) == ({"@revenue:GEMS"}, set())


def test_what_falls_due_in_an_account_needs_where_it_comes_from_and_goes_to() -> None:
    ledger = play(opening("alice"), grant("alice", 1, id="g1", expires=2_000))
    alice = {"alice": ledger.accounts["alice"]}
    assert prefetch_keys([SettleDue("alice")], alice, {}) == ({"@issuance:GEMS", "@expired:GEMS"}, set())


def test_a_hold_needs_its_accounts_and_a_transfer_the_grants_that_paid_it() -> None:
    ledger = play(opening("alice"), grant("alice", 5, id="g1"), hold("alice", 1, id="h1"))
    ledger.do(transfer("alice", REVENUE, 1, id="t1"))
    subjects = {key: ledger.subjects[key] for key in ("h:h1", "t:t1")}
    assert prefetch_keys([capture("h1", id="c1")], {}, {}) == (set(), {"h:h1"})
    assert prefetch_keys([capture("h1", id="c1")], {}, subjects) == ({"alice"}, set())
    assert prefetch_keys([reverse("t1", id="r1")], {}, subjects) == ({"alice"}, {"g:g1"})


def test_an_account_may_be_opened_and_credited_in_one_batch() -> None:
    ledger = play(opening("bob"), received("bob", 100, id="t1"))
    ledger.do(opening("alice"), grant("alice", 7, id="g1"), received("alice", 1, id="t2"))
    assert ledger.posted("@issuance") == -108


def test_an_account_may_be_opened_and_spend_in_one_batch() -> None:
    ledger = play(opening("bob", overdraft=9), transfer("bob", REVENUE, 9, id="t1"))
    ledger.do(opening("alice", overdraft=5), transfer("alice", REVENUE, 5, id="t2"))
    assert ledger.posted(REVENUE) == 14


def test_a_rule_may_be_set_and_act_in_one_batch() -> None:
    ledger = play(opening("alice"), received("alice", 100, id="t1"))
    ledger.do(rule("alice", 50, 7, id="rule-1"), transfer("alice", REVENUE, 60, id="t2"))
    assert ledger.posted("@issuance") == -107


def test_a_grant_may_be_issued_and_voided_in_one_batch() -> None:
    ledger = play(opening("alice"))
    ledger.do(grant("alice", 7, id="g1"), void_grant("g1", id="v1"))
    assert ledger.posted("@issuance") == 0


def test_a_hold_may_be_placed_and_captured_in_one_batch() -> None:
    ledger = Play()
    ledger.do(
        opening("alice"), received("alice", 5, id="t1"), hold("alice", 5, id="h1"), capture("h1", 3, id="c1"),
        at=1_000,
    )  # fmt: skip
    assert (ledger.posted("alice"), ledger.posted(REVENUE)) == (2, 3)
