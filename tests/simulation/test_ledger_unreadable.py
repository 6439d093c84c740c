"""What this release cannot read closes the book: nothing is decided in it, and everything else goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger.orders import AccountOrder, Caller
from application.ledger.reader import CLOSED_S
from application.ledger.service import Ledger
from domain.ledger.account import AccountState
from domain.ledger.chain import Head, JournalDocument, seal
from domain.ledger.entries import Recorded, Refused
from domain.ledger.outcomes import Outcome
from ports.errors import DependencyUnavailable
from ports.ledger.journal import UnreadableBook
from tests.simulation.ledger_world import BOOK, Service, grant, opening, posted, transfer, until_answered
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Faults, Outside


class NewerJournal(MemoryJournal):
    """Document `unreadable` is one that only a newer release understands."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable = 0

    def _readable(self, document: JournalDocument | None) -> JournalDocument | None:
        if document is not None and document.seq == self.unreadable:
            raise UnreadableBook(document.book, "it has format 3", seq=document.seq)
        return document

    async def head(self, book: str) -> JournalDocument | None:
        return self._readable(await super().head(book))

    async def at(self, book: str, seq: int) -> JournalDocument | None:
        return self._readable(await super().at(book, seq))

    async def after(self, book: str, seq: int, *, limit: int) -> Sequence[JournalDocument]:
        found = await super().after(book, seq, limit=limit)
        for document in found:
            self._readable(document)
        return found

    async def recorded(self, book: str, keys: Iterable[str]) -> Mapping[str, Recorded]:
        found = await super().recorded(book, keys)
        for recorded in found.values():
            if recorded.seq == self.unreadable:
                raise UnreadableBook(book, "it has format 3", seq=recorded.seq)
        return found


class NewerCheckpoints(MemoryCheckpoints):
    def __init__(self) -> None:
        super().__init__()
        self.unreadable = ""

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        if self.unreadable in account_keys:
            raise UnreadableBook(book, "a field is unknown", key=self.unreadable)
        return await super().load(book, account_keys)


async def is_ready(service: Service) -> bool:
    async def check() -> bool:
        try:
            await service.ledger.check_books()
        except UnreadableBook:
            return False
        return True

    return await service.runtime.start(check, name="ready").wait()


async def refused(service: Service, account: str = "alice") -> str:
    """Why nothing can be asked of the book."""

    async def ask() -> str:
        try:
            await service.ledger.account(BOOK, account)
        except DependencyUnavailable as error:
            return str(error)
        return ""

    return await service.runtime.start(ask, name="read").wait()


async def newer_writes(journal: NewerJournal) -> None:
    """As a worker of a newer release, on another host."""
    head = await MemoryJournal.head(journal, BOOK)
    entry = Refused("t", "insufficient_funds", "", ("k:batch:x:0",), "f", "newer")
    document = seal(
        BOOK, head.head if head else Head(), (entry,), time_ms=head.time_ms if head else 1, nonce="n"
    )
    await journal.append(document)
    journal.unreadable = document.seq


@pytest.mark.parametrize("seed", range(10))
def test_a_document_of_a_newer_release_closes_its_book_until_it_can_be_read(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation, Faults())
    journal = outside.journal = NewerJournal()

    async def world() -> None:
        service = await Service(outside, "old").start()
        posted(await until_answered(lambda: service, opening("alice")))
        posted(await until_answered(lambda: service, grant("alice", 100, key="g")))
        await newer_writes(journal)
        assert await service.ask(transfer("t1", "alice", "@revenue", 1)) is None
        assert "document 3 of the book main cannot be read" in await refused(service)
        assert not await is_ready(service)
        head = await MemoryJournal.head(journal, BOOK)
        assert head is not None
        assert head.seq == 3, "nothing was appended after it"

        async def open_elsewhere(ledger: Ledger) -> Outcome:
            return await ledger.open_account(Caller("other", "test"), AccountOrder("GEMS", id="zoe"))

        assert await service.ask(open_elsewhere) is not None, "another book is another one"
        journal.unreadable = 0
        await simulation.outside.sleep(CLOSED_S)
        posted(await until_answered(lambda: service, transfer("t1", "alice", "@revenue", 1)))
        assert await is_ready(service)

    simulation.run(world)


def test_a_book_whose_head_cannot_be_read_is_not_opened_and_readiness_says_so() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())
    journal = outside.journal = NewerJournal()

    async def world() -> None:
        await newer_writes(journal)
        service = await Service(outside, "old").start()
        assert await is_ready(service), "nobody asked for it yet"
        assert "document 1" in await refused(service)
        assert not await is_ready(service)
        journal.unreadable = 0
        assert await is_ready(service)

    simulation.run(world)


def test_a_checkpoint_of_a_newer_release_closes_the_book_for_every_account() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())
    checkpoints = outside.checkpoints = NewerCheckpoints()

    async def world() -> None:
        service = await Service(outside, "old").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: service, opening(account)))
        restarted = await Service(outside, "older").start()
        checkpoints.unreadable = "alice"
        assert await restarted.ask(transfer("t1", "alice", "bob", 1)) is None
        assert "checkpoint of account alice" in await refused(restarted, "bob")
        assert not await is_ready(restarted)
        checkpoints.unreadable = ""
        await simulation.outside.sleep(CLOSED_S)
        assert not await refused(restarted, "bob")
        assert await is_ready(restarted)

    simulation.run(world)
