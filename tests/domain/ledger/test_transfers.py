"""Accounts and transfers: what may be posted, what is refused, what an entry says."""

from __future__ import annotations

import pytest

from domain.ledger import machine
from domain.ledger.account import BALANCE_MAX, EXPIRED, ISSUANCE, REVENUE, Account, AccountState
from domain.ledger.machine import UnbalancedDecision, decide
from domain.ledger.outcomes import Posted, Rejected, Rejection
from tests.domain.ledger.asking import grant, one, opening, received, transfer
from tests.domain.ledger.play import play


def test_a_transfer_moves_credits_from_one_account_to_another() -> None:
    ledger = play(opening("alice"), received("alice", 1_000, id="t1"))
    ledger.do(transfer("alice", REVENUE, 250, id="t2"))
    assert (ledger.posted("alice"), ledger.posted(ISSUANCE), ledger.posted(REVENUE)) == (750, -1_000, 250)


def test_an_entry_carries_the_balances_it_left_behind() -> None:
    ledger = play(opening("alice"), received("alice", 10, id="t1"))
    entry = ledger.moved(transfer("alice", REVENUE, 4, id="t2"))
    assert (entry.source_posted, entry.destination_posted) == (6, 4)


def test_spending_more_than_available_changes_nothing() -> None:
    ledger = play(opening("alice"), received("alice", 9, id="t1"))
    assert ledger.ask(transfer("alice", REVENUE, 10, id="t2")) == ["insufficient_funds"]
    assert ledger.posted("alice") == 9
    assert len(ledger.documents) == 1


def test_an_overdraft_is_spent_to_its_limit_and_no_further() -> None:
    ledger = play(opening("alice", overdraft=5))
    assert ledger.ask(transfer("alice", REVENUE, 5, id="t1"), transfer("alice", REVENUE, 1, id="t2")) == [
        "posted",
        "insufficient_funds",
    ]


@pytest.mark.parametrize("system", [REVENUE, EXPIRED])
def test_system_accounts_but_issuance_never_go_below_zero(system: str) -> None:
    ledger = play(opening("alice"))
    assert ledger.ask(transfer(system, "alice", 1, id="t1")) == ["insufficient_funds"]


def test_assets_do_not_mix() -> None:
    ledger = play(opening("alice", "GEMS"), opening("tess", "TOKENS"), received("alice", 5, id="t1"))
    assert ledger.ask(transfer("alice", "tess", 5, id="t2")) == ["asset_mismatch"]
    assert (ledger.posted(ISSUANCE, "GEMS"), ledger.posted(ISSUANCE, "TOKENS")) == (-5, 0)


def test_an_account_that_was_not_opened_is_not_found() -> None:
    ledger = play(opening("alice"))
    assert ledger.ask(transfer("nobody", "alice", 1, id="t1")) == ["account_not_found"]


def test_a_missing_account_outranks_missing_funds() -> None:
    ledger = play(opening("alice"))
    assert ledger.ask(transfer("alice", "nobody", 1, id="t1")) == ["account_not_found"]


@pytest.mark.parametrize("prefix", ["expire:", "activate:", "topup:"])
def test_no_client_takes_an_id_under_which_the_ledger_records_what_falls_due(prefix: str) -> None:
    ledger = play(opening("alice"), received("alice", 9, id="t1"))
    taken = transfer("alice", REVENUE, 1, id=f"{prefix}g1")
    assert ledger.ask(taken) == ["idempotency_conflict"]


def test_credits_that_were_received_burn_after_all_grants() -> None:
    ledger = play(opening("alice"), received("alice", 10, id="t1"), grant("alice", 10, id="g1", priority=255))
    assert ledger.moved(transfer("alice", REVENUE, 12, id="t2")).funding == (("g1", 10),)
    assert ledger.state("alice").plain_free == 8


def test_what_a_transfer_brings_is_plain_whatever_paid_it() -> None:
    ledger = play(opening("alice", user="u-1"), opening("bob", user="u-2"), grant("alice", 10, id="g1"))
    ledger.do(transfer("alice", "bob", 10, id="t1"))
    assert ledger.lots("bob") == []
    assert ledger.state("bob").plain_free == 10


