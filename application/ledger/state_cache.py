"""The part of a book's state that is in memory, and how the rest gets there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager

from application.ledger.remote_due_index import RemoteDueIndex
from domain.ledger.account import AccountState
from domain.ledger.chain import Head, JournalDocument, follows
from domain.ledger.entries import TransferPosted
from domain.ledger.machine import Decision
from domain.ledger.replay import Accounts, Subjects, replay
from domain.ledger.subjects import DUE, Subject, TransferState
from ports.ledger.journal import Checkpoints, Journal

DOCUMENTS_A_READ_MAX = 64
"""Journal documents fetched by one read; each is at most 8 MiB, and nearly all are far smaller."""

SUBJECTS_A_READ_MAX = 256
"""Accounts that one read of the journal asks for."""

SUBJECTS_MAX = 10_000
"""Holds, grants and transfers that stay in memory after they were asked for by id."""

TAIL_DOCUMENTS = 256
"""How far back a start looks for what falls due and whose checkpoints its writer may not have saved: a
moment's documents, however fast they came."""

ABSENT_MAX = 1_000
"""Accounts known not to exist that stay in memory: each batch that spends a grant asks for `@expired`,
which does not exist before the first one has expired. What others make up takes no more room than that."""

BEHIND_DOCUMENTS_MAX = 1_024
"""A process further behind than this forgets its accounts instead of replaying what it missed."""


class BrokenChain(Exception):
    """The journal's next document does not follow from the last one: tampered with, or lost."""


