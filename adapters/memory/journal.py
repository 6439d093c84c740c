"""The journal and its checkpoints in this process's memory: complete, and gone with the process."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from domain.ledger.account import AccountState
from domain.ledger.chain import JournalDocument, SealedDocument
from domain.ledger.entries import Recorded
from ports.journal import Append, Checkpoints, Journal


class MemoryJournal:
    """Keeps every document; a demo's memory is the bound."""

    def __init__(self) -> None:
        self._documents: dict[str, list[JournalDocument]] = defaultdict(list)
        self._keys: dict[tuple[str, str], Recorded] = {}
        self._subjects: dict[tuple[str, str], list[int]] = defaultdict(list)

    async def append(self, sealed: SealedDocument) -> Append:
        document = sealed.document
        documents = self._documents[document.book]
        if document.seq <= len(documents):
            return Append.SEQ_TAKEN
        if document.seq != len(documents) + 1:
            raise ValueError(f"document {document.seq} would leave a gap after {len(documents)}")
        keys = [(document.book, key) for entry in document.entries for key in entry.keys]
        if any(key in self._keys for key in keys):
            return Append.KEY_TAKEN
        documents.append(document)
        for entry in document.entries:
            recorded = Recorded(entry, document.seq, document.time_ms)
            self._keys.update(((document.book, key), recorded) for key in entry.keys)
        for subject in document.subjects():
            self._subjects[document.book, subject].append(document.seq)
        return Append.APPENDED

    async def head(self, book: str) -> JournalDocument | None:
        documents = self._documents.get(book)
        return documents[-1] if documents else None

    async def at(self, book: str, seq: int) -> JournalDocument | None:
        documents = self._documents.get(book, [])
        return documents[seq - 1] if 0 < seq <= len(documents) else None

    async def after(self, book: str, seq: int, *, limit: int) -> Sequence[JournalDocument]:
        return self._documents.get(book, [])[seq : seq + limit]

    async def touching(
        self, book: str, subjects: Mapping[str, int], *, limit: int
    ) -> Sequence[JournalDocument]:
        found: set[int] = set()
        for subject, after in subjects.items():
            seqs = self._subjects.get((book, subject), [])
            found.update(seqs[bisect_right(seqs, after) :][:limit])
        documents = self._documents.get(book, [])
        return [documents[seq - 1] for seq in sorted(found)[:limit]]

    async def newest_touching(
        self, book: str, subject: str, *, upto: int, limit: int
    ) -> Sequence[JournalDocument]:
        seqs = self._subjects.get((book, subject), [])
        end = bisect_right(seqs, upto)
        documents = self._documents.get(book, [])
        return [documents[seq - 1] for seq in reversed(seqs[max(0, end - limit) : end])]

    async def recorded(self, book: str, keys: Iterable[str]) -> Mapping[str, Recorded]:
        return {key: self._keys[book, key] for key in keys if (book, key) in self._keys}


class MemoryCheckpoints:
    def __init__(self) -> None:
        self._states: dict[tuple[str, str], AccountState] = {}

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        return {key: self._states[book, key] for key in account_keys if (book, key) in self._states}

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        for state in states:
            stored = self._states.get((book, state.account.key))
            if stored is None or stored.seq < state.seq:
                self._states[book, state.account.key] = state


_fits: tuple[type[Journal], type[Checkpoints]] = (MemoryJournal, MemoryCheckpoints)
