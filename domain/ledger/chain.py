"""The journal's documents and the hash chain through them.

Each document names the digest of the one before it, so an edited, missing, swapped or added
document breaks the chain at a `seq` that can be named (Haber and Stornetta, 1991).

A document has the lowest format that can say what its entries say. So the digests of old documents stay what
they were when entries learn something new, and a process of an older release reads on for as long as nothing
new is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from domain.ledger.entries import Entry, Issue, Refused, RuleSet, RuleSkipped, TransferPosted
from domain.ledger.records import kind_of
from domain.ledger.subjects import subjects_of

_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)

GENESIS: Final = "0" * 64
"""What the first document of a book names as the digest before it."""

FORMAT_MAX: Final = 2
"""The newest format that this release reads and writes. Format 2 has refusals of a keyed batch's items,
top-up rules with a target, what they skipped, and several of their uses at once."""
FIELDS_OF_FORMAT_1: Final[dict[type[tuple[object, ...]], int]] = {Issue: 3, RuleSet: 10}
"""How many of their fields documents of format 1 know, of the classes that have grown since."""
_MAY_BE_NEWER: Final = frozenset({"issue", "rule", "rule_skipped", "refused"})
"""The kinds of entries in which something of format 2 can stand."""


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
    format: int = 1

    @property
    def head(self) -> Head:
        """Number, digest and time of this document, for the next one to chain to."""
        return Head(self.seq, self.time_ms, self.digest)

    def subjects(self) -> list[str]:
        """Everything this document touches, each once, in order of first mention."""
        found: dict[str, None] = {}
        for entry in self.entries:
            for subject in subjects_of(entry):
                found[subject] = None
        return list(found)


class AppendResult(Enum):
    """How an append ended. Nothing but `APPENDED` promises that the document is there."""

    APPENDED = "appended"
    SEQ_TAKEN = "seq_taken"
    """Some document stands at this `seq`: another writer's, or this one's from an earlier try."""
    KEY_TAKEN = "key_taken"
    """One of the entries' keys is in the journal already."""
    UNKNOWN = "unknown"
    """No answer came, or none that says: it may be there now, come later, or never."""


def seal(book: str, head: Head, entries: Sequence[Entry], *, time_ms: int, nonce: str) -> JournalDocument:
    """The next document after `head`; its time is never before the one of `head`."""
    if time_ms < head.time_ms:
        raise ValueError("recorded time never runs back")
    seq = head.seq + 1
    kinds = [kind_of(entry) for entry in entries]
    number = _format_of(kinds, entries)
    digest = _digest_of(number, book, seq, time_ms, nonce, head.digest, kinds, entries)
    return JournalDocument(book, seq, time_ms, nonce, head.digest, digest, tuple(entries), number)


def format_of(entries: Sequence[Entry]) -> int:
    """The lowest format that can say what these entries say."""
    return _format_of([kind_of(entry) for entry in entries], entries)


def _format_of(kinds: Sequence[str], entries: Sequence[Entry]) -> int:
    if _MAY_BE_NEWER.isdisjoint(kinds):
        return 1
    return 2 if any(map(_needs_format_2, entries)) else 1


def _needs_format_2(entry: Entry) -> bool:
    if isinstance(entry, TransferPosted):
        return isinstance(entry.cause, Issue) and entry.cause.uses != 1
    if isinstance(entry, RuleSet):
        return entry.to is not None
    return isinstance(entry, RuleSkipped | Refused)


def _digest_of(
    number: int,
    book: str,
    seq: int,
    time_ms: int,
    nonce: str,
    previous: str,
    kinds: Sequence[str],
    entries: Sequence[Entry],
) -> str:
    """SHA-256 in hex over the document as compact JSON: its fields, the kind of each entry, and each
    entry as the array of its fields, all in the order in which they stand. From format 2 on its number
    comes first; format 1 ends each array where the entry's class ended then."""
    rows: Sequence[object] = entries
    if number > 1:
        text = _JSON.encode([number, previous, book, seq, time_ms, nonce, kinds, entries])
    else:
        if not _MAY_BE_NEWER.isdisjoint(kinds):
            rows = [_row_of_format_1(entry) for entry in entries]
        text = _JSON.encode([previous, book, seq, time_ms, nonce, kinds, rows])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _row_of_format_1(entry: Entry) -> tuple[object, ...]:
    if isinstance(entry, TransferPosted) and isinstance(entry.cause, Issue):
        return (*entry[:-1], entry.cause[: FIELDS_OF_FORMAT_1[Issue]])
    if isinstance(entry, RuleSet):
        return entry[: FIELDS_OF_FORMAT_1[RuleSet]]
    return entry


def follows(head: Head, document: JournalDocument) -> bool:
    """Whether the document is the one right after `head`, by number, digest and time."""
    return (
        document.seq == head.seq + 1 and document.previous == head.digest and document.time_ms >= head.time_ms
    )


def is_intact(document: JournalDocument) -> bool:
    """Whether the document still has the content that its digest was made of, and the format of that."""
    entries = document.entries
    kinds = [kind_of(entry) for entry in entries]
    # A format that could not say all of it would leave the rest out of the digest.
    return document.format == _format_of(kinds, entries) and document.digest == _digest_of(
        document.format, document.book, document.seq, document.time_ms, document.nonce, document.previous,
        kinds, entries,
    )  # fmt: skip
