"""Account states in MongoDB: what is read is what was written, and its form never changes."""

from __future__ import annotations

import json

import bson
import pytest
from hypothesis import given, settings

from adapters.mongo.ledger.states import record_of_state, state_of
from domain.ledger.account import ISSUANCE, NOTHING, Account, AccountState
from domain.ledger.records import Record
from tests.conformance.entries import rich_state
from tests.domain.ledger.play import played
from tests.domain.ledger.strategies import Batch, plans
from tests.seeds import examples

STORED: dict[str, tuple[AccountState, Record]] = {
    "plain": (
        AccountState(Account("alice", "GEMS"), 5, 0, 9, 1),
        {
            "id": "alice",
            "asset": "GEMS",
            "user_id": None,
            "overdraft_limit": 0,
            "metadata": "",
            "posted": 5,
            "held": 0,
            "seq": 9,
            "entries": 1,
        },
    ),
    "of the system": (
        AccountState(Account(ISSUANCE, "GEMS", None, None), -(2**61), 0, 9),
        {
            "id": "@issuance",
            "asset": "GEMS",
            "user_id": None,
            "overdraft_limit": None,
            "metadata": "",
            "posted": -(2**61),
            "held": 0,
            "seq": 9,
            "entries": 0,
        },
    ),
    "watched": (
        AccountState(Account("bob", "GEMS", "u-1", 5, '{"a":1}', 10), 12, 3, 9, 300),
        {
            "id": "bob",
            "asset": "GEMS",
            "user_id": "u-1",
            "overdraft_limit": 5,
            "metadata": '{"a":1}',
            "posted": 12,
            "held": 3,
            "seq": 9,
            "entries": 300,
            "low_balance": 10,
        },
    ),
    "with some of everything": (
        rich_state(due_ms=5_000),
        {
            "id": "alice",
            "asset": "GEMS",
            "user_id": "u-1",
            "overdraft_limit": 5,
            "metadata": '{"$set":"text"}',
            "posted": 2**61 + 9,
            "held": 9,
            "seq": 9,
            "entries": 300,
            "low_balance": 10,
            "lots": [
                {
                    "grant": "g-1",
                    "remaining": 2**61,
                    "held": 1,
                    "priority": 3,
                    "category": "paid",
                    "expires_ms": 5_000,
                    "seq": 4,
                    "place": 2,
                },
                {
                    "grant": "g-2",
                    "remaining": 3,
                    "held": 3,
                    "priority": 50,
                    "category": "promotional",
                    "expires_ms": None,
                    "seq": 5,
                    "place": 0,
                    "ended": "voided",
                },
            ],
            "holds": [
                {"id": "h-1", "remaining": 9, "expires_ms": 5_001, "funding": [["g-1", 1], ["g-2", 3]]}
            ],
            "scheduled": [
                {
                    "id": "g-3",
                    "amount": 9,
                    "terms": {"category": "paid", "priority": 50, "effective_ms": 5_002},
                    "code": "grant",
                    "metadata": "$metadata",
                }
            ],
            "rules": [
                {
                    "id": "r-1",
                    "below": 100,
                    "amount": 50,
                    "category": "paid",
                    "max_per_day": 3,
                    "day": 19_000,
                    "used": 2,
                    "to": 400,
                    "skipped": "day_used",
                    "skipped_ms": 5_000,
                }
            ],
        },
    ),
}
"""States, each with the members of its document, in their order."""


@pytest.mark.parametrize(("state", "record"), STORED.values(), ids=STORED)
def test_a_state_is_stored_in_the_same_bytes_by_every_release(state: AccountState, record: Record) -> None:
    assert bson.encode(record_of_state(state)) == bson.encode(record)


@pytest.mark.parametrize(("state", "record"), STORED.values(), ids=STORED)
def test_a_stored_state_is_read(state: AccountState, record: Record) -> None:
    assert state_of({"_id": 1, "book": "main", "key": "alice", **record, "due": 5_000}) == state


@given(plans())
@settings(max_examples=examples(20), deadline=None)
def test_a_state_survives_json(plan: list[Batch]) -> None:
    for state in played(plan).accounts.values():
        read = state_of(json.loads(json.dumps(record_of_state(state))))
        assert read == state
        assert (read.holdings is NOTHING) == (state.holdings is NOTHING)
