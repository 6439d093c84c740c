"""The journal's documents and the hash chain through them.

Each document names the digest of the one before it, so an edited, missing, swapped or added
document breaks the chain at a `seq` that can be named (Haber and Stornetta, 1991).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.ledger.entries import Entry
from domain.ledger.records import kind_of

_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)

GENESIS: Final = "0" * 64
"""What the first document of a book names as the digest before it."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a book ends: `seq` 0 before its first document."""

    seq: int = 0
    time_ms: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True)
class JournalDocument:
    """One committed batch. `nonce` is its writer's, to know it again when an answer was lost."""

    book: str
    seq: int
    time_ms: int
    nonce: str
    previous: str
    digest: str
    entries: tuple[Entry, ...]

    @property
    def head(self) -> Head:
        return Head(self.seq, self.time_ms, self.digest)

    def subjects(self) -> list[str]:
        """Everything this document touches, each once, in order of first mention."""
        found: dict[str, None] = {}
        for entry in self.entries:
            for subject in entry.subjects():
                found[subject] = None
        return list(found)


def seal(book: str, head: Head, entries: Sequence[Entry], *, time_ms: int, nonce: str) -> JournalDocument:
    """The next document after `head`; its time is never before the one of `head`."""
    if time_ms < head.time_ms:
        raise ValueError("recorded time never runs back")
    seq = head.seq + 1
    digest = digest_of(book, seq, time_ms, nonce, head.digest, entries)
    return JournalDocument(book, seq, time_ms, nonce, head.digest, digest, tuple(entries))


def digest_of(book: str, seq: int, time_ms: int, nonce: str, previous: str, entries: Sequence[Entry]) -> str:
    """SHA-256 in hex over the document as compact JSON: its fields, the kind of each entry, and each
    entry as the array of its fields, all in the order in which they stand."""
    kinds = [kind_of(entry) for entry in entries]
    text = _JSON.encode([previous, book, seq, time_ms, nonce, kinds, entries])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def follows(head: Head, document: JournalDocument) -> bool:
    """Whether the document is the one right after `head`, by number, digest and time."""
    return (
        document.seq == head.seq + 1 and document.previous == head.digest and document.time_ms >= head.time_ms
    )


def is_intact(document: JournalDocument) -> bool:
    """Whether the document still has the content that its digest was made of."""
    return document.digest == digest_of(
        document.book, document.seq, document.time_ms, document.nonce, document.previous, document.entries
    )
