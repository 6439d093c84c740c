"""Account states in MongoDB: what is read is what was written, and its form never changes."""

from __future__ import annotations

import copy
import json
from typing import Any

import bson
import msgspec
import pytest
from hypothesis import given, settings

from adapters.mongo.ledger.states import (
    StoredGrant,
    StoredHold,
    StoredHoldings,
    StoredLot,
    StoredRule,
    StoredTerms,
    record_of_state,
    state_of,
)
from domain.ledger.account import (
    ISSUANCE,
    NOTHING,
    Account,
    AccountState,
    ActiveHold,
    Holdings,
    ScheduledGrant,
    TopUpRule,
)
from domain.ledger.lots import GrantTerms, Lot
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
    made = record_of_state(state)
    assert made == record
    assert bson.encode(made) == bson.encode(record)


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


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (StoredLot, Lot),
        (StoredHold, ActiveHold),
        (StoredTerms, GrantTerms),
        (StoredGrant, ScheduledGrant),
        (StoredRule, TopUpRule),
    ],
    ids=lambda kind: kind.__name__,
)
def test_each_part_is_stored_with_all_its_fields_in_their_order(stored: Any, kept: Any) -> None:
    fields = msgspec.structs.fields(stored)
    assert tuple(field.name for field in fields) == kept._fields
    assert {field.name: field.default for field in fields if not field.required} == kept._field_defaults


def test_all_holdings_are_stored_but_the_moment_that_follows_from_them() -> None:
    assert (*StoredHoldings.__struct_fields__, "due_ms") == Holdings._fields


WHOLE = STORED["with some of everything"][1]
PARTS = ("lots", "holds", "scheduled", "rules")


def _changed(part: str, **members: object) -> Record:
    """The whole record, with other members in the first of its lots, holds, grants or rules."""
    record = copy.deepcopy(WHOLE)
    record[part][0] |= members
    return record


OTHER_FORMS: dict[str, Record] = {
    **{
        f"without {name}": {each: WHOLE[each] for each in WHOLE if each != name}
        for name in ("id", "posted", *PARTS[1:])
    },
    **{f"{part} that are null": {**WHOLE, part: None} for part in PARTS},
    **{f"one more member in {part}": _changed(part, unknown=1) for part in PARTS},
    "text for a number": _changed("lots", remaining="9"),
    "a fraction": _changed("lots", remaining=9.0),
    "a flag for a number": _changed("lots", remaining=True),
    "null for text": _changed("lots", ended=None),
    "a number for text": _changed("rules", id=1),
    "funding without a part": _changed("holds", funding=[["g-1"]]),
    "funding with text": _changed("holds", funding=[["g-1", "1"]]),
    "no terms": _changed("scheduled", terms=None),
    "terms without priority": _changed("scheduled", terms={"category": "paid"}),
}


@pytest.mark.parametrize("record", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_what_an_account_holds_is_read_in_no_other_form(record: Record) -> None:
    with pytest.raises((KeyError, ValueError)):
        state_of(record)
