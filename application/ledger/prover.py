"""Takes a book's documents one by one, and stands at the last good one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from domain.ledger.account import AccountState
from domain.ledger.chain import GENESIS, Head, JournalDocument, is_intact
from domain.ledger.entries import Recorded
from domain.ledger.proof import Proof
from domain.ledger.shapes import has_its_shape
from ports.ledger.journal import Checkpoints, StoredState, Unreadable

STATES_A_READ_MAX: Final = 1_000
CHECKPOINT: Final = "checkpoint"
SNAPSHOT: Final = "snapshot"


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """The first document that is not as it was written, by its number, and what is wrong with it."""

    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class BrokenLink(LedgerProblem):
    """An intact document that names another one before it than there is: one of the two is forged."""

    document: JournalDocument


class ExpectedHead(NamedTuple):
    """A document that the book is known to have had, from somewhere that its store cannot reach."""

    seq: int
    digest: str


class Chain:
    """Whether documents follow from each other. What they say is another matter."""

    def __init__(self, book: str) -> None:
        self.book = book
        self.head = Head()
        self.documents = 0
        self.entries = 0

    def take(self, document: JournalDocument | Unreadable) -> LedgerProblem | None:
        """What is wrong with the next document, if anything is; then nothing may follow."""
        problem = self.problem_of(document)
        if problem is None and isinstance(document, JournalDocument):
            self.move_to(document)
        return problem

    def move_to(self, document: JournalDocument) -> None:
        self.head = document.head
        self.documents += 1
        self.entries += len(document.entries)

    def problem_of(self, document: JournalDocument | Unreadable) -> LedgerProblem | None:
        due = self.head.seq + 1
        if isinstance(document, Unreadable):
            misplaced = self._misplaced(document.seq) if document.seq else None
            return misplaced or LedgerProblem(document.seq, document.detail)
        if not has_its_shape(document):
            return LedgerProblem(due, "a field has another type, or is too large")
        misplaced = self._misplaced(document.seq)
        if misplaced is not None:
            return misplaced
        if document.book != self.book:
            return LedgerProblem(due, f"it belongs to the book {document.book}")
        if not is_intact(document):
            return LedgerProblem(due, "it is not what its digest was made of")
        if document.previous != self.head.digest:
            return BrokenLink(due, "it names another one before it than there is", document)
        if document.time_ms < self.head.time_ms:
            return LedgerProblem(due, "it was recorded before the one before it")
        return None

    def _misplaced(self, seq: int) -> LedgerProblem | None:
        due = self.head.seq + 1
        if seq > due:
            return LedgerProblem(due, f"it is missing: document {seq} comes after {due - 1}")
        if seq < due:
            return LedgerProblem(seq, "there is another document of this number")
        return None


class Prover:
    """A chain, what it adds up to, and how that compares with what is stored beside it."""

    def __init__(self, book: str, aside: Aside, expected: ExpectedHead | None = None) -> None:
        self.chain = Chain(book)
        self.proof = Proof()
        self.expected = expected or ExpectedHead(0, GENESIS)
        self._aside = aside

    @property
    def head(self) -> Head:
        return self.chain.head

    def take(
        self, document: JournalDocument | Unreadable, transfers: Mapping[str, Recorded]
    ) -> LedgerProblem | None:
        """As `Chain.take`; `transfers` holds what `Proof.unknown_transfers` asked for."""
        problem = self.chain.problem_of(document)
        if problem is not None or isinstance(document, Unreadable):
            return problem
        detail = self.proof.check(document, transfers)
        if detail is not None:
            return LedgerProblem(document.seq, detail)
        problem = self._aside.compared(document, self.proof)
        if problem is not None:
            return problem
        self.chain.move_to(document)
        return self._other_than_expected()

    def at_end(self) -> LedgerProblem | None:
        """What is wrong with all of it, when nothing was with each."""
        due, expected_seq = self.head.seq + 1, self.expected.seq
        if due <= expected_seq:
            return LedgerProblem(due, f"it is missing: the book went up to {expected_seq} at least")
        imbalance = self.proof.imbalance()
        if imbalance is not None:
            return LedgerProblem(self.head.seq, imbalance)
        return self._other_than_expected() or self._aside.left()

    def _other_than_expected(self) -> LedgerProblem | None:
        if self.head.seq != self.expected.seq or self.head.digest == self.expected.digest:
            return None
        detail = "its digest is not the expected one: it, or documents before it, were made anew"
        return LedgerProblem(self.head.seq, detail)


class Aside:
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
                time_ms = document.time_ms if kind == SNAPSHOT else None
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


async def stored_aside(checkpoints: Checkpoints, book: str) -> Aside:
    """Before the journal's end is looked for: no state is stored before its document."""
    aside = Aside()
    key = ""
    while found := await checkpoints.states_after(book, key, limit=STATES_A_READ_MAX):
        for stored in found:
            aside.add(CHECKPOINT, stored)
        key = found[-1].key
    key, seq = "", 0
    while found := await checkpoints.snapshots_after(book, key, seq, limit=STATES_A_READ_MAX):
        for stored in found:
            aside.add(SNAPSHOT, stored)
        key, seq = found[-1].key, found[-1].seq
    return aside


_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def _digest(state: AccountState, time_ms: int | None) -> bytes:
    text = _JSON.encode([state, time_ms])
    return hashlib.blake2b(text.encode("ascii"), digest_size=20).digest()
