"""What was written stays true: documents of format 1 keep their fields, digests and subjects for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from application.ledger.archive import document_of, line_of
from domain.ledger.account import Account
from domain.ledger.chain import FIELDS_OF_FORMAT_1, Head, JournalDocument, follows, format_of, is_intact, seal
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Reversal,
    RuleRemoved,
    RuleSet,
    TransferPosted,
)
from domain.ledger.lots import GrantTerms, Lot
from tests.application.ledger.first_format import BUSY, LINES
from tests.conformance.entries import every_kind_of_entry, newer_entries

FIELDS = {
    Account: "id asset user_id overdraft_limit metadata low_balance",
    GrantTerms: "category priority effective_ms expires_ms",
    Lot: "grant remaining held priority category expires_ms seq place ended",
    AccountOpened: "account keys fingerprint actor",
    TransferPosted: "id source destination amount asset code source_posted destination_posted keys"
    " fingerprint actor metadata funding effective_ms cause",
    Issue: "grant terms rule",
    Lapse: "grant status held",
    Capture: "hold captured final",
    Reversal: "of restored revived lapsed",
    GrantScheduled: "id account asset amount terms code keys fingerprint actor metadata",
    GrantEnded: "grant account asset status held keys fingerprint actor effective_ms",
    HoldPlaced: "id account asset amount destination expires_ms code keys fingerprint actor metadata funding",
    HoldReleased: "hold account asset amount status keys fingerprint actor effective_ms",
    RuleSet: "id account asset below amount category max_per_day keys fingerprint actor",
    RuleRemoved: "id account asset keys fingerprint actor",
}
"""The fields of format 1, in their order. Nothing is ever changed here."""


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_the_fields_of_format_1_stand_first_and_are_frozen(kind: type[tuple[object, ...]]) -> None:
    known = FIELDS[kind].split()
    assert list(kind._fields[: len(known)]) == known  # type: ignore[attr-defined]
    grown = len(kind._fields) > len(known)  # type: ignore[attr-defined]
    assert FIELDS_OF_FORMAT_1.get(kind) == (len(known) if grown else None)


@pytest.mark.parametrize("path", [LINES, BUSY], ids=lambda path: path.stem)
def test_documents_of_the_first_release_are_intact_and_follow_each_other(path: Path) -> None:
    head = Head()
    for line in path.read_bytes().splitlines(keepends=True):
        document = document_of(line)
        assert follows(head, document)
        assert is_intact(document)
        assert document.format == 1
        assert line_of(document) == line, "and are written as they were"
        head = document.head
    assert head.seq > 10


def sealed(*entries: Entry) -> JournalDocument:
    return seal("main", Head(), entries, time_ms=5, nonce="n")


@pytest.mark.parametrize("entry", newer_entries(), ids=lambda entry: type(entry).__name__)
def test_a_document_has_the_lowest_format_that_can_say_it(entry: Entry) -> None:
    old = [each for each in every_kind_of_entry() if each not in newer_entries()]
    assert sealed(*old).format == 1
    assert sealed(*old, entry).format == 2
    assert format_of((entry,)) == 2


@pytest.mark.parametrize("entry", newer_entries(), ids=lambda entry: type(entry).__name__)
def test_a_document_that_says_it_were_of_an_older_format_is_not_intact(entry: Entry) -> None:
    """Else what the older format has no field for could be added to it, and no digest would tell."""
    document = sealed(entry)
    assert is_intact(document)
    assert not is_intact(replace(document, format=1))
    plain = sealed(RuleSet("r", "alice", "GEMS", 1, 2, "paid", 3, ("r:r",), "f", "tests"))
    changed = (plain.entries[0]._replace(to=9),)  # type: ignore[call-arg]
    assert not is_intact(replace(plain, entries=changed))


def test_two_documents_that_differ_in_a_new_field_alone_have_different_digests() -> None:
    for entry in newer_entries():
        for name in type(entry)._fields:
            value = getattr(entry, name)
            if isinstance(value, int):
                other: Entry = entry._replace(**{name: value + 1})  # type: ignore[arg-type]
                assert sealed(entry).digest != sealed(other).digest


@pytest.mark.parametrize("number", [0, 1, -1, 3, 2.0, "2", None, True])
def test_a_line_of_a_format_that_this_release_does_not_know_is_refused(number: object) -> None:
    record = json.loads(line_of(sealed(*newer_entries())))
    assert record["format"] == 2
    record["format"] = number
    with pytest.raises(ValueError, match="format"):
        document_of(json.dumps(record).encode())
