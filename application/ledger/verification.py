"""Proves a book: its chain of documents, what they add up to, and the states that are stored beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from domain.ledger.account import AccountState
from domain.ledger.chain import GENESIS, Head, JournalDocument, is_intact
from domain.ledger.entries import Recorded
from domain.ledger.proof import Proof
from domain.ledger.shapes import has_its_shape
from ports.journal import Checkpoints, Journal, StoredState, Unreadable
from ports.runtime import Runtime

DOCUMENTS_A_READ_MAX: Final = 256
ENTRIES_A_READ_MAX: Final = 10_000
"""Of one page of documents, as far as the page before lets one guess; a document has 8,000 and more."""
STATES_A_READ_MAX: Final = 1_000

Progress = Callable[[int, int], None]
"""Told the number of documents done, and of all as far as is known."""


def _unheard(_done: int, _all: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """The first document that is not as it was written, by its number, and what is wrong with it."""

    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a book was found good, and what was found after it: `problem` None is a good book."""

    head: Head
    documents: int
    entries: int
    problem: LedgerProblem | None


class ExpectedHead(NamedTuple):
    """A document that the book is known to have had, from somewhere that its store cannot reach."""

    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """An intact document that names another one before it than there is: one of the two is forged."""

    document: JournalDocument


class Prover:
    """Takes a book's documents in order, and stands at the last one that is good."""

    def __init__(self, book: str) -> None:
        self._book = book
        self.proof = Proof()
        self.head = Head()
        self.documents = 0
        self.entries = 0

    def take(
        self, document: JournalDocument, transfers: Mapping[str, Recorded]
    ) -> LedgerProblem | BrokenLink | None:
        """What is wrong with the next document, if anything is; then nothing may follow."""
        head = self.head
        problem = self._chained(document)
        if problem is not None:
            return problem
        if document.previous != head.digest:
            return BrokenLink(document)
        if document.time_ms < head.time_ms:
            return LedgerProblem(document.seq, "it was recorded before the document before it")
        detail = self.proof.check(document, transfers)
        if detail is not None:
            return LedgerProblem(document.seq, detail)
        self.head = document.head
        self.documents += 1
        self.entries += len(document.entries)
        return None

    def _chained(self, document: JournalDocument) -> LedgerProblem | None:
        if not has_its_shape(document):
            return LedgerProblem(self.head.seq + 1, "a field has another type, or is too large")
        misplaced = self.misplaced(document.seq)
        if misplaced is not None:
            return misplaced
        if document.book != self._book:
            return LedgerProblem(document.seq, f"it belongs to the book {document.book}")
        if not is_intact(document):
            return LedgerProblem(document.seq, "it is not what its digest was made of")
        return None

    def misplaced(self, seq: int) -> LedgerProblem | None:
        """What a document of this number is, coming next: None if it is due."""
        due = self.head.seq + 1
        if seq > due:
            return LedgerProblem(due, f"it is missing: document {seq} comes after {due - 1}")
        if seq < due:
            return LedgerProblem(seq, "there is another document of this number")
        return None

    def result(self, problem: LedgerProblem | None) -> Verification:
        return Verification(self.head, self.documents, self.entries, problem)