def test_promotional_credits_do_not_go_to_another_user() -> None:
    ledger = play(
        opening("alice", user="u-1"), opening("bob", user="u-2"), received("alice", 5, id="t1"),
        grant("alice", 10, id="g1", category="promotional"),
    )  # fmt: skip
    assert ledger.ask(transfer("alice", "bob", 6, id="t2")) == ["grant_not_transferable"]
    assert ledger.moved(transfer("alice", "bob", 5, id="t3")).funding == ()
    assert ledger.lots("alice") == [("g1", 10, 0)]


def test_paid_grants_pay_another_user_past_promotional_ones_that_burn_first() -> None:
    ledger = play(
        opening("alice", user="u-1"), opening("bob", user="u-2"),
        grant("alice", 10, id="promo", category="promotional", priority=0), grant("alice", 10, id="paid"),
    )  # fmt: skip
    assert ledger.moved(transfer("alice", "bob", 4, id="t1")).funding == (("paid", 4),)


@pytest.mark.parametrize("receiver", [None, "u-1"])
def test_promotional_credits_go_to_accounts_of_the_same_user_and_of_none(receiver: str | None) -> None:
    ledger = play(
        opening("alice", user="u-1"), opening("there", user=receiver),
        grant("alice", 10, id="g1", category="promotional"),
    )  # fmt: skip
    assert ledger.moved(transfer("alice", "there", 10, id="t1")).funding == (("g1", 10),)


def test_lacking_funds_outrank_credits_that_may_not_go() -> None:
    ledger = play(
        opening("alice", user="u-1"), opening("bob", user="u-2"),
        grant("alice", 10, id="g1", category="promotional"),
    )  # fmt: skip
    assert ledger.ask(transfer("alice", "bob", 11, id="t1")) == ["insufficient_funds"]


def test_a_balance_never_leaves_what_a_store_can_hold() -> None:
    full = AccountState(Account("alice", "GEMS"), BALANCE_MAX - 5, 0, 1)
    asked = [one(received("alice", 6, id="t1"))]
    decision = decide({"alice": full, "@issuance:GEMS": None}, asked, known={}, seq=2, time_ms=1)
    assert decision.outcomes == ((Rejected(Rejection.BALANCE_OVERFLOW),),)
    assert decision.entries == ()


def test_dating_back_changes_nothing_about_what_can_be_spent() -> None:
    ledger = play(opening("alice"), received("alice", 5, id="t1"), at=1_000)
    entry = ledger.moved(transfer("alice", REVENUE, 5, id="t2", effective_ms=1), at=2_000)
    assert (entry.effective_ms, entry.is_backdated, ledger.posted("alice")) == (1, True, 0)
    assert "b:alice" in ledger.documents[-1].subjects()


def test_what_is_made_on_the_fast_path_has_all_of_its_fields() -> None:
    ledger = play(opening("alice"), received("alice", 5, id="t1"))
    decision = ledger.commit([one(transfer("alice", REVENUE, 1, id="t2"))], time_ms=1_000)
    ((posted,),) = decision.outcomes
    assert isinstance(posted, Posted)
    for made in (posted, posted.recorded, posted.recorded.entry, *decision.changed.values()):
        assert len(made) == len(made._fields)


def test_a_decision_that_would_make_credits_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = play(opening("alice"), opening("bob"), received("alice", 10, id="t0"))
    monkeypatch.setattr(
        "domain.ledger.overlay.destination_after",
        lambda state, entry, *_: state._replace(posted=state.posted + entry.amount + 1),
    )
    with pytest.raises(UnbalancedDecision, match=r"a decision about GEMS comes to \+1 instead of 0"):
        ledger.ask(transfer("alice", "bob", 5, id="t1"))


def test_a_decision_about_several_assets_names_the_one_that_does_not_come_to_zero() -> None:
    def held(posted: int, asset: str) -> AccountState:
        return AccountState(Account(f"a-{asset}", asset), posted, 0, 1)

    assets = ("GOLD", "GEMS", "COINS")
    before = {asset: held(5, asset) for asset in assets}
    machine._check_balance(before, before)
    for wrong in assets:
        after = before | {wrong: held(3, wrong)}
        with pytest.raises(UnbalancedDecision, match=f"a decision about {wrong} comes to -2 instead of 0"):
            machine._check_balance(before, after)
