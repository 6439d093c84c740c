"""Several books, and a ledger whose checkpoints are gone."""

from __future__ import annotations

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger.orders import AccountOrder, Caller, GrantOrder, HoldOrder
from application.ledger.service import Ledger
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.outcomes import Outcome, Posted
from tests.simulation.ledger_world import BOOK, Service
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Outside

SILENCE_S = 5.0


class OneSilentBook(MemoryJournal):
    """Gives no answer about one book for a long time."""

    def __init__(self, simulation: Simulation, silent: str) -> None:
        super().__init__()
        self._simulation = simulation
        self._silent = silent

    async def append(self, document: JournalDocument) -> AppendResult:
        if document.book == self._silent:
            await self._simulation.outside.sleep(SILENCE_S)
        return await super().append(document)


def test_two_books_never_wait_for_each_other() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation)
    outside.journal = OneSilentBook(simulation, "slow")

    async def world() -> None:
        service = await Service(outside, "only").start()
        slow = simulation.outside.launch(
            lambda: service.ask(lambda ledger: _open(ledger, "slow")), name="slow"
        )
        began = simulation.outside.monotonic()
        assert isinstance(await service.ask(lambda ledger: _open(ledger, "quick")), Posted)
        assert simulation.outside.monotonic() - began < SILENCE_S / 2
        assert isinstance(await slow.wait(), Posted)

    simulation.run(world)


async def _open(ledger: Ledger, book: str) -> Outcome:
    return await ledger.open_account(Caller(book, "test"), AccountOrder("GEMS", id="alice"))


@pytest.mark.parametrize("seed", range(10))
def test_without_any_checkpoint_everything_is_as_it_was(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def do(service: Service, number: int) -> Outcome | None:
        caller = Caller(BOOK, "test", f"k{number}")
        if number % 3:
            order = GrantOrder("alice", number, "paid", number % 4, "grant", expires_ms=10**14)
            return await service.ask(lambda ledger: ledger.grant(caller, order))
        hold = HoldOrder("alice", 1, "hold", expires_in_ms=10**6)
        return await service.ask(lambda ledger: ledger.hold(caller, hold))

    async def world() -> None:
        first = await Service(outside, "first").start()
        await first.ask(lambda ledger: _open(ledger, BOOK))
        for number in range(1, 40):
            assert isinstance(await do(first, number), Posted)
        await simulation.outside.sleep(3)
        before = await first.state("alice")
        assert (await outside.checkpoints.load(BOOK, ["alice"]))["alice"] == before
        outside.checkpoints = MemoryCheckpoints()
        second = await Service(outside, "second").start()
        assert await second.state("alice") == before
        again = await do(second, 3)
        assert isinstance(again, Posted)
        assert again.replayed

    simulation.run(world)
