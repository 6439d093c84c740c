"""Reversals: back to the grants that paid if they live, plain credits if not."""

from __future__ import annotations

from domain.ledger.account import EXPIRED, ISSUANCE, REVENUE
from domain.ledger.commands import Command
from domain.ledger.entries import Reversal, TransferPosted
from tests.domain.ledger.asking import (
    atomic,
    capture,
    grant,
    hold,
    one,
    opening,
    received,
    reverse,
    transfer,
    void_grant,
)
from tests.domain.ledger.play import Play, play


def _reversal(ledger: Play, command: Command, *, at: int | None = None) -> Reversal:
    entry = ledger.moved(command, at=at)
    assert isinstance(entry.cause, Reversal)
    return entry.cause


def _paid_by_two_grants() -> Play:
    """A transfer of 10 was paid by all 4 of `soon` (expires at 2,000), all 4 of `later`, and 2 plain."""
    return play(
        opening("alice"), received("alice", 5, id="t0"),
        grant("alice", 4, id="soon", priority=0, expires=2_000),
        grant("alice", 4, id="later", priority=1), transfer("alice", REVENUE, 10, id="t1"),
    )  # fmt: skip


def test_a_reversal_moves_back_what_is_left_of_a_transfer() -> None:
    ledger = play(opening("alice"), received("alice", 9, id="t0"), transfer("alice", REVENUE, 7, id="t1"))
    entry = ledger.moved(reverse("t1", id="r1"))
    assert (entry.source, entry.destination, entry.amount) == (REVENUE, "alice", 7)
    assert (ledger.posted("alice"), ledger.posted(REVENUE)) == (9, 0)
    assert ledger.ask(reverse("t1", id="r2")) == ["transfer_already_reversed"]


def test_never_more_is_reversed_than_was_posted() -> None:
    ledger = play(opening("alice"), received("alice", 9, id="t0"), transfer("alice", REVENUE, 7, id="t1"))
    assert ledger.ask(
        reverse("t1", 4, id="r1"), reverse("t1", 4, id="r2"), reverse("t1", 3, id="r3"),
        reverse("t1", 1, id="r4"),
    ) == ["posted", "amount_exceeds_transfer", "posted", "transfer_already_reversed"]  # fmt: skip
    assert ledger.transfer("t1").left == 0


def test_plain_credits_burnt_last_and_come_back_first() -> None:
    ledger = _paid_by_two_grants()
    assert _reversal(ledger, reverse("t1", 2, id="r1")) == Reversal("t1", (), (), ())
    assert ledger.state("alice").plain_free == 5


def test_grants_get_back_the_latest_burnt_first_also_in_parts() -> None:
    ledger = _paid_by_two_grants()
    ledger.do(reverse("t1", 5, id="r1"))
    assert ledger.lots("alice") == [("later", 3, 0)]
    ledger.do(reverse("t1", 3, id="r2"))
    assert ledger.lots("alice") == [("soon", 2, 0), ("later", 4, 0)]
    ledger.do(reverse("t1", id="r3"))
    assert ledger.lots("alice") == [("soon", 4, 0), ("later", 4, 0)]


def test_credits_go_back_to_a_grant_that_lives() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), transfer("alice", REVENUE, 4, id="t1"))
    assert _reversal(ledger, reverse("t1", id="r1")) == Reversal("t1", (("g1", 4),), (), ())
    assert ledger.lots("alice") == [("g1", 9, 0)]


def test_a_grant_that_was_fully_spent_is_revived_with_its_terms_and_its_age() -> None:
    ledger = play(opening("alice"), grant("alice", 4, id="g1", expires=2_000), at=1_000)
    (before,) = ledger.state("alice").holdings.lots
    ledger.do(
        transfer("alice", REVENUE, 4, id="t1"), grant("alice", 1, id="younger", expires=2_000), at=1_001
    )
    cause = _reversal(ledger, reverse("t1", 3, id="r1"), at=1_999)
    assert cause.revived == (before._replace(remaining=3),)
    assert ledger.lots("alice") == [("g1", 3, 0), ("younger", 1, 0)]
    assert ledger.state("alice", at=2_000).posted == 0


def test_scheduled_grants_that_are_revived_keep_the_order_in_which_they_began() -> None:
    ledger = play(
        opening("alice"), grant("alice", 1, id="a", begins=1_010), grant("alice", 1, id="b", begins=1_010)
    )
    before = ledger.state("alice", at=1_010).holdings.lots
    ledger.do(transfer("alice", REVENUE, 2, id="t1"), at=1_010)
    ledger.do(reverse("t1", id="r1"))
    assert ledger.state("alice").holdings.lots == before


