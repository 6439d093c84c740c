"""The part of a book's state that is in memory, and how the rest gets there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from domain.ledger.account import AccountState
from domain.ledger.chain import Head, JournalDocument, follows
from domain.ledger.machine import replay
from ports.journal import Checkpoints, Journal

DOCUMENTS_A_READ_MAX = 64
"""Journal documents fetched by one read; each is at most 8 MiB, and nearly all are far smaller."""

SUBJECTS_A_READ_MAX = 256
"""Accounts that one read of the journal asks for."""

BEHIND_DOCUMENTS_MAX = 1_024
"""A process further behind than this forgets its accounts instead of replaying what it missed."""


class BrokenChain(Exception):
    """The journal's next document does not follow from the last one: tampered with, or lost."""


class Accounts:
    """Acknowledged account states, each true at the head that this process knows, or later.

    An account that does not exist is kept as None, so that the document which opens it is noticed.
    Documents are applied to all states as they are learned of; a load under way collects the ones
    that came meanwhile and tops itself up with them. So whoever finds every account that it needs
    in `states` may decide, as long as it awaits nothing in between.
    """

    def __init__(self, book: str, journal: Journal, checkpoints: Checkpoints, *, accounts_max: int) -> None:
        self._book = book
        self._journal = journal
        self._checkpoints = checkpoints
        self._accounts_max = accounts_max
        self._states: OrderedDict[str, AccountState | None] = OrderedDict()
        self._absent: set[str] = set()
        self._loads: set[_Load] = set()
        self.head = Head()

    @property
    def states(self) -> Mapping[str, AccountState | None]:
        return self._states

    async def start(self) -> None:
        """Finds the head; accounts come in when somebody asks for them."""
        document = await self._journal.head(self._book)
        if document is not None:
            self.head = document.head

    async def catch_up(self) -> bool:
        """Learns of all documents a majority held when this was called; True if there were any."""
        start = self.head.seq
        while True:
            documents = await self._journal.after(self._book, self.head.seq, limit=DOCUMENTS_A_READ_MAX)
            for document in documents:
                self.apply(document)
            if len(documents) < DOCUMENTS_A_READ_MAX:
                return self.head.seq > start
            if self.head.seq - start >= BEHIND_DOCUMENTS_MAX:
                await self._jump_to_head()

    async def _jump_to_head(self) -> None:
        document = await self._journal.head(self._book)
        if document is not None and document.seq > self.head.seq:
            self._states.clear()
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
        self._states.update(replay(self._states, document.entries, seq=document.seq))
        self._move_to(document)

    def adopt(self, document: JournalDocument, changed: Mapping[str, AccountState]) -> None:
        """Takes over this process's own decision, now that its document is acknowledged."""
        if document.seq <= self.head.seq:
            return  # A reader's look at the tail was faster, and applied the very same document.
        states = self._states
        for key, state in changed.items():
            states[key] = state
            states.move_to_end(key)
        self._move_to(document)

    def _move_to(self, document: JournalDocument) -> None:
        self.head = document.head
        for load in self._loads:
            load.missed.append(document)

    async def load(self, account_keys: Iterable[str]) -> bool:
        """Brings accounts into memory; False, without having awaited, when all are there already."""
        missing = [key for key in dict.fromkeys(account_keys) if key not in self._states]
        for start in range(0, len(missing), SUBJECTS_A_READ_MAX):
            await self._load(missing[start : start + SUBJECTS_A_READ_MAX])
        return bool(missing)

    async def _load(self, keys: list[str]) -> None:
        load = _Load()
        self._loads.add(load)
        try:
            states: dict[str, AccountState | None] = dict.fromkeys(keys)
            states.update(await self._checkpoints.load(self._book, keys))
            await self._replay_tail(states)
        finally:
            self._loads.discard(load)
        if load.outdated:
            return
        for document in load.missed:
            states.update(replay(states, document.entries, seq=document.seq))
        for key, state in states.items():
            if self._states.get(key) is None:
                self._states[key] = state
                if state is None:
                    self._absent.add(key)

    async def _replay_tail(self, states: dict[str, AccountState | None]) -> None:
        """Applies to these accounts what the journal has of them after their checkpoints."""
        seen = 0
        while True:
            after = {f"a:{key}": max(seen, state.seq if state else 0) for key, state in states.items()}
            documents = await self._journal.touching(self._book, after, limit=DOCUMENTS_A_READ_MAX)
            for document in documents:
                states.update(replay(states, document.entries, seq=document.seq))
                seen = document.seq
            if len(documents) < DOCUMENTS_A_READ_MAX:
                return

    def trim(self) -> None:
        """Forgets the accounts written longest ago, down to `accounts_max`, and all absent ones."""
        for key in self._absent:
            if key in self._states and self._states[key] is None:
                del self._states[key]
        self._absent.clear()
        while len(self._states) > self._accounts_max:
            self._states.popitem(last=False)


class _Load:
    """A load under way: the documents that were applied since it began."""

    __slots__ = ("missed", "outdated")

    def __init__(self) -> None:
        self.missed: list[JournalDocument] = []
        self.outdated = False
