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
from domain.ledger.records import Record, record_of

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
        return list(dict.fromkeys(subject for entry in self.entries for subject in entry.subjects()))


@dataclass(frozen=True, slots=True)
class SealedDocument:
    """A document with its entries in the form that was hashed, so that no one encodes them again."""

    document: JournalDocument
    records: tuple[Record, ...]


def seal(book: str, head: Head, entries: Sequence[Entry], *, time_ms: int, nonce: str) -> SealedDocument:
    """The next document after `head`; its time is never before the one of `head`."""
    if time_ms < head.time_ms:
        raise ValueError("recorded time never runs back")
    records = tuple(record_of(entry) for entry in entries)
    seq = head.seq + 1
    digest = digest_of(book, seq, time_ms, nonce, head.digest, records)
    document = JournalDocument(book, seq, time_ms, nonce, head.digest, digest, tuple(entries))
    return SealedDocument(document, records)


def digest_of(book: str, seq: int, time_ms: int, nonce: str, previous: str, records: Sequence[Record]) -> str:
    """SHA-256 in hex over the document as compact JSON, fields in the order in which they stand."""
    text = json.dumps([previous, book, seq, time_ms, nonce, records], separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def follows(head: Head, document: JournalDocument) -> bool:
    """Whether the document is the one right after `head`, by number, digest and time."""
    return (
        document.seq == head.seq + 1 and document.previous == head.digest and document.time_ms >= head.time_ms
    )


def is_intact(document: JournalDocument) -> bool:
    """Whether the document still has the content that its digest was made of."""
    records = [record_of(entry) for entry in document.entries]
    return document.digest == digest_of(
        document.book, document.seq, document.time_ms, document.nonce, document.previous, records
    )
