"""A book as lines of text: taken out of a store, and brought into one that has none or only its beginning."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from application.ledger.prover import Aside, Chain, ExpectedHead, LedgerProblem, Prover, stored_aside
from application.ledger.verification import Progress, end_of, pages, unheard
from domain.ledger.account import ENTRIES_A_SNAPSHOT
from domain.ledger.chain import FORMAT_MAX, AppendResult, Head, JournalDocument
from domain.ledger.crossings import Snapshot
from domain.ledger.entries import Recorded
from domain.ledger.records import entry_of, record_of
from domain.ledger.shapes import has_its_shape
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Checkpoints, Journal, Unreadable
from ports.runtime import Runtime

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one document: MongoDB holds 16 MiB, and a line escapes what is not ASCII."""
LINES_A_STEP_MAX: Final = 256
ENTRIES_A_STEP_MAX: Final = 10_000
STATES_A_SAVE_MAX: Final = 1_000
APPEND_S_MAX: Final = 30.0
"""How long the same document goes out while its arrival is unknown."""
RETRY_DELAY_S: Final = 0.1

_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_MEMBERS: Final = ("book", "seq", "time_ms", "nonce", "previous", "digest", "entries")


class BrokenBook(Exception):
    """What is stored cannot be taken out: it is no chain. Verifying says more."""

    def __init__(self, problem: LedgerProblem) -> None:
        super().__init__(f"document {problem.seq}: {problem.detail}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Imported:
    """What is in the store now, and how many documents of it came just now."""

    head: Head
    documents: int
    added: int


@dataclass(frozen=True, slots=True)
class ImportRefused:
    """Nothing was appended, or nothing after what `detail` says."""

    code: str
    detail: str


class Lines(Protocol):
    """A book's lines, which can be read more than once; each goes with how many bytes came before it."""

    @property
    def size(self) -> int:
        """Of all lines, in bytes."""

    def read(self) -> Iterator[tuple[int, bytes]]:
        """From the first line on. A line that is cut at more than `LINE_BYTES_MAX` bytes is too long."""

    def at(self, offset: int) -> bytes: ...


class Register(Protocol):
    """Where each key of a book was seen first. As large as the book, so it is no memory's."""

    def add(self, keys: Iterable[str], offset: int) -> str | None:
        """One that was there already, if any was."""

    def find(self, key: str) -> int | None: ...


def line_of(document: JournalDocument) -> bytes:
    """One line of ASCII, its end included."""
    record = {name: getattr(document, name) for name in _MEMBERS[:-1]}
    if document.format != 1:
        record["format"] = document.format
    record["entries"] = [record_of(entry) for entry in document.entries]
    return _JSON.encode(record).encode("ascii") + b"\n"


def document_of(line: bytes) -> JournalDocument:
    """The document that `line_of` made this line of; ValueError says why it is none."""
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"it is longer than {LINE_BYTES_MAX} bytes")
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(record, dict) or record.keys() - {"format"} != set(_MEMBERS):
        raise ValueError(f"it is not an object of {', '.join(_MEMBERS)}")
    number = record.get("format", 2)
    if type(number) is not int or number < 2:
        raise ValueError("its `format` is no number from 2 on; format 1 is not named")
    if number > FORMAT_MAX:
        raise ValueError(f"it has format {number}, and this release reads formats up to {FORMAT_MAX}")
    records = record.pop("entries")
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise ValueError("its entries are not a list of objects")
    document = JournalDocument(**record, entries=tuple(entry_of(each) for each in records))
    if not has_its_shape(document):
        raise ValueError("a field has another type, or is too large")
    if [record_of(entry) for entry in document.entries] != records:
        raise ValueError("its entries have members that no entry has")
    return document


async def exported(
    journal: Journal, book: str, *, runtime: Runtime, progress: Progress = unheard
) -> AsyncIterator[bytes]:
    """The book's lines, up to the document that is its last one now. Raises `BrokenBook` at the first
    document that does not follow from the one before it."""
    end = await end_of(journal, book)
    chain = Chain(book)
    progress(0, end)
    async with aclosing(pages(journal, book, end)) as found:
        async for page in found:
            for line in await runtime.run_in_thread(_lines_of, chain, page, end):
                yield line
            progress(chain.head.seq, end)


