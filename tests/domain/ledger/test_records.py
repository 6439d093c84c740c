"""Entries as plain JSON values: what is read is what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from domain.ledger.entries import Entry, TransferPosted
from domain.ledger.records import CAUSES, KINDS, Record, entry_of, kind_of, record_of
from tests.conformance.entries import every_kind_of_entry


def test_there_is_an_example_of_every_kind_of_entry() -> None:
    kinds = {kind_of(entry) for entry in every_kind_of_entry()}
    assert kinds == {*KINDS.values(), *CAUSES.values()}


@pytest.mark.parametrize("entry", every_kind_of_entry(), ids=kind_of)
def test_an_entry_survives_json(entry: Entry) -> None:
    read = entry_of(json.loads(json.dumps(record_of(entry))))
    assert read == entry
    assert type(read) is type(entry)
    if isinstance(entry, TransferPosted) and isinstance(read, TransferPosted):
        assert type(read.cause) is type(entry.cause)


@pytest.mark.parametrize("entry", every_kind_of_entry(), ids=kind_of)
def test_what_has_its_default_is_left_out(entry: Entry) -> None:
    defaults = entry._field_defaults
    plain = entry._replace(**defaults)
    record = record_of(plain)
    assert not set(defaults) & set(record)
    assert entry_of(json.loads(json.dumps(record))) == plain


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": None},
        {"kind": []},
        {"kind": "unheard-of"},
        {"kind": "transfer", "id": "x"},
        {"kind": "account", "id": "x"},
        {"kind": "hold_released", "hold": "h", "keys": []},
        {**record_of(every_kind_of_entry()[3]), "issue": 1},
        {**record_of(every_kind_of_entry()[3]), "funding": [["g"]]},
        {**record_of(every_kind_of_entry()[-1]), "more": 1},
        {**record_of(every_kind_of_entry()[-1]), "keys": None},
    ],
)
def test_what_is_no_journal_entry_is_refused(record: Record) -> None:
    with pytest.raises(ValueError, match=r"."):
        entry_of(record)


def _with_one_more_member(record: Record) -> Iterator[Record]:
    """In the record itself and in each record inside it."""
    yield {**record, "unknown": 1}
    for name, value in record.items():
        if isinstance(value, dict):
            yield from ({**record, name: inner} for inner in _with_one_more_member(value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ({**record, name: [inner]} for inner in _with_one_more_member(value[0]))


@pytest.mark.parametrize("entry", every_kind_of_entry(), ids=kind_of)
def test_nothing_can_be_added_to_a_record_that_the_digest_would_not_cover(entry: Entry) -> None:
    for record in _with_one_more_member(record_of(entry)):
        with pytest.raises(ValueError, match="not a journal entry"):
            entry_of(record)


def test_a_transfer_has_one_cause() -> None:
    records = [record_of(entry) for entry in every_kind_of_entry() if isinstance(entry, TransferPosted)]
    both = {name: value for record in records for name, value in record.items()}
    with pytest.raises(ValueError, match="two causes"):
        entry_of(both)
