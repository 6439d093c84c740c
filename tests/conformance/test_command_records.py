"""Commands and outcomes cross to another process exactly, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.worker_link.command_records import (
    COMMANDS,
    outcomes_read,
    outcomes_written,
    submission_written,
    submissions_read,
)
from domain.ledger.account import Account
from domain.ledger.commands import (
    CaptureHold,
    Command,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    RemoveRule,
    ReverseTransfer,
    SetRule,
    SettleDue,
    Submission,
    VoidGrant,
    VoidHold,
)
from domain.ledger.entries import Recorded
from domain.ledger.lots import GrantTerms
from domain.ledger.outcomes import CommandOutcome, Posted, Rejected, Rejection, Settled
from tests.conformance.entries import every_kind_of_entry

KEYS = ("t:1", "k:2")
EVERY_COMMAND: tuple[Command, ...] = (
    OpenAccount(Account("alice", "GEMS", "u-1", 5, '{"a":"\\u00e9 é"}', 10), KEYS, "f", "tests", True),
    OpenAccount(Account("bob", "GEMS", None, None), KEYS, "f", "tests"),
    PostTransfer("t-1", "alice", "bob", 5, "pay", KEYS, "f", "tests"),
    PostTransfer("t-1", "alice", "bob", 2**63 - 1, "pay", KEYS, "f", "tests", "{}", -(2**63), True),
    IssueGrant("g-1", "alice", 5, GrantTerms("paid", 3, 40, 2**60), "grant", KEYS, "f", "tests", "{}", True),
    IssueGrant("g-1", "alice", 5, GrantTerms("paid", 3), "grant", KEYS, "f", "tests"),
    VoidGrant("g-1", "t-1", KEYS, "f", "tests", True),
    ReverseTransfer("t-2", "t-1", None, KEYS, "f", "tests"),
    ReverseTransfer("t-2", "t-1", 3, KEYS, "f", "tests", "{}", True),
    PlaceHold("h-1", "alice", 9, "@revenue", 99, "hold", KEYS, "f", "tests", "{}", True),
    CaptureHold("h-1", "t-1", None, True, KEYS, "f", "tests"),
    CaptureHold("h-1", "t-1", 4, False, KEYS, "f", "tests", True),
    VoidHold("h-1", KEYS, "f", "tests", True),
    SetRule("r-1", "alice", 100, 50, "paid", 3, KEYS, "f", "tests", True),
    RemoveRule("r-1", "alice", KEYS, "f", "tests", True),
    SettleDue("alice"),
)


def submission_of(value: object) -> Submission:
    """What is read of one submission's JSON."""
    (submission,) = submissions_read(json.dumps([value]).encode())
    return submission


def outcomes_of(value: object) -> tuple[CommandOutcome, ...]:
    """What is read of the JSON of one submission's outcomes."""
    (outcomes,) = outcomes_read(json.dumps([value]).encode())
    return outcomes


def test_every_command_has_a_kind_of_its_own() -> None:
    assert set(COMMANDS) == set(get_args(Command)) == {type(command) for command in EVERY_COMMAND}
    assert len(set(COMMANDS.values())) == len(COMMANDS)


@pytest.mark.parametrize("atomic", [False, True])
def test_a_submission_is_read_back_as_it_was(atomic: bool) -> None:
    submission = Submission(EVERY_COMMAND, atomic)
    read = submission_of(json.loads(submission_written(submission)))
    assert read == submission
    assert [type(command) for command in read.commands] == [type(command) for command in EVERY_COMMAND]


def test_every_outcome_is_read_back_as_it_was() -> None:
    outcomes: list[CommandOutcome] = [
        *(Posted(Recorded(entry, 2**62, 7), replayed=True) for entry in every_kind_of_entry()),
        *(Posted(Recorded(entry, 1, 7)) for entry in every_kind_of_entry()),
        *(Rejected(reason) for reason in Rejection),
        Rejected(Rejection.ACCOUNT_NOT_FOUND, "bob", replayed=True),
        Rejected(Rejection.IDEMPOTENCY_CONFLICT, field="amount"),
        Settled("alice"),
    ]
    read = outcomes_of(json.loads(outcomes_written(outcomes)))
    assert list(read) == outcomes
    assert [type(outcome) for outcome in read] == [type(outcome) for outcome in outcomes]


def damaged(value: Any) -> list[Any]:
    """The value with one part of it replaced by something of another type, added or left out."""
    if not isinstance(value, list):
        strange = {"x": 1} if value is None else 1.5
        return [strange]
    found = [
        [*value[:place], other, *value[place + 1 :]]
        for place, each in enumerate(value)
        for other in damaged(each)
    ]
    return [*found, {"0": value}, "x" if value == [] else None]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: type(command).__name__)
def test_a_command_with_anything_else_in_it_is_refused(command: Command) -> None:
    value = json.loads(submission_written(Submission((command,))))
    fields = value[1][0][1]
    for other in [*damaged(value), [False, [[value[1][0][0], fields[:-1]]]], [False, [["other", fields]]]]:
        with pytest.raises(ValueError):
            submission_of(other)


def test_an_outcome_with_anything_else_in_it_is_refused() -> None:
    outcomes: list[CommandOutcome] = [Posted(Recorded(entry, 1, 7)) for entry in every_kind_of_entry()]
    outcomes += [Rejected(Rejection.ACCOUNT_EXISTS, field="asset"), Settled("alice")]
    for value in json.loads(outcomes_written(outcomes)):
        for other in damaged(value):
            with pytest.raises(ValueError):
                outcomes_of([other])
    for wrong in (
        "no_such_reason",
        5,
        None,
        True,
        [],
        ["transfer"],
        ["rejected", ["no_such_reason", "", False, ""]],
        ["rejected", ["not_found", "", False]],
        ["rejected", ["not_found", "", False, "", ""]],
        ["settled"],
        ["settled", 5],
        ["settled", []],
        ["other", ["alice"]],
    ):
        with pytest.raises(ValueError):
            outcomes_of([wrong])


@pytest.mark.parametrize("amount", [True, 2**63, -(2**63) - 1, 5.0, "5"])
def test_an_amount_that_is_no_integer_of_64_bits_is_refused(amount: object) -> None:
    value = json.loads(
        submission_written(Submission((PostTransfer("t-1", "alice", "bob", 5, "pay", KEYS, "f", "tests"),)))
    )
    fields = value[1][0][1]
    assert submission_of(value).commands[0].keys == KEYS
    fields[3] = amount
    with pytest.raises(ValueError, match=r"int"):
        submission_of(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    )
)
def test_whatever_comes_is_read_or_refused(value: object) -> None:
    for read in (submission_of, outcomes_of):
        try:
            read(value)
        except ValueError:
            continue