def _lines_of(chain: Chain, page: Sequence[JournalDocument | Unreadable], end: int) -> list[bytes]:
    lines: list[bytes] = []
    for document in page:
        if chain.head.seq >= end:
            break
        problem = chain.take(document)
        if problem is not None or isinstance(document, Unreadable):
            raise BrokenBook(problem or LedgerProblem(chain.head.seq + 1, "it cannot be read"))
        lines.append(line_of(document))
    return lines


@dataclass(frozen=True, slots=True)
class ImportPorts:
    """What an import reads and writes."""

    runtime: Runtime
    journal: Journal
    checkpoints: Checkpoints
    lines: Lines
    register: Register


async def import_book(
    ports: ImportPorts,
    book: str,
    *,
    expected: ExpectedHead | None = None,
    checking: Progress = unheard,
    writing: Progress = unheard,
) -> Imported | ImportRefused:
    """Appends what a store's book lacks of the lines: all of it, or what an interrupted import left.

    All lines are proved, as `verify` proves a book, before the first append; a store whose book is not a
    beginning of theirs is left as it is. They are proved once more while they are appended, so that a file
    that changes meanwhile does no harm. What is stored beside the journal comes last.

    Raises `DependencyUnavailable`: then the same import goes on where this one ended.
    """
    return await _Import(ports, book, expected).carried_out(checking, writing)


class _Import:
    def __init__(self, ports: ImportPorts, book: str, expected: ExpectedHead | None) -> None:
        self._ports = ports
        self._book = book
        self._expected = expected
        self._present = 0
        """How many documents of the lines the store has already."""

    async def carried_out(self, checking: Progress, writing: Progress) -> Imported | ImportRefused:
        aside = await stored_aside(self._ports.checkpoints, self._book)
        checked = _Reading(self._ports, Prover(self._book, aside, self._expected))
        refused = await self._each_step(checked, checking, self._compare) or await self._at_end(checked)
        if refused is not None:
            return refused
        written = _Reading(self._ports, Prover(self._book, Aside()), noted=True)
        refused = await self._each_step(written, writing, partial(self._append, written))
        if refused is not None:
            return refused
        states = list(written.prover.proof.states.values())
        for start in range(0, len(states), STATES_A_SAVE_MAX):
            await self._ports.checkpoints.save(self._book, states[start : start + STATES_A_SAVE_MAX])
        documents = written.prover.chain.documents
        return Imported(written.prover.head, documents, documents - self._present)

    async def _each_step(
        self,
        reading: _Reading,
        progress: Progress,
        take: Callable[[Sequence[JournalDocument]], Awaitable[ImportRefused | None]],
    ) -> ImportRefused | None:
        while True:
            progress(reading.done, self._ports.lines.size)
            step = await self._ports.runtime.run_in_thread(reading.step)
            if isinstance(step, ImportRefused):
                return step
            if not step:
                return None
            refused = await take(step)
            if refused is not None:
                return refused

    async def _compare(self, documents: Sequence[JournalDocument]) -> ImportRefused | None:
        """Holds the store's book against the lines, as far as it goes."""
        before = documents[0].seq - 1
        if self._present < before:
            return None
        stored = await self._ports.journal.stored_after(self._book, before, limit=len(documents))
        for document, standing in zip(documents, stored, strict=False):
            if document != standing:
                detail = f"document {document.seq} of the store's book is another one than the file's"
                return ImportRefused("book_differs", detail)
        self._present += len(stored)
        return None

    async def _at_end(self, checked: _Reading) -> ImportRefused | None:
        head = checked.prover.head
        journal = self._ports.journal
        if self._present == head.seq and await journal.stored_after(self._book, head.seq, limit=1):
            detail = f"the store's book goes on after document {head.seq}, where the file ends"
            return ImportRefused("book_differs", detail)
        problem = checked.prover.at_end()
        if problem is not None:
            return ImportRefused("broken_book", f"document {problem.seq}: {problem.detail}")
        return None

    async def _append(self, reading: _Reading, documents: Sequence[JournalDocument]) -> ImportRefused | None:
        for document in documents:
            if document.seq > self._present:
                refused = await self._append_one(document)
                if refused is not None:
                    return refused
        if reading.snapshots:
            await self._ports.checkpoints.keep(self._book, reading.snapshots)
            reading.snapshots.clear()
        return None

    async def _append_one(self, document: JournalDocument) -> ImportRefused | None:
        runtime, journal = self._ports.runtime, self._ports.journal
        give_up_s = runtime.monotonic() + APPEND_S_MAX
        while runtime.monotonic() < give_up_s:
            result = await journal.append(document)
            if result is AppendResult.APPENDED:
                return None
            if result is not AppendResult.UNKNOWN:
                standing = await journal.at(self._book, document.seq)
                if standing == document:
                    return None
                if standing is not None or result is AppendResult.KEY_TAKEN:
                    detail = f"another writer appended to the book, at document {document.seq} or before"
                    return ImportRefused("book_in_use", detail)
            await runtime.sleep(RETRY_DELAY_S)
        raise DependencyUnavailable("ledger", f"document {document.seq} was not acknowledged")


