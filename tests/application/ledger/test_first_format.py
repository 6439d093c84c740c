"""A journal of the first release goes on: it proves good, and every retry of its requests is known."""

from __future__ import annotations

from adapters.memory.ledger.journal import MemoryJournal
from application.ledger.archive import Imported, document_of
from application.ledger.orders import RuleOrder
from application.ledger.service import Ledger
from domain.ledger.outcomes import Outcome, Rejected
from tests.application.ledger.first_format import (
    BOOK,
    BUSY,
    LEDGER_TIME_MS,
    LINES,
    MANY,
    by,
    requests,
    served,
    what_became,
)
from tests.application.ledger.forgery import proved
from tests.application.ledger.test_archive import imported


def old_journal() -> MemoryJournal:
    journal = MemoryJournal()
    came = imported(LINES.read_bytes().splitlines(keepends=True), journal)
    assert isinstance(came, Imported), came
    return journal


def test_it_is_imported_and_proves_good() -> None:
    for path in (LINES, BUSY):
        journal = MemoryJournal()
        lines = path.read_bytes().splitlines(keepends=True)
        assert isinstance(imported(lines, journal), Imported)
        verification = proved(journal)
        assert (verification.problem, verification.head.digest) == (None, document_of(lines[-1]).digest)


def test_every_request_sent_again_is_a_repeat_or_refused_as_before() -> None:
    journal = old_journal()
    seq = len(LINES.read_bytes().splitlines())
    answers = served(journal, requests)
    assert what_became(answers) == [
        *["posted"] * 17, "account_not_found", "posted", "insufficient_funds", *["posted"] * 3,
    ]  # fmt: skip
    assert all(isinstance(each, Rejected) or each.replayed for each in answers), "nothing is posted anew"
    assert all(isinstance(each, Rejected) or each.recorded.seq <= seq for each in answers)


def test_what_an_old_batch_was_refused_is_decided_once_more_and_then_remembered() -> None:
    journal = old_journal()

    async def batch(ledger: Ledger) -> list[Outcome]:
        return await ledger.transfer_batch(by("many-1"), MANY, atomic=False)

    first = served(journal, batch)
    again = served(journal, batch)
    assert what_became(first) == what_became(again) == [
        "posted", "account_not_found", "posted", "insufficient_funds",
    ]  # fmt: skip
    assert [each.replayed for each in first] == [True, False, True, False]
    assert all(each.replayed for each in again)


def test_what_only_format_2_can_say_goes_on_after_it_and_the_book_proves_good() -> None:
    journal = old_journal()

    async def more(ledger: Ledger) -> list[Outcome]:
        return [
            await ledger.reverse(by("late"), "spend-2", 3, effective_ms=LEDGER_TIME_MS - 500),
            await ledger.set_rule(by("fill"), RuleOrder("bob", 10_000, None, "paid", 1, 20_000)),
            await ledger.set_rule(by("steps"), RuleOrder("alice", 10_000, 700, "paid", 5)),
        ]

    assert what_became(served(journal, more)) == ["posted"] * 3
    verification = proved(journal)
    assert verification.problem is None
    assert {document.format for document in journal._documents[BOOK]} == {1, 2}
