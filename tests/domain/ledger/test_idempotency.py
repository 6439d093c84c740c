"""The same id or key with the same body gives the same answer; atomic batches post all or nothing."""

from __future__ import annotations

import pytest

from domain.ledger.account import REVENUE
from domain.ledger.commands import Command
from domain.ledger.outcomes import Posted, Rejected, Rejection
from tests.domain.ledger.asking import (
    atomic,
    capture,
    grant,
    hold,
    one,
    opening,
    received,
    reverse,
    rule,
    transfer,
    void_grant,
    void_hold,
)
from tests.domain.ledger.play import Play, named, play


@pytest.fixture
def ledger() -> Play:
    return play(
        opening("alice"), received("alice", 10, id="t1"), grant("alice", 5, id="g1"),
        hold("alice", 2, id="h1"), hold("alice", 2, id="h2"), transfer("alice", REVENUE, 1, id="t2"),
    )  # fmt: skip


REPEATABLE = [
    received("alice", 10, id="t1"), opening("alice"), grant("alice", 5, id="g1"), hold("alice", 2, id="h1"),
    capture("h1", id="c1"), void_hold("h2", id="w1"), void_grant("g1", id="v1"), reverse("t2", id="r1"),
    rule("alice", 1, 1, id="rule-1"),
]  # fmt: skip


@pytest.mark.parametrize("command", REPEATABLE, ids=lambda command: type(command).__name__)
def test_the_same_command_again_gives_the_first_answer_and_changes_nothing(
    ledger: Play, command: Command
) -> None:
    ledger.ask(command)
    head = ledger.head
    first = ledger.known[command.keys[0]]
    decision = ledger.commit([one(command)], time_ms=1_500)
    assert decision.outcomes == ((Posted(first, replayed=True),),)
    assert ledger.head == head


def test_the_same_id_with_another_body_is_a_conflict(ledger: Play) -> None:
    assert ledger.ask(received("alice", 9, id="t1")) == ["idempotency_conflict"]


def test_a_key_repeats_a_command_whose_id_the_server_made(ledger: Play) -> None:
    assert ledger.ask(
        grant("alice", 9, id="made-1", key="k:x"), grant("alice", 9, id="made-2", key="k:x"),
        grant("alice", 7, id="made-3", key="k:x"),
    ) == ["posted", "replayed", "idempotency_conflict"]  # fmt: skip
    assert ledger.grant("made-1").amount == 9


@pytest.mark.parametrize("batches", [1, 2])
def test_an_id_and_a_key_that_belong_to_two_commands_are_a_conflict_wherever_they_stand(
    ledger: Play, batches: int
) -> None:
    other = transfer("alice", REVENUE, 1, id="t4", key="k:x")
    both = received("alice", 10, id="t1")
    both = both._replace(keys=(*both.keys, "k:x"))
    answers = ledger.ask(other, both) if batches == 1 else [*ledger.ask(other), *ledger.ask(both)]
    assert answers == ["posted", "idempotency_conflict"]


def test_an_account_opened_again_otherwise_exists_already(ledger: Play) -> None:
    assert ledger.ask(opening("alice", overdraft=9), opening("alice")) == ["account_exists", "replayed"]


def test_only_successes_are_remembered(ledger: Play) -> None:
    big = transfer("alice", REVENUE, 50, id="t3")
    assert ledger.ask(big, received("alice", 99, id="t4"), big) == ["insufficient_funds", "posted", "posted"]


def test_an_atomic_batch_posts_all_and_each_command_sees_the_ones_before_it(ledger: Play) -> None:
    ledger.commit(
        [atomic(hold("alice", 3, id="h3"), capture("h3", id="c3"), reverse("c3", 1, id="r3"))], time_ms=1_000
    )
    assert (ledger.hold("h3").status, ledger.transfer("c3").left) == ("captured", 2)


def test_an_atomic_batch_posts_nothing_when_one_command_cannot(ledger: Play) -> None:
    before = dict(ledger.accounts), dict(ledger.subjects), ledger.head
    decision = ledger.commit(
        [atomic(capture("h1", id="c1"), transfer("alice", REVENUE, 50, id="t3"), void_hold("h2", id="w1"))],
        time_ms=1_000,
    )
    assert [named(outcome) for outcome in decision.outcomes[0]] == [
        "batch_rejected",
        "insufficient_funds",
        "batch_rejected",
    ]
    assert (ledger.accounts, ledger.subjects, ledger.head) == before


def test_what_was_posted_before_a_rejected_batch_is_still_a_repeat_in_it(ledger: Play) -> None:
    decision = ledger.commit(
        [atomic(received("alice", 10, id="t1"), transfer("alice", REVENUE, 50, id="t3"))], time_ms=1_000
    )
    assert [named(outcome) for outcome in decision.outcomes[0]] == ["replayed", "insufficient_funds"]


def test_nothing_repeats_a_command_of_a_batch_that_was_rejected(ledger: Play) -> None:
    twice = transfer("alice", REVENUE, 1, id="t3")
    decision = ledger.commit([atomic(twice, twice, transfer("alice", REVENUE, 50, id="t4"))], time_ms=1_000)
    rejected = Rejected(Rejection.BATCH_REJECTED)
    assert decision.outcomes == ((rejected, rejected, Rejected(Rejection.INSUFFICIENT_FUNDS)),)
    assert ledger.ask(twice) == ["posted"]


def test_a_rejected_atomic_batch_leaves_the_others_of_its_document_alone(ledger: Play) -> None:
    spend, more = transfer("alice", REVENUE, 4, id="t3"), transfer("alice", REVENUE, 4, id="t5")
    decision = ledger.commit(
        [one(spend), atomic(transfer("alice", REVENUE, 50, id="t4")), atomic(more)], time_ms=1_000
    )
    assert [named(outcome) for (outcome,) in decision.outcomes] == ["posted", "insufficient_funds", "posted"]
    assert [entry.keys for entry in decision.entries] == [spend.keys, more.keys]