class _Reading:
    """One way through the lines: each is parsed, and proved to follow from those before it."""

    def __init__(self, ports: ImportPorts, prover: Prover, *, noted: bool = False) -> None:
        self.prover = prover
        self.done = 0
        """Bytes of the lines that are good."""
        self.snapshots: list[Snapshot] = []
        """Of the documents of the last step, or of more of them."""
        self._source = ports.lines
        self._register = ports.register
        self._noted = noted
        self._lines = enumerate(ports.lines.read(), start=1)

    def step(self) -> list[JournalDocument] | ImportRefused:
        """The next documents, none at the end. What it does takes time, and no loop."""
        documents: list[JournalDocument] = []
        entries = 0
        for number, (offset, line) in self._lines:
            try:
                document = document_of(line)
            except ValueError as error:
                return ImportRefused("malformed_line", f"line {number}: {error}")
            if document.book != (book := self.prover.chain.book):
                detail = f"line {number}: it is of the book {document.book}, not of {book}"
                return ImportRefused("book_mismatch", detail)
            problem = self._problem_of(document, offset)
            if problem is not None:
                return ImportRefused(
                    "broken_book", f"line {number}: document {problem.seq}: {problem.detail}"
                )
            self.done = offset + len(line)
            documents.append(document)
            entries += len(document.entries)
            if len(documents) >= LINES_A_STEP_MAX or entries >= ENTRIES_A_STEP_MAX:
                break
        return documents

    def _problem_of(self, document: JournalDocument, offset: int) -> LedgerProblem | None:
        if not self._noted:
            taken = self._register.add((key for entry in document.entries for key in entry.keys), offset)
            if taken is not None:
                return LedgerProblem(document.seq, f"the key {taken} was recorded before")
        asked = self.prover.proof.unknown_transfers([document])
        problem = self.prover.take(document, {key: at for key in asked if (at := self._recorded(key))})
        if problem is None:
            self._keep_snapshots(document)
        return problem

    def _recorded(self, key: str) -> Recorded | None:
        offset = self._register.find(key)
        if offset is None:
            return None
        document = document_of(self._source.at(offset))
        found = (entry for entry in document.entries if key in entry.keys)
        return next((Recorded(entry, document.seq, document.time_ms) for entry in found), None)

    def _keep_snapshots(self, document: JournalDocument) -> None:
        """The same ones that a ledger keeps which appends the document."""
        proof = self.prover.proof
        for key, before in proof.touched.items():
            after = proof.states[key]
            entries = 0 if before is None else before.entries
            if entries // ENTRIES_A_SNAPSHOT != after.entries // ENTRIES_A_SNAPSHOT:
                self.snapshots.append(Snapshot(after, document.time_ms))
