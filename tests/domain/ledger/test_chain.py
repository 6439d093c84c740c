"""The hash chain finds every edited, missing, swapped or added document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from domain.ledger.chain import GENESIS, Head, JournalDocument, follows, is_intact, seal
from domain.ledger.entries import Cause, Entry, GrantEnded, HoldReleased, TransferPosted
from domain.ledger.records import kind_of
from tests.conformance.entries import every_kind_of_entry
from tests.domain.ledger.asking import grant, one, opening, received
from tests.domain.ledger.play import Play, play


def _other_values(value: Any) -> Iterator[Any]:
    """The value with each of its parts changed, one at a time, however deep it lies."""
    if isinstance(value, tuple):
        for index, part in enumerate(value):
            for other in _other_values(part):
                parts = (*value[:index], other, *value[index + 1 :])
                yield type(value)(*parts) if hasattr(value, "_fields") else parts
        if not hasattr(value, "_fields"):
            yield (*value, "one more")
            if value:
                yield value[:-1]
            if len(value) > 1:
                yield value[::-1]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, -value, str(value), None)
    elif isinstance(value, str):
        yield from (value + " ", value.upper(), None)
    else:
        assert value is None
        yield from (0, "", ())


def _document(*entries: Entry) -> JournalDocument:
    return seal("main", Head(), entries, time_ms=5, nonce="n")


@pytest.mark.parametrize("entry", every_kind_of_entry(), ids=kind_of)
def test_no_part_of_an_entry_can_be_changed_unseen(entry: Entry) -> None:
    document = _document(entry)
    assert is_intact(document)
    others = [other for other in _other_values(entry) if other != entry]
    if isinstance(entry, TransferPosted):
        others = [other for other in others if other.cause is None or isinstance(other.cause, Cause)]
    assert len(others) >= len(entry)
    for other in others:
        assert not is_intact(replace(document, entries=(other,)))


def test_an_entry_is_not_taken_for_one_of_another_kind_with_the_same_fields() -> None:
    released = HoldReleased("h", "alice", "GEMS", 4, "expired", ("v:h",), "f", "tests", 99)
    fields: tuple[Any, ...] = tuple(released)
    assert _document(GrantEnded(*fields)).digest != _document(released).digest


def test_the_reason_of_a_transfer_is_not_taken_for_another_with_the_same_fields() -> None:
    causes = {
        kind_of(entry): entry.cause
        for entry in every_kind_of_entry()
        if isinstance(entry, TransferPosted) and entry.cause is not None
    }
    (transfer,) = (entry for entry in every_kind_of_entry() if kind_of(entry) == "transfer")
    assert isinstance(transfer, TransferPosted)
    lapse, capture = causes["lapse"], causes["capture"]
    same = [transfer._replace(cause=type(cause)(*lapse)) for cause in (lapse, capture)]
    assert len({_document(entry).digest for entry in same}) == 2


@pytest.mark.parametrize(
    "edit",
    [{"book": "other"}, {"seq": 2}, {"time_ms": 6}, {"nonce": "m"}, {"previous": "1" * 64}, {"entries": ()}],
    ids=lambda edit: next(iter(edit)),
)
def test_no_field_of_a_document_can_be_changed_unseen(edit: dict[str, Any]) -> None:
    document = _document(*every_kind_of_entry())
    assert is_intact(document)
    assert not is_intact(replace(document, **edit))


def test_entries_cannot_be_added_left_out_or_swapped_unseen() -> None:
    first, second, *rest = every_kind_of_entry()
    document = _document(first, second, *rest)
    for entries in ((first, *rest), (second, first, *rest), (first, second, *rest, first)):
        assert not is_intact(replace(document, entries=entries))


@pytest.fixture
def ledger() -> Play:
    """Three documents."""
    ledger = play(opening("alice"))
    ledger.do(received("alice", 3, id="t1"), at=1_001)
    ledger.do(grant("alice", 3, id="g1"), at=1_002)
    return ledger


def test_the_first_document_follows_the_genesis(ledger: Play) -> None:
    first = ledger.documents[0]
    assert (first.seq, first.previous) == (1, GENESIS)
    assert follows(Head(), first)


def test_a_missing_swapped_or_added_document_does_not_follow(ledger: Play) -> None:
    first, second, third = ledger.documents
    assert follows(first.head, second)
    assert follows(second.head, third)
    assert not follows(first.head, third)
    assert not follows(Head(), second)
    added = seal("main", first.head, first.entries, time_ms=1_001, nonce="n")
    assert not follows(added.head, third)


def test_a_document_that_goes_back_in_time_does_not_follow(ledger: Play) -> None:
    third = ledger.documents[2]
    assert not follows(replace(ledger.documents[1].head, time_ms=third.time_ms + 1), third)


def test_recorded_time_never_runs_back(ledger: Play) -> None:
    with pytest.raises(ValueError, match="time"):
        seal("main", ledger.head, ledger.documents[0].entries, time_ms=0, nonce="n")


def test_a_decision_at_the_time_of_the_head_is_sealed(ledger: Play) -> None:
    decision = ledger.commit([one(received("alice", 1, id="t2"))], time_ms=ledger.now_ms)
    assert len(decision.entries) == 1
    assert is_intact(ledger.documents[-1])