class StateCache:
    """Acknowledged states of accounts and of other subjects (holds, grants, transfers), each true at the
    head that this process knows, or later.

    What does not exist is kept as None, so that the document which makes it is noticed.
    Documents are applied to all states as they are learned of; a load under way collects the ones
    that came meanwhile and tops itself up with them. So a decision may be made on states that
    are all here, as long as nothing is awaited in between.
    """

    def __init__(self, book: str, journal: Journal, checkpoints: Checkpoints, *, accounts_max: int) -> None:
        self._book = book
        self._journal = journal
        self._checkpoints = checkpoints
        self._accounts_max = accounts_max
        self._accounts: OrderedDict[str, AccountState | None] = OrderedDict()
        self._subjects: OrderedDict[str, Subject | None] = OrderedDict()
        self._absent: dict[str, None] = {}
        self._met_subjects: set[str] = set()
        """Subjects that came into memory since the last document was taken over: the decision that is
        under way may have been made without them."""
        self._loads: set[_Load] = set()
        self._seen_seq = 0
        self._is_kept = False
        self.remote_due = RemoteDueIndex()
        self.head = Head()

    @property
    def accounts(self) -> Accounts:
        return self._accounts

    @property
    def subjects(self) -> Subjects:
        return self._subjects

    @property
    def is_behind(self) -> bool:
        """Whether something that was loaded is true at a later document than the head: states that were
        loaded at different times do not fit each other before `catch_up`."""
        return self._seen_seq > self.head.seq

    async def start(self) -> None:
        """Finds the head; accounts come in when they are asked for."""
        document = await self._journal.head(self._book)
        if document is not None:
            self.head = document.head
            async for each in self._touching({DUE: max(0, document.seq - TAIL_DOCUMENTS)}):
                self.remote_due.add(each)

    async def catch_up(self) -> None:
        """Learns of all documents a majority held when this was called."""
        start = self.head.seq
        while True:
            documents = await self._journal.after(self._book, self.head.seq, limit=DOCUMENTS_A_READ_MAX)
            for document in documents:
                self.apply(document)
            if len(documents) < DOCUMENTS_A_READ_MAX:
                return
            if self.head.seq - start >= BEHIND_DOCUMENTS_MAX:
                await self._jump_to_head()

    async def _jump_to_head(self) -> None:
        document = await self._journal.head(self._book)
        if document is not None and document.seq > self.head.seq:
            self._accounts.clear()
            self._subjects.clear()
            self._absent.clear()
            for load in self._loads:
                load.outdated = True
            self.head = document.head

    def apply(self, document: JournalDocument) -> None:
        """Takes over one document of the journal, unless it is known already."""
        if document.seq <= self.head.seq:
            return
        if not follows(self.head, document):
            raise BrokenChain(f"book {document.book}: document {document.seq} does not follow the last")
        self.remote_due.add(document)
        replayed = replay(self._accounts, document, self._subjects)
        self._accounts.update(replayed.accounts)
        self._subjects.update(replayed.subjects)
        self._move_to(document)

    def adopt(self, document: JournalDocument, decision: Decision) -> None:
        """Takes over this process's own decision, now that its document is acknowledged."""
        if document.seq <= self.head.seq:
            return  # A reader's look at the tail was faster, and applied the very same document.
        accounts = self._accounts
        for key, state in decision.changed.items():
            accounts[key] = state
            accounts.move_to_end(key)
        self._subjects.update(decision.changed_subjects)
        met = {key: self._subjects[key] for key in self._met_subjects if key in self._subjects}
        if met:
            self._subjects.update(replay({}, document, met).subjects)
        self._move_to(document)

    def _move_to(self, document: JournalDocument) -> None:
        self.head = document.head
        self._met_subjects.clear()
        for load in self._loads:
            load.missed.append(document)

    async def load(self, account_keys: Iterable[str], subject_keys: Iterable[str] = ()) -> bool:
        """Brings states into memory; False, without having awaited, when all are there already."""
        # Sorted: which read comes first must not depend on how Python happens to hash text.
        accounts = sorted({key for key in account_keys if key not in self._accounts})
        subjects = sorted({key for key in subject_keys if key not in self._subjects})
        for start in range(0, len(accounts), SUBJECTS_A_READ_MAX):
            await self._load_accounts(accounts[start : start + SUBJECTS_A_READ_MAX])
        for start in range(0, len(subjects), SUBJECTS_A_READ_MAX):
            await self._load_subjects(subjects[start : start + SUBJECTS_A_READ_MAX])
        return bool(accounts or subjects)

    async def _load_accounts(self, keys: list[str]) -> None:
        load = _Load()
        self._loads.add(load)
        try:
            states: dict[str, AccountState | None] = dict.fromkeys(keys)
            states.update(await self._checkpoints.load(self._book, keys))
            after = {f"a:{key}": state.seq if state else 0 for key, state in states.items()}
            async for document in self._touching(after):
                states.update(replay(states, document).accounts)
        finally:
            self._loads.discard(load)
        if load.outdated:
            return
        for document in load.missed:
            states.update(replay(states, document).accounts)
        for key, state in states.items():
            if self._accounts.get(key) is None:
                self._accounts[key] = state
                if state is None:
                    self._absent[key] = None
                else:
                    self._seen_seq = max(self._seen_seq, state.seq)

    async def _load_subjects(self, keys: list[str]) -> None:
        """Few documents name one of these: all of its past is folded."""
        load = _Load()
        self._loads.add(load)
        try:
            states = await self._transfers_among(keys)
            after = {key: state.seq if state else 0 for key, state in states.items()}
            async for document in self._touching(after):
                states.update(replay({}, document, states).subjects)
        finally:
            self._loads.discard(load)
        if load.outdated:
            return
        for document in load.missed:
            states.update(replay({}, document, states).subjects)
        for key, state in states.items():
            if self._subjects.get(key) is None:
                self._subjects[key] = state
                self._met_subjects.add(key)
                if state is not None:
                    self._seen_seq = max(self._seen_seq, state.seq)

    async def _transfers_among(self, keys: list[str]) -> dict[str, Subject | None]:
        """A transfer is found by its key: no subject of its own is indexed for each."""
        states: dict[str, Subject | None] = dict.fromkeys(keys)
        transfers = [key for key in keys if key.startswith("t:")]
        found = await self._journal.recorded(self._book, transfers) if transfers else {}
        for key, recorded in found.items():
            if isinstance(entry := recorded.entry, TransferPosted):
                states[key] = TransferState(
                    entry, entry.amount, entry.funding, recorded.seq, recorded.time_ms
                )
        return states

    async def _touching(self, after: Mapping[str, int]) -> AsyncIterator[JournalDocument]:
        """Documents that name one of these after the `seq` given for it, in order."""
        seen = 0
        while True:
            above = {subject: max(seen, seq) for subject, seq in after.items()}
            documents = await self._journal.touching(self._book, above, limit=DOCUMENTS_A_READ_MAX)
            for document in documents:
                yield document
                seen = document.seq
            if len(documents) < DOCUMENTS_A_READ_MAX:
                return

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Nothing is forgotten within: a commit decides, and decides anew, on what it has loaded. One at a
        time."""
        self._is_kept = True
        try:
            yield
        finally:
            self._is_kept = False
            self.trim()

    def trim(self) -> None:
        """Forgets what was written longest ago, down to `accounts_max`, and what was found absent
        longest ago; unless it is kept."""
        if self._is_kept:
            return
        while len(self._absent) > ABSENT_MAX:
            key = next(iter(self._absent))
            del self._absent[key]
            if key in self._accounts and self._accounts[key] is None:
                del self._accounts[key]
        while len(self._accounts) > self._accounts_max:
            self._accounts.popitem(last=False)
        while len(self._subjects) > SUBJECTS_MAX:
            self._subjects.popitem(last=False)


class _Load:
    """A load under way: the documents that were applied since it began."""

    __slots__ = ("missed", "outdated")

    def __init__(self) -> None:
        self.missed: list[JournalDocument] = []
        self.outdated = False
