"""A book goes out as lines and comes in whole; what does not fit is refused before anything is written."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger.archive import (
    BrokenBook,
    Imported,
    ImportPorts,
    ImportRefused,
    document_of,
    exported,
    import_book,
    line_of,
)
from application.ledger.prover import ExpectedHead
from composition.commands.ledger_files import FileLines, KeyRegister
from domain.ledger.account import Account
from domain.ledger.chain import AppendResult, Head, JournalDocument, seal
from domain.ledger.entries import AccountOpened
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Journal
from tests.application.ledger.forgery import (
    LIVES,
    Lived,
    first_wrong,
    lived,
    lives,
    proved,
    sealed_anew,
    unhurried,
)
from tests.conformance.entries import every_kind_of_entry
from tests.simulation.ledger_world import BOOK
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

Came = Imported | ImportRefused


def run(body: Callable[[SimulatedRuntime], Awaitable[Any]]) -> Any:
    runtime = SimulatedRuntime()

    async def main() -> Any:
        async with runtime.running():
            return await body(runtime)

    return runtime.run(main)


def export_of(journal: Journal, book: str = BOOK) -> list[bytes]:
    async def body(runtime: SimulatedRuntime) -> list[bytes]:
        return [line async for line in exported(journal, book, runtime=runtime)]

    lines: list[bytes] = run(body)
    return lines


def imported(
    lines: list[bytes],
    journal: Journal,
    checkpoints: MemoryCheckpoints | None = None,
    *,
    book: str = BOOK,
    expected: ExpectedHead | None = None,
) -> Came:
    async def body(runtime: SimulatedRuntime) -> Came:
        with TemporaryDirectory() as directory:
            register = KeyRegister(Path(directory))
            try:
                source = FileLines(BytesIO(b"".join(lines)))
                beside = checkpoints or MemoryCheckpoints()
                ports = ImportPorts(runtime, journal, beside, source, register)
                return await import_book(ports, book, expected=expected)
            finally:
                register.close()

    came: Came = run(body)
    return came


def refusal(came: Came) -> ImportRefused:
    assert isinstance(came, ImportRefused), came
    return came


def held_by(journal: MemoryJournal) -> list[JournalDocument]:
    return list(journal._documents[BOOK])


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_book_that_went_out_and_came_in_is_the_same_book(seed: int) -> None:
    life = lived(seed)
    journal, checkpoints = MemoryJournal(), MemoryCheckpoints()
    came = imported(export_of(life.journal), journal, checkpoints, expected=life.expected)
    head = life.documents[-1].head
    assert came == Imported(head, len(life.documents), len(life.documents))
    assert held_by(journal) == list(life.documents)
    verification = proved(journal, checkpoints, life.expected)
    assert (verification.head, verification.problem) == (head, None)


def test_what_stands_beside_the_journal_comes_with_it_and_falls_due_by_itself() -> None:
    life = lived(LIVES - 1)
    journal, checkpoints = MemoryJournal(), MemoryCheckpoints()
    imported(export_of(life.journal), journal, checkpoints)
    assert checkpoints._states.keys() == life.checkpoints._states.keys()
    assert min(state.seq for state in checkpoints._states.values()) > len(life.documents) - 100
    assert checkpoints._kept == life.checkpoints._kept
    assert checkpoints._kept[BOOK, "alice"]


@unhurried
@given(st.data(), lives)
def test_an_import_goes_on_where_one_was_interrupted(data: st.DataObject, life: Lived) -> None:
    present = data.draw(st.integers(0, len(life.documents)))
    journal, checkpoints = MemoryJournal(), MemoryCheckpoints()
    for document in life.documents[:present]:
        assert SimulatedRuntime().run(lambda each=document: journal.append(each)) is AppendResult.APPENDED  # type: ignore[misc]
    came = imported(export_of(life.journal), journal, checkpoints)
    assert came == Imported(life.documents[-1].head, len(life.documents), len(life.documents) - present)
    assert held_by(journal) == list(life.documents)
    assert proved(journal, checkpoints).problem is None


@unhurried
@given(st.data(), lives)
def test_a_changed_byte_is_found_before_the_first_append(data: st.DataObject, life: Lived) -> None:
    lines = export_of(life.journal)
    place = data.draw(st.integers(0, len(lines) - 1))
    line = bytearray(lines[place])
    at = data.draw(st.integers(0, len(line) - 2))
    line[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    journal = MemoryJournal()
    # White space and escapes may differ: then it is the same document still, written otherwise.
    came = imported([*lines[:place], bytes(line), *lines[place + 1 :]], journal)
    if isinstance(came, Imported):
        assert held_by(journal) == list(life.documents)
    else:
        assert f"line {place + 1}:" in came.detail
        assert held_by(journal) == []


@unhurried
@given(st.data(), lives, st.sampled_from(("remove", "repeat", "swap")))
def test_lines_out_of_place_are_found_before_the_first_append(
    data: st.DataObject, life: Lived, deed: str
) -> None:
    lines = export_of(life.journal)
    place = data.draw(st.integers(0, len(lines) - 2))
    if deed == "remove":
        del lines[place]
    elif deed == "repeat":
        lines.insert(place, lines[place])
    else:
        lines[place], lines[place + 1] = lines[place + 1], lines[place]
    journal = MemoryJournal()
    refused = refusal(imported(lines, journal))
    assert refused.code == "broken_book"
    assert f"line {place + 1 + (deed == 'repeat')}:" in refused.detail
    assert held_by(journal) == []


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b"\n", "not JSON"),
        (b"{\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b"[]\n", "not an object of"),
        (b'{"book":"main"}\n', "not an object of"),
        (b"\xff\xfe\n", "not JSON"),
    ],
)
def test_a_line_that_is_no_document_is_named_by_its_number(line: bytes, detail: str) -> None:
    lines = export_of(lived(0).journal)
    refused = refusal(imported([*lines[:2], line, *lines[2:]], MemoryJournal()))
    assert refused.code == "malformed_line"
    assert refused.detail.startswith("line 3: ")
    assert detail in refused.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": "1"}, {"seq": 1.0}, {"time_ms": True}, {"nonce": None}, {"entries": {}}, {"entries": [[]]},
        {"entries": [{"kind": "theft"}]}, {"more": 1}, {"time_ms": 2**63}, {"nonce": "\ud800"},
    ],
)  # fmt: skip
def test_a_member_of_another_type_is_no_document(changes: dict[str, Any]) -> None:
    record = json.loads(export_of(lived(0).journal)[0])
    refused = refusal(imported([json.dumps({**record, **changes}).encode() + b"\n"], MemoryJournal()))
    assert refused.code == "malformed_line"


def test_a_member_that_no_entry_has_is_refused() -> None:
    record = json.loads(export_of(lived(0).journal)[0])
    record["entries"][0]["note"] = "nobody's digest covers this"
    refused = refusal(imported([json.dumps(record).encode() + b"\n"], MemoryJournal()))
    assert (refused.code, "line 1:" in refused.detail) == ("malformed_line", True)


def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = export_of(lived(0).journal)
    monkeypatch.setattr("application.ledger.archive.LINE_BYTES_MAX", len(lines[0]) - 1)
    monkeypatch.setattr("composition.commands.ledger_files.LINE_BYTES_MAX", len(lines[0]) - 1)
    refused = refusal(imported(lines, MemoryJournal()))
    assert refused.detail.startswith("line 1: it is longer than")


def test_a_book_of_another_name_is_refused() -> None:
    journal = MemoryJournal()
    refused = refusal(imported(export_of(lived(0).journal), journal, book="other"))
    assert refused.code == "book_mismatch"
    assert journal._documents["other"] == []


def test_a_store_that_has_another_book_of_that_name_is_left_as_it_is() -> None:
    journal = MemoryJournal()
    entry = AccountOpened(Account("mallory", "GEMS"), ("a:mallory",), "f", "tests")
    theirs = seal(BOOK, Head(), [entry], time_ms=1, nonce="n")
    SimulatedRuntime().run(lambda: journal.append(theirs))
    refused = refusal(imported(export_of(lived(0).journal), journal))
    assert refused.code == "book_differs"
    assert held_by(journal) == [theirs]


def test_a_store_that_has_more_than_the_file_is_left_as_it_is() -> None:
    life = lived(0)
    lines = export_of(life.journal)
    journal = MemoryJournal()
    imported(lines, journal)
    refused = refusal(imported(lines[:-1], journal))
    assert refused.code == "book_differs"
    assert refusal(imported([], journal)).code == "book_differs"
    assert held_by(journal) == list(life.documents)


def test_the_same_file_once_more_changes_nothing() -> None:
    life = lived(0)
    journal = MemoryJournal()
    imported(export_of(life.journal), journal)
    assert imported(export_of(life.journal), journal) == Imported(
        life.documents[-1].head, len(life.documents), 0
    )


def test_an_empty_book_goes_out_as_nothing_and_comes_in() -> None:
    assert export_of(MemoryJournal()) == []
    assert imported([], MemoryJournal()) == Imported(Head(), 0, 0)


def test_a_file_that_was_cut_is_refused_by_whoever_knows_a_later_head() -> None:
    life = lived(0)
    journal = MemoryJournal()
    refused = refusal(imported(export_of(life.journal)[:-1], journal, expected=life.expected))
    assert f"document {len(life.documents)}: it is missing" in refused.detail
    assert held_by(journal) == []


def test_a_checkpoint_that_the_file_does_not_lead_to_keeps_it_out() -> None:
    life = lived(0)
    journal, checkpoints = MemoryJournal(), MemoryCheckpoints()
    state = next(iter(life.checkpoints._states.values()))
    checkpoints._states[BOOK, state.account.key] = state._replace(posted=state.posted + 1)
    refused = refusal(imported(export_of(life.journal), journal, checkpoints))
    assert "checkpoint" in refused.detail
    assert held_by(journal) == []


def test_a_key_that_comes_twice_is_found_before_the_first_append() -> None:
    first = AccountOpened(Account("alice", "GEMS"), ("a:alice", "k:x"), "f", "tests")
    second = AccountOpened(Account("bob", "GEMS"), ("a:bob", "k:x"), "f", "tests")
    one = seal(BOOK, Head(), [first], time_ms=1, nonce="1")
    two = seal(BOOK, one.head, [second], time_ms=1, nonce="2")
    journal = MemoryJournal()
    refused = refusal(imported([line_of(one), line_of(two)], journal))
    assert "line 2: document 2: the key k:x was recorded before" in refused.detail
    assert held_by(journal) == []


def test_entries_that_break_a_rule_are_found_however_well_the_lines_are_chained() -> None:
    life = lived(0)
    place, document = next(
        (place, each)
        for place, each in enumerate(life.documents)
        for entry in each.entries
        if isinstance(entry, AccountOpened) and place > 0
    )
    forged = [
        *life.documents[:place],
        *sealed_anew(life.documents[place + 1 :], life.documents[place - 1].head),
    ]
    journal = MemoryJournal()
    refused = refusal(imported([line_of(each) for each in forged], journal))
    assert (refused.code, "not opened" in refused.detail) == ("broken_book", True), document
    assert held_by(journal) == []


class UnsureJournal(MemoryJournal):
    """Its answers to every other append are lost; what arrived is there."""

    appends = 0

    async def append(self, document: JournalDocument) -> AppendResult:
        self.appends += 1
        result = await super().append(document)
        return AppendResult.UNKNOWN if self.appends % 2 else result


def test_a_lost_answer_appends_nothing_twice() -> None:
    life = lived(0)
    journal = UnsureJournal()
    assert imported(export_of(life.journal), journal) == Imported(
        life.documents[-1].head, len(life.documents), len(life.documents)
    )
    assert held_by(journal) == list(life.documents)


class BusyJournal(MemoryJournal):
    """Somebody else appends to the book as soon as the import does."""

    async def append(self, document: JournalDocument) -> AppendResult:
        if document.seq == 3 and document.nonce != "theirs":
            theirs = replace(document, nonce="theirs")
            await super().append(theirs)
        return await super().append(document)


def test_an_import_gives_way_to_whoever_writes_the_book() -> None:
    journal = BusyJournal()
    assert refusal(imported(export_of(lived(0).journal), journal)).code == "book_in_use"
    assert [document.nonce == "theirs" for document in held_by(journal)] == [False, False, True]


class SilentJournal(MemoryJournal):
    async def append(self, _document: JournalDocument) -> AppendResult:
        return AppendResult.UNKNOWN


def test_a_store_that_never_answers_ends_the_import() -> None:
    with pytest.raises(DependencyUnavailable):
        imported(export_of(lived(0).journal), SilentJournal())


@unhurried
@given(st.data(), lives)
def test_a_broken_book_does_not_go_out(data: st.DataObject, life: Lived) -> None:
    place = data.draw(st.integers(0, len(life.documents) - 2))
    journal = life.forged([*life.documents[:place], *life.documents[place + 1 :]])
    with pytest.raises(BrokenBook) as broken:
        export_of(journal)
    assert broken.value.problem.seq == place + 1 == first_wrong(proved(journal))


def test_every_kind_of_entry_is_the_same_after_a_line() -> None:
    document = seal("main", Head(), every_kind_of_entry(), time_ms=7, nonce="n")
    line = line_of(document)
    assert line.isascii()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert document_of(line) == document
