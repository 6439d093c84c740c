"""A document that nobody answered for is settled before anything is decided without it."""

from __future__ import annotations

import pytest

from adapters.memory.ledger.journal import MemoryJournal
from application.ledger.local_submitter import AWAY_S
from application.ledger.orders import Caller, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.outcomes import Outcome, Posted, Rejected
from tests.seeds import seeds
from tests.simulation.ledger_world import BOOK, Service, grant, opening, posted, transfer, until_answered
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Faults, Outside

SEEDS = seeds(10)


class Unanswering(MemoryJournal):
    """While it holds documents back, no append is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.holds_back = False
        self.is_deaf = False
        self.held: JournalDocument | None = None

    async def append(self, document: JournalDocument) -> AppendResult:
        if self.is_deaf:
            return AppendResult.UNKNOWN
        if self.holds_back:
            self.held = document
            return AppendResult.UNKNOWN
        return await super().append(document)

    async def let_go(self) -> None:
        """What was held back comes through, after whatever came before it."""
        assert self.held is not None
        await super().append(self.held)


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_told_that_it_was_rejected_is_never_posted_by_what_comes_late(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation, Faults())
    journal = outside.journal = Unanswering()

    async def world() -> None:
        service = await Service(outside, "only").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: service, opening(account)))
        posted(await until_answered(lambda: service, grant("bob", 100, key="g")))
        journal.holds_back = True
        assert await service.ask(both) is None
        await simulation.outside.sleep(AWAY_S)
        journal.holds_back = False
        again = await until_answered(lambda: service, transfer("t2", "alice", "@revenue", 100))
        await journal.let_go()
        there = "t:t2" in await journal.recorded(BOOK, ["t:t2"])
        assert isinstance(again, Posted if there else Rejected)

    async def both(ledger: Ledger) -> Outcome:
        """The second is paid by the first: without the document, it cannot be posted."""
        orders = [
            TransferOrder("bob", "alice", 100, "test", id="t1"),
            TransferOrder("alice", "@revenue", 100, "test", id="t2"),
        ]
        return (await ledger.transfer_batch(Caller(BOOK, "test"), orders, atomic=False))[1]

    simulation.run(world)


def test_what_came_late_is_taken_over_and_announced_once() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())
    journal = outside.journal = Unanswering()

    async def world() -> None:
        service = await Service(outside, "only").start()
        posted(await until_answered(lambda: service, opening("alice")))
        journal.holds_back = True
        assert await service.ask(grant("alice", 100, key="g")) is None
        await simulation.outside.sleep(AWAY_S)
        journal.holds_back = False
        posted(await until_answered(lambda: service, transfer("t", "alice", "@revenue", 100)))
        await simulation.outside.sleep(1)
        assert [batch.document.seq for batch in service.announced] == [1, 2, 3]

    simulation.run(world)


def test_what_another_writer_outran_is_given_up() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())
    journal = outside.journal = Unanswering()

    async def world() -> None:
        service, other = await Service(outside, "only").start(), await Service(outside, "other").start()
        posted(await until_answered(lambda: service, opening("alice")))
        journal.is_deaf = True
        assert await service.ask(grant("alice", 100, key="g")) is None
        await simulation.outside.sleep(AWAY_S)
        journal.is_deaf = False
        posted(await until_answered(lambda: other, grant("alice", 5, key="h")))
        posted(await until_answered(lambda: service, transfer("t", "alice", "@revenue", 5)))
        again = posted(await until_answered(lambda: service, grant("alice", 100, key="g")))
        assert not again.replayed
        assert (await service.state("alice")).posted == 100  # type: ignore[union-attr]  # it is open

    simulation.run(world)
