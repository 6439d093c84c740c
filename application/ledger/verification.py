"""Proves a book: its chain of documents, what they add up to, and the states that are stored beside them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from application.ledger.prover import BrokenLink, ExpectedHead, LedgerProblem, Prover, stored_aside
from domain.ledger.chain import Head, JournalDocument
from domain.ledger.entries import Recorded
from domain.ledger.shapes import has_its_shape, recorded_has_its_shape
from ports.ledger.journal import Checkpoints, Journal, Unreadable, UnreadableBook
from ports.runtime import Runtime

__all__ = ["ExpectedHead", "LedgerProblem", "Verification", "verify"]

DOCUMENTS_A_READ_MAX: Final = 256
ENTRIES_A_READ_MAX: Final = 2_000
"""Of one page of documents, as far as the page before lets one guess; a single document may have 8,000 and
more. What a page holds is decoded at once, and a service's other requests wait for that."""

NOWHERE: Final = 2**63
"""A number that no document has."""

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much as far as is known."""


def unheard(_done: int, _all: int) -> None:
    """Progress that is not shown."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a book was found good, and what was found after it: `problem` None is a good book."""

    head: Head
    documents: int
    entries: int
    problem: LedgerProblem | None


async def verify(
    journal: Journal,
    checkpoints: Checkpoints,
    book: str,
    *,
    runtime: Runtime,
    expected: ExpectedHead | None = None,
    progress: Progress = unheard,
) -> Verification:
    """Reads a book from its first document to the one that is its last now, and stops at the first problem.

    Each document must follow from the one before it and be what its digest was made of; its entries are
    folded from nothing and held against the rules, and every balance that they state against the fold. So
    is every checkpoint and snapshot. A chain cannot tell that its end was cut off, or that all of it was
    made anew: `expected` can, if it was kept elsewhere.

    In memory: one page of documents; the state of each account with a pending hold, lot or grant in it; two
    digests an account and one for each 256 entries; each transfer that was reversed. Never the journal.

    Appends may go on meanwhile: what stands beside the journal is read before its end is.
    """
    prover = Prover(book, await stored_aside(checkpoints, book), expected)
    end = await end_of(journal, book)
    problem: LedgerProblem | None = None
    progress(0, end)
    async with aclosing(pages(journal, book, end)) as found:
        async for page in found:
            problem = await _problem_of(page, prover, journal, book, runtime)
            if problem is not None:
                break
            progress(prover.head.seq, end)
    problem = problem or prover.at_end()
    return Verification(prover.head, prover.chain.documents, prover.chain.entries, problem)


async def _problem_of(
    page: Sequence[JournalDocument | Unreadable],
    prover: Prover,
    journal: Journal,
    book: str,
    runtime: Runtime,
) -> LedgerProblem | None:
    transfers = await _reversed_in(page, prover, journal, book)

    def take() -> LedgerProblem | None:
        return next((problem for each in page if (problem := prover.take(each, transfers))), None)

    # Seconds of arithmetic, and a service may be answering others.
    problem = await runtime.run_in_thread(take)
    return await _culprit(problem, journal, prover.expected) if isinstance(problem, BrokenLink) else problem


async def _reversed_in(
    page: Sequence[JournalDocument | Unreadable], prover: Prover, journal: Journal, book: str
) -> Mapping[str, Recorded]:
    readable = takewhile(lambda each: isinstance(each, JournalDocument), page)
    asked = prover.proof.unknown_transfers(each for each in readable if isinstance(each, JournalDocument))
    try:
        found = await journal.recorded(book, asked) if asked else {}
    except UnreadableBook:
        return {}  # A document that has one of the keys too cannot be read: something is wrong anyway.
    return {key: recorded for key, recorded in found.items() if recorded_has_its_shape(recorded)}


async def pages(
    journal: Journal, book: str, end: int
) -> AsyncGenerator[Sequence[JournalDocument | Unreadable], None]:
    """Up to document `end`; a page's length goes by how large the documents of the last one were."""
    seq, limit = 0, 1
    while True:
        page = await journal.stored_after(book, seq, limit=limit)
        if page:
            yield page
        last = page[-1] if page else None
        if last is None or isinstance(last, Unreadable) or len(page) < limit or last.seq > end:
            return
        seq = last.seq
        largest = max(len(each.entries) for each in page if isinstance(each, JournalDocument))
        limit = max(1, min(2 * limit, DOCUMENTS_A_READ_MAX, ENTRIES_A_READ_MAX // max(1, largest)))


async def end_of(journal: Journal, book: str) -> int:
    try:
        head = await journal.head(book)
    except UnreadableBook:
        # It cannot even be read: a read up to it will name it.
        return NOWHERE
    if head is None:
        return 0
    return head.seq if has_its_shape(head) else NOWHERE


async def _culprit(link: BrokenLink, journal: Journal, expected: ExpectedHead) -> LedgerProblem:
    """Which of the two is forged: the later one, if what comes after it does not know it either."""
    document = link.document
    is_known = document.digest == expected.digest
    for after in await journal.stored_after(document.book, document.seq, limit=1):
        is_known |= isinstance(after, JournalDocument) and after.previous == document.digest
        if not is_known:
            return LedgerProblem(link.seq, link.detail)
    if document.seq == 1 or (document.seq == expected.seq and not is_known):
        return LedgerProblem(link.seq, link.detail)
    detail = f"document {document.seq} names another one before it: it was made anew"
    return LedgerProblem(document.seq - 1, detail)
