"""The ledger against crashes, lost answers and other writers, each replayed from its seed."""

from __future__ import annotations

from functools import partial

import pytest

from domain.ledger.entries import TransferPosted
from domain.ledger.outcomes import Rejected
from ports.runtime import TaskCancelled
from tests.seeds import seeds
from tests.simulation.ledger_world import (
    Service,
    Told,
    audit,
    grant,
    opening,
    posted,
    transfer,
    until_answered,
)
from tests.simulation.runtime.scheduler import SimulationOver
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Faults, Outside

SEEDS = seeds(20)

CALM = Faults()
STORMY = Faults(lost_request=0.08, lost_answer=0.08, late_append=0.08)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_between_append_and_checkpoint_loses_nothing(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        first = await Service(outside, "first").start()
        posted(await until_answered(lambda: first, opening("alice")))
        posted(await until_answered(lambda: first, grant("alice", 1_000, key="g")))
        posted(await until_answered(lambda: first, transfer("t1", "alice", "@revenue", 250)))
        before = await first.state("alice")
        first.crash()
        assert await outside.checkpoints.load("main", ["alice", "@revenue:GEMS"]) == {}
        second = await Service(outside, "second").start()
        assert await second.state("alice") == before
        again = posted(await until_answered(lambda: second, transfer("t1", "alice", "@revenue", 250)))
        assert again.replayed
        assert await second.state("alice") == before

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_checkpoint_and_the_tail_give_the_state_the_journal_gives(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        first = await Service(outside, "first").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: first, opening(account)))
            posted(await until_answered(lambda: first, grant(account, 50, key=account)))
        await simulation.outside.sleep(3)
        posted(await until_answered(lambda: first, transfer("t1", "alice", "bob", 20)))
        first.crash()
        stored = await outside.checkpoints.load("main", ["alice", "bob"])
        assert stored["alice"].posted == 50
        second = await Service(outside, "second").start()
        told = Told()
        journal = await audit(outside, told)
        for account in ("alice", "bob"):
            assert await second.state(account) == journal[account]

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_writer_that_missed_a_grant_does_not_refuse_the_transfer_it_pays_for(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        rich, stale = await Service(outside, "rich").start(), await Service(outside, "stale").start()
        posted(await until_answered(lambda: rich, opening("alice")))
        assert (await stale.state("alice")) is not None
        posted(await until_answered(lambda: rich, grant("alice", 10, key="g")))
        posted(await until_answered(lambda: stale, transfer("t1", "alice", "@revenue", 10)))

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repeat_is_answered_as_at_first_even_when_the_funds_are_gone(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        first, second = await Service(outside, "first").start(), await Service(outside, "second").start()
        posted(await until_answered(lambda: first, opening("alice")))
        posted(await until_answered(lambda: first, grant("alice", 10, key="g")))
        assert (await second.state("alice")) is not None
        spent = posted(await until_answered(lambda: first, transfer("t1", "alice", "@revenue", 10)))
        again = posted(await until_answered(lambda: second, transfer("t1", "alice", "@revenue", 10)))
        assert again.replayed
        assert again.recorded == spent.recorded
        refused = await until_answered(lambda: second, transfer("t2", "alice", "@revenue", 10))
        assert isinstance(refused, Rejected)

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_read_sees_every_write_acknowledged_before_it_by_any_worker(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        writer, reader = await Service(outside, "writer").start(), await Service(outside, "reader").start()
        posted(await until_answered(lambda: writer, opening("alice")))
        for number in range(1, 6):
            posted(await until_answered(lambda: writer, grant("alice", 1, key=f"g{number}")))
            state = await reader.state("alice")
            assert state is not None
            assert state.posted == number

    simulation.run(world)


class Storm:
    """Two processes that crash, clients that repeat each other, readers that hold every read to what
    was acknowledged before it."""

    accounts = ("alice", "bob", "carol")

    def __init__(self, simulation: Simulation, outside: Outside) -> None:
        self.simulation = simulation
        self.outside = outside
        self.random = simulation.random
        self.told = Told()
        self.acknowledged = dict.fromkeys(self.accounts, 0)
        self.services: list[Service] = []

    async def world(self) -> None:
        # A tiny memory, so that accounts are forgotten and loaded again all the time.
        self.services = [await self._service(f"p{number}") for number in range(2)]
        for account in self.accounts:
            self.told.remember(account, await until_answered(self._any, opening(account)))
            outcome = await until_answered(self._any, grant(account, 40, key=account))
            self.told.remember(f"grant {account}", outcome)
        launch = self.simulation.outside.launch
        tasks = [launch(self._client, name="client") for _ in range(4)]
        tasks += [launch(self._reader, name="reader") for _ in range(3)]
        for generation in range(2):
            await self.simulation.outside.sleep(self.random.uniform(0, 0.3))
            victim = self.random.randrange(2)
            self.services[victim].crash()
            self.services[victim] = await self._service(f"p{victim}.{generation}")
        for each in tasks:
            await each.wait()
        await self.simulation.outside.sleep(3)
        await self._check()

    async def _service(self, name: str) -> Service:
        return await Service(self.outside, name, accounts_max=2).start()

    def _any(self) -> Service:
        return self.random.choice(self.services)

    async def _client(self) -> None:
        for _ in range(6):
            source, destination = self.random.sample([*self.accounts, "@revenue"], 2)
            # Few ids on purpose: clients repeat each other's transfers, with the same or another body.
            transfer_id = f"t{self.random.randrange(16)}"
            amount = self.random.randrange(1, 30)
            outcome = await until_answered(self._any, transfer(transfer_id, source, destination, amount))
            if isinstance(outcome, Rejected):
                continue
            self.told.remember(transfer_id, outcome)
            entry = outcome.recorded.entry
            assert isinstance(entry, TransferPosted)
            for account in {entry.source, entry.destination} - {"@revenue"}:
                self.acknowledged[account] = max(self.acknowledged[account], outcome.recorded.seq)

    async def _reader(self) -> None:
        for _ in range(30):
            account = self.random.choice(self.accounts)
            expected = self.acknowledged[account]
            try:
                state = await self._any().state(account)
            except (TaskCancelled, SimulationOver):
                continue
            assert state is not None
            assert state.seq >= expected

    async def _check(self) -> None:
        journal = await audit(self.outside, self.told)
        for service in self.services:
            for account in self.accounts:
                assert await service.state(account) == journal[account]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [CALM, STORMY], ids=["calm", "stormy"])
def test_whatever_fails_an_acknowledged_transfer_is_there_once(faults: Faults, seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run(Storm(simulation, Outside(simulation, faults)).world)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_append_whose_answer_was_lost_is_not_taken_for_a_repeat(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation, Faults(lost_answer=0.3))

    async def world() -> None:
        service = await Service(outside, "only").start()
        posted(await until_answered(lambda: service, opening("alice")))
        for number in range(8):
            outcome = await service.ask(grant("alice", 1, key=f"g{number}"))
            if outcome is not None:
                assert not posted(outcome).replayed

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_committed_batch_is_announced_once_and_in_order(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        service = await Service(outside, "only").start()
        posted(await until_answered(lambda: service, opening("alice", user="u-1")))
        clients = [
            simulation.outside.launch(
                partial(until_answered, lambda: service, grant("alice", 1, key=f"g{number}")), name="client"
            )
            for number in range(8)
        ]
        for each in clients:
            await each.wait()
        await simulation.outside.sleep(1)
        seqs = [batch.document.seq for batch in service.announced]
        assert seqs == list(range(1, len(seqs) + 1))
        assert service.announced[-1].states["alice"].posted == 8

    simulation.run(world)