def test_credits_of_a_spent_grant_that_would_have_expired_become_plain() -> None:
    ledger = play(opening("alice"), grant("alice", 4, id="g1", expires=2_000))
    ledger.do(transfer("alice", REVENUE, 4, id="t1"))
    assert _reversal(ledger, reverse("t1", id="r1"), at=2_000) == Reversal("t1", (), (), (("g1", 4),))
    assert (ledger.lots("alice"), ledger.state("alice").plain_free) == ([], 4)


def test_credits_of_a_voided_grant_become_plain_also_while_holds_keep_some_of_it() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), transfer("alice", REVENUE, 4, id="t1"))
    ledger.do(hold("alice", 2, id="h1"), void_grant("g1", id="v1"))
    assert _reversal(ledger, reverse("t1", id="r1")).lapsed == (("g1", 4),)
    assert (ledger.lots("alice"), ledger.state("alice").plain_free) == ([("g1", 2, 2)], 4)


def test_a_capture_is_reversed_like_a_transfer() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1"), hold("alice", 5, id="h1"))
    ledger.do(capture("h1", id="c1"))
    ledger.do(reverse("c1", id="r1"))
    assert ledger.lots("alice") == [("g1", 9, 0)]


def test_issues_expiries_and_reversals_are_not_reversed() -> None:
    ledger = play(opening("alice"), grant("alice", 9, id="g1", expires=1_100), received("alice", 2, id="t0"))
    ledger.do(transfer("alice", REVENUE, 4, id="t1"), reverse("t1", id="r1"))
    assert ledger.ask(
        reverse("g1", id="r2"), reverse("r1", id="r3"), transfer("alice", REVENUE, 1, id="t2"), at=2_000
    ) == ["transfer_not_reversible", "transfer_not_reversible", "posted"]
    assert ledger.ask(reverse("expire:g1", id="r4"), reverse("t9", id="r5")) == [
        "transfer_not_reversible",
        "not_found",
    ]


def test_the_receiver_pays_with_plain_credits_first_then_with_its_grants() -> None:
    ledger = play(opening("alice"), opening("bob"), received("alice", 5, id="t0"), grant("bob", 9, id="g1"))
    ledger.do(transfer("alice", "bob", 5, id="t1"))
    assert ledger.moved(reverse("t1", 4, id="r1")).funding == ()
    ledger.do(hold("bob", 9, id="h1"), transfer("bob", REVENUE, 1, id="t2"))
    assert ledger.ask(reverse("t1", id="r2")) == ["insufficient_funds"]
    ledger.do(capture("h1", 3, id="c1"))
    assert ledger.moved(reverse("t1", id="r3")).funding == (("g1", 1),)


def test_a_reversal_never_takes_the_receiver_below_its_overdraft() -> None:
    ledger = play(opening("alice"), opening("bob", overdraft=3), received("alice", 5, id="t0"))
    ledger.do(transfer("alice", "bob", 5, id="t1"), transfer("bob", REVENUE, 5, id="t2"))
    assert ledger.ask(reverse("t1", 4, id="r1"), reverse("t1", 3, id="r2")) == [
        "insufficient_funds",
        "posted",
    ]
    assert ledger.posted("bob") == -3


def test_what_falls_due_in_the_giver_is_counted_in_a_system_account_that_gives_back() -> None:
    ledger = play(opening("alice"), received("alice", 5, id="t0"), grant("alice", 7, id="g1", begins=1_010))
    ledger.do(transfer("alice", ISSUANCE, 5, id="t1"))
    entry = ledger.moved(reverse("t1", id="r1"), at=1_010)
    assert entry.source_posted == ledger.posted(ISSUANCE) == -12
    assert (ledger.posted("alice"), ledger.posted(EXPIRED)) == (12, 0)


def test_a_transfer_is_reversed_in_the_batch_that_posts_it() -> None:
    ledger = play(opening("alice"), grant("alice", 4, id="g1"))
    decision = ledger.commit(
        [one(transfer("alice", REVENUE, 4, id="t1")), atomic(reverse("t1", id="r1"))], time_ms=1_000
    )
    entry = decision.entries[-1]
    assert isinstance(entry, TransferPosted)
    assert isinstance(entry.cause, Reversal)
    assert [lot.grant for lot in entry.cause.revived] == ["g1"]
    assert ledger.lots("alice") == [("g1", 4, 0)]