class _Aside:
    """What is stored of accounts beside the journal: digests of states, until a document makes these."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int], list[tuple[str, bytes]]] = {}

    def add(self, kind: str, stored: StoredState) -> None:
        try:
            digest = b"" if stored.state is None else _digest(stored.state, stored.time_ms)
        except (TypeError, ValueError):
            digest = b""  # It holds what no state of ours does, and equals none.
        self._digests.setdefault((stored.key, stored.seq), []).append((kind, digest))

    def compared(self, document: JournalDocument, proof: Proof) -> LedgerProblem | None:
        for key in proof.touched if self._digests else ():
            for kind, digest in self._digests.pop((key, document.seq), ()):
                time_ms = document.time_ms if kind == _SNAPSHOT else None
                if digest != _digest(proof.states[key], time_ms):
                    detail = f"the {kind} of account {key} at this number is not what the journal adds up to"
                    return LedgerProblem(document.seq, detail)
        return None

    def left(self) -> LedgerProblem | None:
        """The first of what no document made."""
        if not self._digests:
            return None
        key, seq = min(self._digests, key=lambda place: (place[1], place[0]))
        kind, _ = self._digests[key, seq][0]
        return LedgerProblem(
            seq, f"there is a {kind} of account {key} at this number, and no document made it"
        )


_CHECKPOINT: Final = "checkpoint"
_SNAPSHOT: Final = "snapshot"


async def verify(
    journal: Journal,
    checkpoints: Checkpoints,
    book: str,
    *,
    runtime: Runtime,
    expected: ExpectedHead | None = None,
    progress: Progress = _unheard,
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
    aside = await _stored_aside(checkpoints, book)
    end = await _end(journal, book)
    prover = Prover(book)
    progress(0, end)
    async for page in _pages(journal, book, end):
        found = await _taken(prover, aside, page, journal, book, expected, runtime)
        if isinstance(found, BrokenLink):
            found = await _culprit(found, journal, book, expected)
        if found is not None:
            return prover.result(found)
        progress(prover.head.seq, end)
    return prover.result(_missing(prover, expected) or _unbalanced(prover) or aside.left())


async def _taken(
    prover: Prover,
    aside: _Aside,
    page: Sequence[JournalDocument | Unreadable],
    journal: Journal,
    book: str,
    expected: ExpectedHead | None,
    runtime: Runtime,
) -> LedgerProblem | BrokenLink | None:
    asked = prover.proof.unknown_transfers(each for each in page if isinstance(each, JournalDocument))
    transfers = await journal.recorded(book, asked) if asked else {}

    def take() -> LedgerProblem | BrokenLink | None:
        for each in page:
            if isinstance(each, Unreadable):
                misplaced = prover.misplaced(each.seq) if each.seq else None
                return misplaced or LedgerProblem(each.seq, each.detail)
            found = prover.take(each, transfers) or aside.compared(each, prover.proof)
            if found is None and expected is not None and each.seq == expected.seq:
                found = _other_than(expected, each.digest)
            if found is not None:
                return found
        return None

    # Seconds of arithmetic, and a service may be answering others.
    return await runtime.run_in_thread(take)


async def _pages(
    journal: Journal, book: str, end: int
) -> AsyncIterator[Sequence[JournalDocument | Unreadable]]:
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


async def _end(journal: Journal, book: str) -> int:
    try:
        head = await journal.head(book)
    except (KeyError, TypeError, ValueError):
        # It cannot even be read: whoever reads up to it will name it.
        return 2**63
    return 0 if head is None else head.seq


async def _stored_aside(checkpoints: Checkpoints, book: str) -> _Aside:
    aside = _Aside()
    key = ""
    while found := await checkpoints.states_after(book, key, limit=STATES_A_READ_MAX):
        for stored in found:
            aside.add(_CHECKPOINT, stored)
        key = found[-1].key
    key, seq = "", 0
    while found := await checkpoints.snapshots_after(book, key, seq, limit=STATES_A_READ_MAX):
        for stored in found:
            aside.add(_SNAPSHOT, stored)
        key, seq = found[-1].key, found[-1].seq
    return aside


async def _culprit(
    link: BrokenLink, journal: Journal, book: str, expected: ExpectedHead | None
) -> LedgerProblem:
    """Which of the two is forged: the later one, if what comes after it does not know it either."""
    document = link.document
    for after in await journal.stored_after(book, document.seq, limit=1):
        if isinstance(after, JournalDocument) and after.previous != document.digest:
            return LedgerProblem(
                document.seq, "its neighbours name other documents than it and the one before it"
            )
    if expected is not None and expected.seq == document.seq and expected.digest != document.digest:
        return _other_than(expected, document.digest) or LedgerProblem(document.seq, "it is another one")
    before = document.seq - 1
    if before == 0:
        return LedgerProblem(document.seq, "it is the first one, and names another before it")
    return LedgerProblem(before, f"document {document.seq} names another one before it: it was made anew")


def _other_than(expected: ExpectedHead, digest: str) -> LedgerProblem | None:
    if digest == expected.digest:
        return None
    return LedgerProblem(
        expected.seq, "its digest is not the expected one: it, or documents before it, were made anew"
    )


def _missing(prover: Prover, expected: ExpectedHead | None) -> LedgerProblem | None:
    if expected is None or expected.seq <= prover.head.seq:
        return _other_than(expected, GENESIS) if expected is not None and expected.seq == 0 else None
    return LedgerProblem(prover.head.seq + 1, f"it is missing: the book went up to {expected.seq} at least")


def _unbalanced(prover: Prover) -> LedgerProblem | None:
    imbalance = prover.proof.imbalance()
    return None if imbalance is None else LedgerProblem(prover.head.seq, imbalance)


_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def _digest(state: AccountState, time_ms: int | None) -> bytes:
    text = _JSON.encode([state, time_ms])
    return hashlib.blake2b(text.encode("ascii"), digest_size=20).digest()
